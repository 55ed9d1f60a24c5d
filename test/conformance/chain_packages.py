"""The publishers' own packages from PyPI, run as they are: what they write, and what they read.

    chain_packages.py mx-publish CHAIN MODEL...           a version for each model after the first; "full:DIR" publishes a whole one
    chain_packages.py mx-apply JOBS                       a JSON list of [base, chain, folders]: their indexes in this order, on the base
                                                          -> for each, the sha256 of each tensor
    chain_packages.py fw OLD NEW OUT FORMAT...            a Fireworks upload in each format -> what its own reader makes of it, likewise

modelexpress 0.7.0 (CanonicalDeltaPublicationMethod, _LocalCheckpoint) talks to S3: here a class with its four methods reads and writes
files. fireworks_delta_compression 0.1.0 has functions. WEIGHT_DIFF_CHAINS names the folder that holds both
(chains-requirements.txt, installed without what they depend on).
"""
import hashlib, json, os, shutil, sys, tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import load_file


def digests(state):
    view = lambda t: t.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return {name: hashlib.sha256(view(t)).hexdigest() for name, t in state.items()}


def model(folder):
    return {name: t for file in sorted(Path(folder).glob("*.safetensors")) for name, t in load_file(file).items()}


class Files:
    """S3Client's methods, in a folder."""

    def __init__(self, root):
        self.root = Path(root)

    def path(self, uri):
        return self.root / uri.removeprefix("s3://chain/")

    def get(self, uri):
        return self.path(uri).read_bytes()

    def size(self, uri):
        return self.path(uri).stat().st_size

    def put(self, *, uri, data):
        self.path(uri).parent.mkdir(parents=True, exist_ok=True)
        self.path(uri).write_bytes(data)

    def close(self):
        pass


INDEX = "model.safetensors.index.json"


def mx_publish(chain, models):
    import torch.distributed as dist
    from modelexpress_rl import refit_pb2
    from modelexpress_rl.train.methods.canonical_delta import CanonicalDeltaPublicationMethod
    from modelexpress_rl.utils import make_tensor_reader

    with tempfile.TemporaryDirectory() as meeting:
        dist.init_process_group("gloo", init_method=f"file://{meeting}/store", rank=0, world_size=1)
        read, _ = make_tensor_reader(models[0])
        uid = "mx-seed"
        targets = {}
        service = SimpleNamespace(GetWeightVersion=lambda request, timeout: SimpleNamespace(
            version=targets[request.uid], HasField=lambda name: True))
        method = CanonicalDeltaPublicationMethod(
            config=SimpleNamespace(initial_base_version_id=uid, uri_prefix="s3://chain"), model_name="m", service=lambda: service,
            rpc_timeout_seconds=1, process_group=None, read_seed_tensor=read, s3=Files(chain))
        base = model(models[0])
        method.prepare_base(hf_tensor_iter=[[item] for item in base.items()])
        for number, folder in enumerate(models[1:], 1):
            full = folder.startswith("full:")
            target = refit_pb2.WeightVersion(
                uid=f"mx-{hashlib.sha256(str(number).encode()).hexdigest()[:8]}", model_name="m",
                payload_format=refit_pb2.WEIGHT_PAYLOAD_FORMAT_FULL_HF_CHECKPOINT if full else refit_pb2.WEIGHT_PAYLOAD_FORMAT_XOR_DELTA,
                object_storage=refit_pb2.ObjectStorageSource(
                    storage_type=refit_pb2.OBJECT_STORAGE_TYPE_S3, uri=f"s3://chain/v{number}/{INDEX}"))
            if not full:
                target.base_version_id = uid
            uid = target.uid
            targets[uid] = target
            version = SimpleNamespace(version_id=uid)
            state = model(folder.removeprefix("full:"))
            staged = method.stage(version=version, hf_tensor_iter=[[item] for item in state.items()])
            method.publish(version=version, staged=staged)
        dist.destroy_process_group()


def mx_apply(base, chain, folders):
    from modelexpress_rl.inference.receiver import ObjectStorageGeneratorConfig, _LocalCheckpoint, _S3Version
    from modelexpress_rl.object_storage import ObjectStorageType
    from modelexpress_rl.train import WeightPayloadFormat

    versions, last = [], None
    for folder in folders:
        about = json.loads((Path(chain) / folder / INDEX).read_text())["metadata"]
        full = "delta_encoding" not in about
        last = f"full-{folder}" if full else about["version"]
        versions.append(_S3Version(
            last, None if full else about["base_version"],
            WeightPayloadFormat.FULL_HF_CHECKPOINT if full else WeightPayloadFormat.XOR_DELTA, f"s3://chain/{folder}/{INDEX}"))
    with tempfile.TemporaryDirectory() as cache:
        first = versions[0].base_version_id or "seed"
        local = _LocalCheckpoint(model_name="m", s3=Files(chain), config=ObjectStorageGeneratorConfig(
            storage_type=ObjectStorageType.S3, initial_base_version_id=first, seed_checkpoint_path=base, refit_checkpoint_dir=cache))
        local.initialize()
        # A full version's own uid is in no file: what follows it names it.
        for i, version in enumerate(versions[1:], 1):
            if versions[i - 1].base_version_id is None and version.base_version_id is not None:
                versions[i - 1] = _S3Version(version.base_version_id, None, versions[i - 1].payload_format, versions[i - 1].uri)
        prepared = local.prepare_chain(tuple(versions))
        return digests(model(prepared.path))


def fw_publish(form, old, new, out):
    from fireworks_delta_compression import delta_compress_dicts_to_file

    after = model(new)
    os.makedirs(out)
    for entry in sorted(Path(old).iterdir()):
        if entry.suffix == ".safetensors":
            before = load_file(entry)
            delta_compress_dicts_to_file(
                src=before, dst={name: after[name] for name in before}, diff_file=str(Path(out) / entry.name), compression_format=form)
        else:
            shutil.copy(entry, Path(out) / entry.name)


def fw_apply(form, old, upload):
    from fireworks_delta_compression import delta_decompress_dict_from_file

    state = {}
    for file in sorted(Path(old).glob("*.safetensors")):
        state.update(delta_decompress_dict_from_file(
            src=load_file(file), diff_file=str(Path(upload) / file.name), compression_format=form))
    return digests(state)


def main():
    what, *args = sys.argv[1:]
    if what == "mx-publish":
        mx_publish(args[0], args[1:])
    elif what == "mx-apply":
        print(json.dumps([mx_apply(*job) for job in json.loads(args[0])]))
    elif what == "fw":
        old, new, out, *forms = args
        for form in forms:
            fw_publish(form, old, new, Path(out) / form)
        print(json.dumps([fw_apply(form, old, Path(out) / form) for form in forms]))


if __name__ == "__main__":
    sys.path.insert(0, os.environ["WEIGHT_DIFF_CHAINS"])
    main()
