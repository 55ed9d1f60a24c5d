"""Sizes of compressed diffs against other programs: python test/bench/coded.py [NAME=BASE,TUNED ...]

Pairs made by rule (weights N(0, 0.02), differences normal; "one in 100": a last bit up or down), in bfloat16 and float16, and any that are
given (two safetensors files each, as train_pair.py writes). Prints a row of docs/benchmarks.md for each: the tuned model in MB, then % of
it. "entropy" is the conditional one of the ordered difference given the base's exponent. Needs numpy and zstandard; zipnn, lmzip and
reminis (PyPI), zstd and a built weight-diff are used where they are there.
"""
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import zstandard

ROOT = Path(__file__).resolve().parents[2]
SHAPES = {"model.layers.0.mlp.up_proj.weight": (2048, 1024)}


def bf16(x):
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def f16(x):
    return x.astype(np.float16).view(np.uint16)


def write(path, dtype, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, bits in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(bits.shape), "data_offsets": [at, at + bits.nbytes]}
        at += bits.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(bits.tobytes() for bits in tensors.values()))


def read(path):
    """-> {name: (dtype, bits)} of tensors of 16 bits"""
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {
        name: (t["dtype"], np.frombuffer(data, "<u2", (t["data_offsets"][1] - t["data_offsets"][0]) // 2, start + t["data_offsets"][0]))
        for name, t in header.items()
    }


def make(folder):
    pairs = {}
    for label, dtype, store in (("bfloat16", "BF16", bf16), ("float16", "F16", f16)):
        for rule in ("5e-4", "1e-4", "1e-5", "one in 100", "unrelated"):
            random = np.random.default_rng(3)
            base, tuned = {}, {}
            for name, shape in SHAPES.items():
                weights = random.normal(0, 0.02, shape).astype(np.float32)
                base[name] = store(weights)
                if rule == "one in 100":
                    moved = base[name].copy()
                    places = random.random(shape) < 0.01
                    moved[places] += random.choice(np.array([1, 0xFFFF], np.uint16), places.sum())
                    tuned[name] = moved
                elif rule == "unrelated":
                    tuned[name] = store(random.normal(0, 0.02, shape))
                else:
                    tuned[name] = store(weights + random.normal(0, float(rule), shape).astype(np.float32))
            place = folder / f"{label} {rule}".replace(" ", "-")
            for role, tensors in (("base", base), ("tuned", tuned)):
                write(place / role / "model.safetensors", dtype, tensors)
            pairs[f"{label}, {rule if rule[0] in 'ou' else 'sd ' + rule}"] = (place / "base/model.safetensors", place / "tuned/model.safetensors")
    return pairs


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    return done.stdout


def ours(base, tuned, folder):
    run("node", ROOT / "bin/weight-diff.js", "make-diff", "--path_raw", base, "--path_tuned", tuned, "--path_diff", folder / "ours",
        "--compress", "--quiet", "--ignore", "not-a-model")
    return (folder / "ours/model.safetensors").stat().st_size


def entropy(base, tuned, _):
    bits, one, other = 0, read(base), read(tuned)
    for name, (dtype, t) in other.items():
        b, t = one[name][1].astype(np.int32), t.astype(np.int32)
        seen = t ^ (b & 0x8000)
        steps = (np.where(seen & 0x8000, ~(seen & 0x7FFF), seen) - (b & 0x7FFF)) & 0xFFFF
        exponents = (b >> (10 if dtype == "F16" else 7)) & (31 if dtype == "F16" else 255)
        for group in np.unique(exponents):
            counts = np.bincount(steps[exponents == group])
            counts = counts[counts > 0]
            bits += (counts * np.log2(counts.sum() / counts)).sum() if len(counts) else 0
    return bits / 8


def bitx(base, tuned, _):
    """ZipLLM's BitX: XOR, a plane of exponents and one of sign and mantissa, zstd-3."""
    total, one = 0, read(base)
    for name, (dtype, bits) in read(tuned).items():
        difference = bits ^ one[name][1]
        exponent = (difference >> 7) & 255
        rest = ((difference >> 8) & 128) | (difference & 127)
        if dtype == "F16":
            exponent, rest = difference >> 8, difference & 255
        total += sum(len(zstandard.compress(plane.astype(np.uint8).tobytes(), 3)) for plane in (exponent, rest))
    return total


def zipnn(base, tuned, _):
    import zipnn as peer

    planes = [b"".join(bits.tobytes() for _, bits in read(path).values()) for path in (tuned, base)]
    dtype = "float16" if next(iter(read(tuned).values()))[0] == "F16" else "bfloat16"
    coder = peer.ZipNN(input_format="byte", bytearray_dtype=dtype, delta_compressed_type="byte")
    return len(coder.compress(planes[0], delta_second_data=planes[1]))


def lmzip(base, tuned, folder):
    lmz, both, alone = Path(sys.executable).parent / "lmz", folder / "both", folder / "alone"
    for place, files in ((both, {"1.safetensors": base, "2.safetensors": tuned}), (alone, {"1.safetensors": base})):
        place.mkdir()
        for name, path in files.items():
            shutil.copy(path, place / name)
        run(lmz, "compress", "-q", place, f"{place}.lmz")
    return Path(f"{both}.lmz").stat().st_size - Path(f"{alone}.lmz").stat().st_size


def reminis(base, tuned, folder):
    program = Path(sys.executable).parent / "reminis"
    for role, path in (("base", base), ("tuned", tuned)):
        run(program, "convert", path, "-o", folder / f"{role}.db", "-q")
    run(program, "diff", folder / "base.db", folder / "tuned.db", "-o", folder / "pack.db", "-q")
    return (folder / "pack.db").stat().st_size


def patch_from(base, tuned, folder):
    run("zstd", "-q", "-19", "--long=27", f"--patch-from={base}", tuned, "-o", folder / "patch.zst")
    return (folder / "patch.zst").stat().st_size


PROGRAMS = {"entropy": entropy, "weight-diff": ours, "lmzip": lmzip, "reminis": reminis, "zipnn": zipnn, "BitX": bitx, "zstd -19 --patch-from": patch_from}


def main():
    with tempfile.TemporaryDirectory() as place:
        pairs = make(Path(place))
        for word in sys.argv[1:]:
            name, files = re.fullmatch(r"(.+)=(.+)", word).groups()
            pairs[name] = tuple(Path(file) for file in files.split(","))
        print("| pair | MB |", " | ".join(PROGRAMS), "|")
        print("| --- " * (2 + len(PROGRAMS)) + "|")
        for index, (name, (base, tuned)) in enumerate(pairs.items()):
            size = sum(bits.nbytes for _, bits in read(tuned).values())
            cells = []
            for which, program in PROGRAMS.items():
                folder = Path(place) / f"{index} {which.split()[0]}"
                folder.mkdir()
                try:
                    cells.append(f"{100 * program(base, tuned, folder) / size:.2f} %")
                except (RuntimeError, OSError, ImportError) as error:
                    print(which, error, file=sys.stderr)
                    cells.append("-")
                shutil.rmtree(folder)
            print(f"| {name} | {size / 1e6:.1f} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
