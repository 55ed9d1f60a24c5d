"""For each folder of a JSON list on stdin, what transformers' own tokenizer says: {"tokens": len, "padding": whether it has a padding
token}, null where it cannot be loaded."""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import transformers

transformers.logging.set_verbosity_error()


def look(folder):
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    except Exception as error:
        print(folder, error, file=sys.stderr)
        return None
    return {"tokens": len(tokenizer), "padding": tokenizer.pad_token is not None}


print(json.dumps([look(folder) for folder in json.load(sys.stdin)]))
