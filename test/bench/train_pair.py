"""Trains a LLaMA of some 10 M weights from nothing, then fine-tunes it: the pair that compressed diffs are measured on.

    python test/bench/train_pair.py OUT [--steps 150] [--tune-steps 60] [--rate 2e-5]

Text is the source of Python's own library: half of its files for the base, the other half for the fine-tune. AdamW, float32 master
weights, both saved in bfloat16 and float16 (OUT/{bf16,f16}/{base,tuned}/model.safetensors). Needs torch, transformers and safetensors.
"""
import argparse
import sysconfig
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("out", type=Path)
parser.add_argument("--steps", type=int, default=150)
parser.add_argument("--tune-steps", type=int, default=60)
parser.add_argument("--rate", type=float, default=2e-5)
args = parser.parse_args()

torch.manual_seed(5)
files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
texts = [b"".join(path.read_bytes() for path in files[half::2]) for half in (0, 1)]
config = LlamaConfig(vocab_size=256, hidden_size=384, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=6,
                     max_position_embeddings=128, tie_word_embeddings=False)
model = LlamaForCausalLM(config)
print(sum(p.numel() for p in model.parameters()), "weights")


def save(name):
    for dtype in (torch.bfloat16, torch.float16):
        folder = args.out / {torch.bfloat16: "bf16", torch.float16: "f16"}[dtype] / name
        folder.mkdir(parents=True, exist_ok=True)
        state = {key: value.detach().to(dtype).contiguous() for key, value in model.state_dict().items()}
        save_file(state, folder / "model.safetensors", {"format": "pt"})
        config.torch_dtype = dtype
        config.save_pretrained(folder)


def train(text, steps, rate, warm):
    data = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / warm)
        starts = torch.randint(0, len(data) - 97, (4,))
        batch = torch.stack([data[start : start + 96] for start in starts])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 0 or step == steps - 1:
            print(f"step {step} loss {loss.item():.3f}", flush=True)


train(texts[0], args.steps, 1e-3, 20)
# The base as it is released: what is fine-tuned begins from the rounded weights.
save("base")
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(parameter.to(torch.bfloat16).float())
train(texts[1], args.tune_steps, args.rate, 5)
save("tuned")
