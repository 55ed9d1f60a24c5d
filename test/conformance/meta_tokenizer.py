"""Loads the tokenizer of a converted model as a user does, and prints {"class": …, "ids": [[…] …]} for the texts on stdin (a JSON list)."""
import json
import sys

from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
texts = json.load(sys.stdin)
print(json.dumps({"class": type(tokenizer).__name__, "ids": [tokenizer(text).input_ids for text in texts]}))
