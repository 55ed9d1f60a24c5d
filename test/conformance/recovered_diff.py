"""Recovers a diff by the rules of the reference scripts, with transformers, and holds another recovery against it.

    python recovered_diff.py BASE DIFF RECOVERED

An independent rendering of `recover`: both models loaded in float32 by from_pretrained, the base's embeddings resized to
the diff's vocabulary with the mean of the old rows in the new ones, then added in place over the diff's state dict. Asserts
that every tensor of RECOVERED has the same bits. Prints one JSON line.
"""

import json
import sys

import torch
import transformers

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def load(path):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[kind], f"{path}: {kind}: {info[kind]}"
    return model


@torch.inference_mode()
def recover(base_path, diff_path):
    base, model = load(base_path), load(diff_path)
    new = model.get_input_embeddings().weight.shape[0] - base.get_input_embeddings().weight.shape[0]
    if new > 0:
        base.resize_token_embeddings(base.get_input_embeddings().weight.shape[0] + new)
        for embeddings in (base.get_input_embeddings(), base.get_output_embeddings()):
            weight = embeddings.weight.data
            weight[-new:] = weight[:-new].mean(dim=0, keepdim=True)
    raw, recovered = base.state_dict(), model.state_dict()
    for name in recovered:
        recovered[name].add_(raw[name])
    return recovered, new


def bits(tensor):
    return tensor.detach().contiguous().view(torch.int32)


def main():
    base, diff, path = sys.argv[1:4]
    wanted, new = recover(base, diff)
    found = load(path).state_dict()
    assert found.keys() == wanted.keys(), f"names differ: {sorted(found.keys() ^ wanted.keys())}"
    for name, tensor in wanted.items():
        assert tensor.dtype == torch.float32 and found[name].dtype == torch.float32, name
        assert torch.equal(bits(found[name]), bits(tensor)), f"{name} differs"
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps({"ok": True, "tensors": len(wanted), "new_rows": new, **versions}))


if __name__ == "__main__":
    main()
