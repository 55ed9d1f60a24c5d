"""Diffs whose embedding and head gain different numbers of rows.

    python unlike_rows.py make OUT     OUT/CASE/base and OUT/CASE/diff; prints the names of the cases
    python unlike_rows.py load OUT     prints for each case: does AutoModelForCausalLM load OUT/CASE/diff, and OUT/CASE/tuned; and if the diff is loaded,
                                       has OUT/CASE/tuned the bits that weight_diff.py's recover gives?
"""

import json
import sys
from pathlib import Path

import torch
import transformers as T
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
T.logging.set_verbosity_error()
T.utils.logging.disable_progress_bar()
PLAIN = dict(vocab_size=40, bos_token_id=0, eos_token_id=1)
LLAMA = dict(PLAIN, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2)
CONFIGS = {
    "llama": lambda tied: T.LlamaConfig(**LLAMA, tie_word_embeddings=tied),
    "gpt2": lambda tied: T.GPT2Config(**PLAIN, n_embd=16, n_layer=1, n_head=2, n_positions=16, tie_word_embeddings=tied),
    # Its head has a bias, which grows with the head.
    "gptj": lambda tied: T.GPTJConfig(**PLAIN, n_embd=16, n_layer=1, n_head=2, n_positions=16, rotary_dim=4, tie_word_embeddings=tied),
}
# New rows of the embedding and of the head (None: it is not stored), and the vocab_size that the diff's config states.
GROWN = {
    "embedding": (1, 0, 41),
    "embedding-unsaid": (1, 0, 40),
    "head": (0, 1, 41),
    "head-unsaid": (0, 1, 40),
    "three-and-one": (3, 1, 43),
    "both": (1, 1, 41),
    "many": (8, 8, 48),
    "alone": (2, None, 42),
}


def names(model):
    """Of the embedding and of the head."""
    modules = {id(module): name for name, module in model.named_modules()}
    return [modules[id(module)] + ".weight" for module in (model.get_input_embeddings(), model.get_output_embeddings())]


def make(out):
    cases = []
    for family, config in CONFIGS.items():
        for tied in (False, True):
            torch.manual_seed(7)
            base = T.AutoModelForCausalLM.from_config(config(tied)).float()
            input, output = names(base)
            state = {name: tensor.clone() for name, tensor in base.state_dict().items()}
            for case, (more, heads, vocabulary) in GROWN.items():
                if heads is None and not tied:
                    continue
                folder = Path(out) / f"{family}-{'tied' if tied else 'apart'}-{case}"
                base.save_pretrained(folder / "base")
                diff = {}
                for name, tensor in state.items():
                    bias = more if heads is None else heads
                    grown = {input: more, output: heads, output.replace(".weight", ".bias"): bias}.get(name, 0)
                    if grown is None:
                        continue
                    change = torch.randn_like(tensor) * 0.001
                    diff[name] = torch.cat([change, torch.randn(grown, *tensor.shape[1:]) * 0.02]) if grown else change
                if tied and more == heads:
                    diff[output] = diff[input].clone()
                (folder / "diff").mkdir()
                save_file(diff, folder / "diff" / "model.safetensors", {"format": "pt"})
                stated = json.loads((folder / "base" / "config.json").read_text())
                (folder / "diff" / "config.json").write_text(json.dumps({**stated, "vocab_size": vocabulary}))
                cases.append(folder.name)
    print(json.dumps(sorted(cases)))


def loads(path):
    try:
        return T.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    except RuntimeError as error:
        assert "ignore_mismatched_sizes" in str(error), error
        return None


def scripted(base, diff):
    """weight_diff.py's recover, of two loaded models."""
    raw = T.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    rows = raw.get_input_embeddings().weight.shape[0]
    new = diff.get_input_embeddings().weight.shape[0] - rows
    raw.resize_token_embeddings(rows + new, mean_resizing=False)
    for matrix in (raw.get_input_embeddings().weight.data, raw.get_output_embeddings().weight.data):
        matrix[-new:] = matrix[:-new].mean(dim=0, keepdim=True)
    state, added = diff.state_dict(), raw.state_dict()
    with torch.no_grad():
        for name in state:
            state[name].add_(added[name])
    return state


def load(out):
    told = {}
    for folder in sorted(Path(out).iterdir()):
        diff, tuned = loads(folder / "diff"), loads(folder / "tuned")
        same = None
        if diff is not None:
            state = scripted(folder / "base", diff)
            same = all(torch.equal(tensor, state[name]) for name, tensor in load_file(folder / "tuned" / "model.safetensors").items())
        told[folder.name] = [diff is not None, tuned is not None, same]
    print(json.dumps(told))


{"make": make, "load": load}[sys.argv[1]](*sys.argv[2:])
