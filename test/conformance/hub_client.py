"""Calls huggingface_hub's own functions: one JSON line in ({"call": name, "args": {...}}), one JSON line out ({"value": ...} or
{"error": class, "message": text}). HF_ENDPOINT, HF_HOME and the token come with the environment, as for any user of it."""

import json
import sys
from dataclasses import asdict, is_dataclass
from types import GeneratorType

import huggingface_hub
from huggingface_hub.utils import disable_progress_bars


def plain(value):
    if type(value) in (str, int, float, bool) or value is None:
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, GeneratorType)):
        return [plain(item) for item in value]
    if is_dataclass(value):
        return plain({**asdict(value), **vars(value)})
    return plain(vars(value)) if hasattr(value, "__dict__") else str(value)


def main():
    disable_progress_bars()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"value": plain(getattr(huggingface_hub, asked["call"])(**asked["args"]))}
        except Exception as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        print(json.dumps(answer), flush=True)


main()
