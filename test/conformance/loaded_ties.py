"""Prints the digests of tensors of models as transformers loads them.

    python loaded_ties.py

Reads one JSON list from stdin: [{"folder": …, "dtype": …, "names": […]}, …]; prints one JSON list of lists of sha256, over the
little-endian bytes in C order. GPT-NeoX's embed_out is lm_head in memory since transformers 5.
"""

import hashlib
import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
found = []
for model in json.load(sys.stdin):
    dtype = getattr(torch, model["dtype"])
    state = transformers.AutoModelForCausalLM.from_pretrained(model["folder"], dtype=dtype).state_dict()
    digests = []
    for name in model["names"]:
        tensor = state["lm_head.weight" if name == "embed_out.weight" and name not in state else name]
        digests.append(hashlib.sha256(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest())
    found.append(digests)
print(json.dumps(found))
