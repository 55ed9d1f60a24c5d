"""Makes random small language models of each family that `try` runs, as transformers saves them, and says what transformers says.

    python inference.py FOLDER FIRST COUNT

Writes COUNT models for each family, numbered from FIRST, as FOLDER/<family>-<number>, each with an expected.json: ids, and for every
position the logits and the loss, by transformers in float32 with eager attention, loaded from the files.
"""

import json
import os
import random
import sys
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import transformers

torch.set_num_threads(1)
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def rope_of(draw, positions):
    theta = draw.choice([10000.0, 500000.0, 1000000.0, 12345.5])
    kind = draw.choice(["default", "default", "linear", "llama3", "dynamic"])
    rope = {"rope_type": kind, "rope_theta": theta}
    if kind != "default":
        rope["factor"] = draw.choice([2.0, 4.0, 8.0, 3.5])
    if kind == "llama3":
        rope |= {"low_freq_factor": 1.0, "high_freq_factor": draw.choice([4.0, 2.0]), "original_max_position_embeddings": positions // 4}
    return rope


def config_of(family, draw):
    heads = draw.choice([1, 2, 4, 6])
    size = draw.choice([4, 8, 16, 10])
    own_size = draw.random() < 0.4
    hidden = heads * draw.choice([5, 11, 13, 16]) if own_size and family != "gpt_neox" else heads * size
    positions = draw.choice([128, 512])
    config = {"hidden_size": hidden, "intermediate_size": draw.choice([37, 64, 101, 130]), "num_attention_heads": heads,
        "num_hidden_layers": draw.choice([1, 2, 3]), "vocab_size": draw.choice([97, 128, 301]), "max_position_embeddings": positions,
        "tie_word_embeddings": draw.random() < 0.4, "bos_token_id": 1, "eos_token_id": 2}
    if family == "gpt_neox":
        pct = draw.choice([0.25, 0.5, 1.0]) if size % 8 == 0 else 1.0
        rope = {"rope_type": "default", "rope_theta": draw.choice([10000.0, 50000.0]), "partial_rotary_factor": pct}
        return config | {"rope_parameters": rope, "use_parallel_residual": draw.random() < 0.5, "layer_norm_eps": draw.choice([1e-5, 1e-6]),
            "hidden_act": "gelu", "attention_bias": draw.random() < 0.7}
    config |= {"num_key_value_heads": draw.choice([k for k in (1, 2, 3, 4, 6) if heads % k == 0]), "rms_norm_eps": draw.choice([1e-5, 1e-6]),
        "rope_parameters": rope_of(draw, positions), "hidden_act": "silu"}
    if own_size or family == "qwen3":
        config["head_dim"] = size
    if family == "llama":
        config |= {"attention_bias": draw.random() < 0.4, "mlp_bias": draw.random() < 0.4}
    if family == "mistral":
        config["sliding_window"] = draw.choice([None, 5, 16, 4096])
    windows = random.Random(f"windows {family} {config}")  # a draw of its own, so that the others stay as they were
    if family == "mistral" and windows.random() < 0.3:
        config |= {"layer_types": [windows.choice(["sliding_attention", "full_attention"]) for _ in range(config["num_hidden_layers"])],
            "sliding_window": windows.choice([3, 7])}
    if family.startswith("qwen") and windows.random() < 0.5:
        config |= {"use_sliding_window": True, "sliding_window": windows.choice([3, 7]), "max_window_layers": windows.choice([0, 1, 2])}
    if family == "qwen2" and own_size:
        config["hidden_size"] = heads * size
        del config["head_dim"]
    if family == "qwen3":
        config["attention_bias"] = draw.random() < 0.3
    return config


def fill(model, seed):
    """Weights that make logits differ by some units, norms and biases too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            scale = 0.2 if tensor.dim() == 1 else 1.0 if "embed" in name else 1.2 / tensor.shape[1] ** 0.5
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale + (1 if "norm" in name and name.endswith("weight") else 0))


def old_keys(config, family, draw):
    """The same as files of 2023 say it."""
    rope = config.pop("rope_parameters")
    kind = rope.pop("rope_type")
    if family == "gpt_neox":
        config |= {"rotary_emb_base": rope["rope_theta"], "rotary_pct": rope["partial_rotary_factor"]}
        return
    if rope["rope_theta"] != 10000.0 or draw.random() < 0.5:
        config["rope_theta"] = rope["rope_theta"]
    del rope["rope_theta"]
    rope.pop("partial_rotary_factor", None)
    config["rope_scaling"] = None if kind == "default" else {draw.choice(["type", "rope_type"]): kind, **rope}
    if family == "llama" and config["num_key_value_heads"] == config["num_attention_heads"]:
        del config["num_key_value_heads"]


def save(model, folder, dtype, draw):
    """One file or several, safetensors or .bin."""
    model.to(DTYPES[dtype])
    how = draw.choice(["safetensors", "sharded", "bin", "sharded bin"])
    if not how.endswith("bin"):
        model.save_pretrained(folder, max_shard_size="40KB" if how == "sharded" else "1GB")
        return how
    model.config.save_pretrained(folder)
    state = {k.replace("lm_head.", "embed_out.") if model.config.model_type == "gpt_neox" else k: v for k, v in model.state_dict().items()}
    names, biases = list(state), draw.choice(["as the config says", "more", "fewer"])
    if biases == "more":  # which transformers leaves aside
        stems = [name[: -len(".weight")] for name in names if name.endswith(".weight") and state[name].dim() == 2 and "embed_in" not in name]
        state |= {f"{stem}.bias": torch.ones(state[f"{stem}.weight"].shape[0], dtype=DTYPES[dtype]) for stem in stems if f"{stem}.bias" not in state}
    elif biases == "fewer":  # which are zeros then
        state = {name: tensor for name, tensor in state.items() if not name.endswith(".bias") or "norm" in name}
    if model.config.tie_word_embeddings and draw.random() < 0.4:  # as AutoModel saves it
        state = {name.split(".", 1)[1]: tensor for name, tensor in state.items() if name.split(".")[0] in ("model", "gpt_neox")}
        how += ", without its head"
    names, how = list(state), f"{how}, biases {biases}"
    if how.startswith("bin"):
        torch.save(state, folder / "pytorch_model.bin")
        return how
    parts = {f"pytorch_model-0000{i + 1}-of-00003.bin": names[i::3] for i in range(3)}
    for file, some in parts.items():
        torch.save({name: state[name].clone() for name in some}, folder / file)
    index = {"metadata": {"total_size": 0}, "weight_map": {name: file for file, some in parts.items() for name in some}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return how


def make(family, number, folder):
    draw = random.Random(f"{family} {number}")
    folder.mkdir(parents=True)
    config = transformers.CONFIG_MAPPING[family](**config_of(family, draw))
    config._attn_implementation = "eager"
    torch.manual_seed(number)
    model = transformers.AutoModelForCausalLM.from_config(config)
    fill(model, number)
    dtype = draw.choice(list(DTYPES))
    how = save(model, folder, dtype, draw)
    stored = json.loads((folder / "config.json").read_text())
    if draw.random() < 0.5:
        old_keys(stored, family, draw)
        (folder / "config.json").write_text(json.dumps(stored))
        how += ", old keys"
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = [draw.randrange(config.vocab_size) for _ in range(40)]
    with torch.no_grad():
        logits = loaded(torch.tensor([ids])).logits[0]
    nll = torch.nn.functional.cross_entropy(logits[:-1].double(), torch.tensor(ids[1:]), reduction="none")
    (folder / "expected.json").write_text(json.dumps({"ids": ids, "logits": logits.tolist(), "nll": nll.tolist(), "spread": float(logits.std()),
        "how": f"{dtype}, {how}: {json.dumps(stored)}"}))


def main():
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for family in ("llama", "mistral", "qwen2", "qwen3", "gpt_neox"):
        for number in range(first, first + count):
            make(family, number, folder / f"{family}-{number}")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")


main()
