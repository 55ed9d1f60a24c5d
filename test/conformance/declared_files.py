"""What the installed transformers says of files beside weights, read from its sources: optional packages need not be there.
Prints {"tokenizers": {role: [file]}, "constants": [file], "folders": [name], "templates": folder}."""
import ast
import glob
import json
import os
import re

import transformers

ROOT = os.path.dirname(transformers.__file__)


def assigned(path):
    """Constants of a module that are plain values."""
    found = {}
    for node in ast.walk(ast.parse(open(path, encoding="utf-8").read())):
        for target in node.targets if isinstance(node, ast.Assign) else []:
            if isinstance(target, ast.Name):
                try:
                    found[target.id] = ast.literal_eval(node.value)
                except ValueError:
                    pass
    return found


tokenizers = {}
folders = set()
for path in glob.glob(ROOT + "/models/**/*.py", recursive=True) + glob.glob(ROOT + "/tokenization_*.py"):
    name = os.path.basename(path)
    if name.startswith("tokenization_"):
        for key, value in assigned(path).items():
            if key == "VOCAB_FILES_NAMES" and isinstance(value, dict):
                for role, file in value.items():
                    if isinstance(file, str):
                        tokenizers.setdefault(role, set()).add(file)
    if name.startswith("processing_"):
        # A processor's parts are the parameters of its __init__; a tokenizer that is not "tokenizer" has a folder of its name.
        for match in re.finditer(r"def __init__\(([^)]*)\)", open(path, encoding="utf-8").read()):
            folders.update(re.findall(r"\b(\w+_tokenizer)\b\s*[,=:]", match.group(1) + ","))
constants = {}
for module in ("utils/__init__.py", "utils/hub.py", "tokenization_utils_base.py", "tokenization_utils_tokenizers.py", "integrations/mistral/constants.py"):
    constants.update(assigned(os.path.join(ROOT, module)))
# Weights, the config, a model card, and what trainers keep for themselves are no side files.
no_side_file = re.compile(r"WEIGHTS|^CONFIG_NAME$|MODEL_CARD|TRAIN|OPTIMIZER|SCALER|SCHEDULER")
files = {
    value
    for key, value in constants.items()
    if isinstance(value, str)
    and (key.endswith("_NAME") or key.endswith("_FILE"))
    and re.fullmatch(r"[\w.]+\.(json|jinja|model|txt)", value)
    and not no_side_file.search(key)
}
print(
    json.dumps(
        {
            "tokenizers": {role: sorted(names) for role, names in tokenizers.items()},
            "constants": sorted(files),
            "folders": sorted(folders - {"audio_tokenizer"}),
            "templates": constants["CHAT_TEMPLATE_DIR"],
        }
    )
)
