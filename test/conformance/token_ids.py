"""stdin: {"folder", "strings"}; stdout: for each tokenizer the ids of each string, by sentencepiece and by tokenizers themselves."""

import json
import sys
from pathlib import Path

import sentencepiece
import tokenizers

asked = json.load(sys.stdin)
folder = Path(asked["folder"])
pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm" / "tokenizer.model"))
found = {"sentencepiece": [[1, *pieces.encode(text)] for text in asked["strings"]]}
for kind in ("spm", "neox", "llama3"):
    rust = tokenizers.Tokenizer.from_file(str(folder / kind / "tokenizer.json"))
    found[kind] = [rust.encode(text).ids for text in asked["strings"]]
print(json.dumps(found))
