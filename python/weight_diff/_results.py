"""What the commands give: the fields that most callers want, and the whole document of ``--json``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, List, Mapping, Optional


@dataclass(frozen=True)
class Result:
    """``document`` is what the command prints with ``--json``; ``exit_code`` is 0, or 3 where a check failed."""

    document: Mapping[str, Any] = field(repr=False)
    exit_code: int = 0

    @property
    def outcome(self) -> str:
        """What was done, in a word: "recovered", "planned" …"""
        return str(self.document["outcome"])


@dataclass(frozen=True)
class _Written(Result):
    @property
    def path(self) -> Optional[str]:
        """The directory that was written; None if nothing was."""
        path: Optional[str] = self.document["output"]
        return path

    @property
    def files(self) -> List[Mapping[str, Any]]:
        """Each weight file's "file" and "size" in bytes."""
        return list(self.document["files"])


@dataclass(frozen=True)
class RecoverResult(_Written):
    """``outcome``: "recovered", "checked" (nothing was written), "planned" (dry run), "verified" (it was finished before) or "part"."""

    @property
    def scheme(self) -> str:
        """By whose script's rules."""
        return str(self.document["scheme"])

    @property
    def dtype(self) -> Optional[str]:
        """torch's name of the float tensors' dtype; None where each has its own."""
        return self.document.get("dtype")

    @property
    def sum_check(self) -> Optional[Mapping[str, Any]]:
        """The naive sum against the one that was expected: its "verdict" is "pass" or "fail". None if none was expected."""
        return self.document.get("sum_check")


@dataclass(frozen=True)
class MakeDiffResult(_Written):
    """``outcome``: "made", "checked", "planned", "verified" or "part"."""

    @property
    def encoding(self) -> str:
        return str(self.document["encoding"])

    @property
    def inexact(self) -> List[Mapping[str, Any]]:
        """Tensors that come back with other bits: "name", and "count" of elements."""
        return list(self.document["inexact"])


@dataclass(frozen=True)
class ConvertResult(_Written):
    """``outcome``: "converted", "planned", "verified" or "part"."""


@dataclass(frozen=True)
class FinalizeResult(Result):
    """``outcome``: that of the command whose parts were put together, or "verified" (they were before)."""

    @property
    def path(self) -> str:
        """The directory that was written."""
        return str(self.document["output"])


@dataclass(frozen=True)
class XorResult(_Written):
    """``outcome``: "made", "checked", "planned" or "verified"."""


@dataclass(frozen=True)
class VerifyResult(Result):
    """``outcome`` is the verdict in a word."""

    @property
    def outcome(self) -> str:
        return str(self.document["verdict"])

    @property
    def sound(self) -> bool:
        return bool(self.document["sound"])

    @property
    def findings(self) -> List[Mapping[str, Any]]:
        """What was found, errors and warnings and notes: each with its "level", "message", "file" and "tensor"."""
        return list(self.document["findings"])


@dataclass(frozen=True)
class SignResult(Result):
    """``outcome``: always "signed"."""

    @property
    def outcome(self) -> str:
        return "signed"

    @property
    def signature(self) -> str:
        """Where the signature was written."""
        return str(self.document["signature"])


@dataclass(frozen=True)
class InspectResult(Result):
    """``outcome``: "diff", "full", or "unknown" where nothing tells."""

    @property
    def outcome(self) -> str:
        return self.kind or "unknown"

    @property
    def kind(self) -> Optional[str]:
        kind: Optional[str] = self.document["identity"]["kind"]
        return kind

    @property
    def traps(self) -> List[str]:
        """What may go wrong with it."""
        return list(self.document["traps"])


@dataclass(frozen=True)
class ReportResult(Result):
    """``outcome``: "changed", or "equal" where every element that the base has is as it was."""

    @property
    def outcome(self) -> str:
        return "equal" if self.document["total"]["changed"] == 0 else "changed"

    @property
    def relative(self) -> Optional[float]:
        """The norm of the difference over the norm of the base."""
        relative: Optional[float] = self.document["total"]["relative"]
        return relative

    @property
    def tensors(self) -> List[Mapping[str, Any]]:
        """Each tensor with its figures."""
        return list(self.document["tensors"])


@dataclass(frozen=True)
class TryResult(Result):
    """``outcome``: "speaks", "worse-than-base", "unmeasured"; "silent", "guessing" or "broken", which are failures."""

    @property
    def outcome(self) -> str:
        return str(self.document["verdict"])

    @property
    def failed(self) -> bool:
        return bool(self.document["failed"])

    @property
    def text(self) -> Optional[str]:
        """What the model answered; None without a tokenizer."""
        text: Optional[str] = self.document["text"]
        return text


@dataclass(frozen=True)
class PushResult(Result):
    """``outcome``: "pushed", "unchanged" or "planned"."""

    @property
    def url(self) -> str:
        return str(self.document["url"])

    @property
    def commit(self) -> Optional[str]:
        commit: Optional[str] = self.document["commit"]
        return commit


@dataclass(frozen=True)
class ChainMaterializeResult(_Written):
    """``outcome``: "materialized", "checked", "planned" or "verified"."""

    @property
    def version(self) -> str:
        """The version that was made."""
        return str(self.document["version"])

    @property
    def warnings(self) -> List[str]:
        """What no checksum covers, and what goes stale: "unproven", "tied", "no-checksums", "gap", "weak"."""
        return list(self.document["warn"])


@dataclass(frozen=True)
class ChainVerifyResult(Result):
    """``outcome`` is the verdict: "sound" or "failed"."""

    @property
    def outcome(self) -> str:
        return str(self.document["verdict"])

    @property
    def findings(self) -> List[Mapping[str, Any]]:
        """What is wrong: each with its "why", "message", "version", "file" and "tensor"."""
        return list(self.document["findings"])


@dataclass(frozen=True)
class ChainInspectResult(Result):
    """``outcome``: "way" where the version can be reached, else "no way"."""

    @property
    def outcome(self) -> str:
        return "no way" if self.document["way"] is None else "way"

    @property
    def versions(self) -> List[Mapping[str, Any]]:
        return list(self.document["versions"])


@dataclass(frozen=True)
class _Update(_Written):
    """``outcome``: "made", "planned" or "verified"."""

    @property
    def version(self) -> str:
        """The version that was written."""
        return str(self.document["version"])

    @property
    def base_version(self) -> str:
        """The version that it is made on; of a full one itself."""
        return str(self.document["base_version"])


@dataclass(frozen=True)
class ChainFoldResult(_Update):
    """``outcome``: "made", "planned" or "verified"."""


@dataclass(frozen=True)
class ChainMakeResult(_Update):
    """``outcome``: "made", "planned" or "verified"."""
