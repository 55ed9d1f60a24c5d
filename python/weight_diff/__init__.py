"""Weight diffs: recover a fine-tuned model from one, make, check and publish them.

Each command of the command line is a function, and each of its flags a keyword::

    import weight_diff

    result = weight_diff.recover(path_raw="llama-7b", path_diff="tulu-7b-diff", path_tuned="tulu-7b", dtype="bfloat16")
    model = AutoModelForCausalLM.from_pretrained(result.path)

A command that fails raises :class:`WeightDiffError`. Notes and warnings go to the logger ``weight_diff``; figures of the progress to
the function given as ``progress``. Ctrl-C stops the command, and what is finished stays for ``resume=True``.
"""

from ._commands import (
    chain_fold,
    chain_inspect,
    chain_make,
    chain_materialize,
    chain_verify,
    convert,
    finalize,
    inspect,
    make_diff,
    push,
    recover,
    report,
    sign,
    try_,
    verify,
    xor,
)
from ._process import Progress, WeightDiffError
from ._results import (
    ChainFoldResult,
    ChainInspectResult,
    ChainMakeResult,
    ChainMaterializeResult,
    ChainVerifyResult,
    ConvertResult,
    FinalizeResult,
    InspectResult,
    MakeDiffResult,
    PushResult,
    RecoverResult,
    ReportResult,
    Result,
    SignResult,
    TryResult,
    VerifyResult,
    XorResult,
)

__all__ = [
    "ChainFoldResult",
    "ChainInspectResult",
    "ChainMakeResult",
    "ChainMaterializeResult",
    "ChainVerifyResult",
    "ConvertResult",
    "FinalizeResult",
    "InspectResult",
    "MakeDiffResult",
    "Progress",
    "PushResult",
    "RecoverResult",
    "ReportResult",
    "Result",
    "SignResult",
    "TryResult",
    "VerifyResult",
    "WeightDiffError",
    "XorResult",
    "chain_fold",
    "chain_inspect",
    "chain_make",
    "chain_materialize",
    "chain_verify",
    "convert",
    "finalize",
    "inspect",
    "make_diff",
    "push",
    "recover",
    "report",
    "sign",
    "try_",
    "verify",
    "xor",
]
