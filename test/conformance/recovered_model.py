"""Holds a recovered model against what torch and transformers make of the same base and diff.

    python recovered_model.py BASE DIFF RECOVERED

Asserts that transformers loads RECOVERED whole, that every parameter has the bits torch computes, that the logits are
those of a model made from torch's own result, and that tokenizer and generation settings are the diff's. Prints one
JSON line.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

SENTENCE = "w1 Below is an instruction that describes a task. w2 </s> w3"


def read_weights(folder):
    """The state dict of a folder: the index's shards, or the one file; safetensors or .bin."""
    for stem, ending in (("model", "safetensors"), ("pytorch_model", "bin")):
        index = folder / f"{stem}.{ending}.index.json"
        single = folder / f"{stem}.{ending}"
        if index.exists():
            files = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        elif single.exists():
            files = [single.name]
        else:
            continue
        state = {}
        for file in files:
            path = folder / file
            state |= (
                load_file(path) if ending == "safetensors" else torch.load(path, map_location="cpu", weights_only=True)
            )
        return state
    raise FileNotFoundError(f"no weights in {folder}")


def recover(base, diff, name):
    """The reference scripts' rule for one tensor: in float32, new rows meet the mean of the base's rows."""
    source, target = base[name].to(torch.float32), diff[name].to(torch.float32)
    if source.shape[0] < target.shape[0]:
        mean = source.mean(dim=0, keepdim=True)
        source = torch.cat([source, mean.expand(target.shape[0] - source.shape[0], -1)])
    return target.add_(source)


def bits(tensor):
    return tensor.detach().contiguous().view(torch.int32)


def check(base_path, diff_path, path):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[kind], f"{kind}: {info[kind]}"
    state = model.state_dict()

    base, diff = read_weights(base_path), read_weights(diff_path)
    wanted = {name: recover(base, diff, name) for name in diff if not name.endswith("rotary_emb.inv_freq")}
    assert state.keys() == wanted.keys(), f"names differ: {sorted(state.keys() ^ wanted.keys())}"
    for name, tensor in wanted.items():
        assert state[name].dtype == torch.float32, f"{name} is {state[name].dtype}"
        assert torch.equal(bits(state[name]), bits(tensor)), f"{name} differs from torch's result"

    config = transformers.AutoConfig.from_pretrained(path)
    assert config.dtype == torch.float32, f"config says {config.dtype}"
    twin = transformers.AutoModelForCausalLM.from_config(config)
    twin.load_state_dict(wanted, strict=True)
    tokens = torch.arange(48).remainder(config.vocab_size).view(2, 24)
    with torch.inference_mode():
        logits, twin_logits = model.eval()(tokens).logits, twin.eval()(tokens).logits
    assert logits.isfinite().all(), "logits are not finite"
    assert torch.equal(bits(logits), bits(twin_logits)), "logits differ from those of torch's result"

    tokenizer, published = (transformers.AutoTokenizer.from_pretrained(p) for p in (path, diff_path))
    rows = {
        len(tokenizer),
        config.vocab_size,
        *(state[n].shape[0] for n in ("model.embed_tokens.weight", "lm_head.weight")),
    }
    assert len(rows) == 1, f"tokenizer, config and embeddings disagree: {rows}"
    assert tokenizer.pad_token is not None and tokenizer.pad_token == published.pad_token, (
        f"pad token: {tokenizer.pad_token}"
    )
    ids = tokenizer(SENTENCE).input_ids
    assert ids == published(SENTENCE).input_ids and len(ids) > 3, "the tokenizer encodes otherwise than the diff's"
    assert tokenizer.decode(ids) == published.decode(ids), "the tokenizer decodes otherwise than the diff's"
    assert tokenizer.model_max_length == published.model_max_length, f"model_max_length: {tokenizer.model_max_length}"

    generation, published_generation = (transformers.GenerationConfig.from_pretrained(p) for p in (path, diff_path))
    assert generation == published_generation, "generation_config.json differs from the diff's"

    return {"tensors": len(wanted), "vocabulary": rows.pop(), "tokens": len(ids)}


def main():
    result = check(*(Path(argument) for argument in sys.argv[1:4]))
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps({"ok": True, **result, **versions}))


if __name__ == "__main__":
    main()
