/**
 * The library: each command of the command line as a function. A function takes one object of options and returns a promise of a report. It
 * rejects with a WeightDiffError only: decide by its `code` or `kind`, and show `message` and `hint` to people. To stop a call, abort the
 * AbortSignal that its options hold as `signal`.
 */

import { chainFold as runChainFold } from "./commands/chain/fold.js";
import { type ChainInspectReport, chainInspect as runChainInspect } from "./commands/chain/inspect.js";
import { chainMake as runChainMake } from "./commands/chain/make.js";
import { type ChainMaterializeReport, chainMaterialize as runChainMaterialize } from "./commands/chain/materialize.js";
import type {
  ChainFoldOptions,
  ChainInspectOptions,
  ChainMakeOptions,
  ChainMaterializeOptions,
  ChainVerifyOptions,
} from "./commands/chain/options.js";
import type { UpdateReport } from "./commands/chain/update-recipe.js";
import { type ChainVerifyReport, chainVerify as runChainVerify } from "./commands/chain/verify.js";
import { type ConvertOptions, type ConvertReport, convert as runConvert } from "./commands/convert.js";
import { type FinalizeOptions, type FinalizeReport, finalize as runFinalize } from "./commands/finalize.js";
import { type InspectOptions, type InspectReport, inspect as runInspect } from "./commands/inspect.js";
import { type MakeDiffOptions, type MakeDiffReport, makeDiff as runMakeDiff } from "./commands/make-diff.js";
import type { PushOptions } from "./commands/push/target.js";
import { type PushReport, push as runPush } from "./commands/push.js";
import type { RecoverReport } from "./commands/recover/report.js";
import { type RecoverOptions, recover as runRecover } from "./commands/recover.js";
import { type ChangeReport, type ReportOptions, report as runReport } from "./commands/report.js";
import { sign as runSign, type SignOptions, type SignReport } from "./commands/sign.js";
import { status as runStatus, type StatusOptions, type StatusReport } from "./commands/status.js";
import { tryModel as runTry, type TryOptions, type TryReport } from "./commands/try.js";
import { verify as runVerify, type VerifyOptions, type VerifyReport } from "./commands/verify.js";
import type { XorReport } from "./commands/xor/recipe.js";
import { xor as runXor, type XorCommandOptions } from "./commands/xor.js";
import { call } from "./library/call.js";
import { refuseWrongOptions } from "./library/options.js";

export type { Advice, Say } from "./advice.js";
export type { ChainInspectReport, InspectedVersion } from "./commands/chain/inspect.js";
export type {
  ChainFoldOptions,
  ChainInspectOptions,
  ChainMakeOptions,
  ChainMaterializeOptions,
  ChainVerifyOptions,
} from "./commands/chain/options.js";
export type { ChainMaterializeReport, ChainSummary, ChainWarning } from "./commands/chain/report.js";
export type { UpdateReport } from "./commands/chain/update-recipe.js";
export type { ChainFinding, ChainVerifyReport } from "./commands/chain/verify.js";
export type { ConvertOptions, ConvertReport } from "./commands/convert.js";
export type { FinalizeOptions, FinalizeReport } from "./commands/finalize.js";
export type { InspectedTensor, InspectOptions, InspectReport } from "./commands/inspect.js";
export type { MakeDiffOptions, MakeDiffReport } from "./commands/make-diff.js";
export type { PushedFile } from "./commands/push/files.js";
export type { PushOptions } from "./commands/push/target.js";
export type { PushReport } from "./commands/push.js";
export type { RecoverReport } from "./commands/recover/report.js";
export type { RecoverOptions } from "./commands/recover.js";
export type { Change, TensorChange, TokenChange } from "./commands/report/options.js";
export type { ChangeReport, ReportOptions } from "./commands/report.js";
export type { SignOptions, SignReport } from "./commands/sign.js";
export type { PartStatus, StatusOptions, StatusReport } from "./commands/status.js";
export type { NextToken, TextFigure, TryFirst, TryOptions, TryReport } from "./commands/try.js";
export type { VerifyOptions, VerifyReport } from "./commands/verify.js";
export type { XorOptions } from "./commands/xor/options.js";
export type { XorReport } from "./commands/xor/recipe.js";
export type { XorCommandOptions } from "./commands/xor.js";
export {
  type ChainFault,
  type ErrorCode,
  type ErrorKind,
  type ErrorPlace,
  EXIT_CODES,
  WeightDiffError,
} from "./errors.js";
export type { Check, Finding, Level } from "./finding.js";
export type { HubOptions } from "./hub/settings.js";
export type { Manifest } from "./manifest/manifest.js";
export type { ProgressState, RunOptions } from "./run/run-plan.js";
export type { Scheme } from "./scheme/axes.js";
export { FAMILIES, SCHEMES } from "./scheme/families.js";
export type { Family } from "./scheme/family.js";
export type { NaiveSums, SumVerdict } from "./sums/naive.js";

/**
 * Recovers a fine-tuned model from its base and a published diff. The result has the same bits as `recover` of the reference scripts
 * (docs/schemes.md, docs/arithmetic.md). The report has the output files, sizes in bytes, and dtype, shape and sha256 of each tensor.
 * @throws {WeightDiffError} USAGE for wrong options; CHECK_FAILED if the result is not what the diff's own manifest says; any other code
 * except those of push. A naive sum that does not match is no error: the output stays, and `sumCheck` of the report has the verdict.
 */
export function recover(options: RecoverOptions): Promise<RecoverReport> {
  return call("recover", options, runRecover);
}

/**
 * Makes a diff that can be published, and proves that it recovers the tuned model (docs/publishing.md).
 * @throws {WeightDiffError} as recover.
 */
export function makeDiff(options: MakeDiffOptions): Promise<MakeDiffReport> {
  return call("makeDiff", options, runMakeDiff);
}

/**
 * Converts a LLaMA checkpoint in Meta's own layout to Hugging Face's.
 * @throws {WeightDiffError} as recover; FORMAT_UNSUPPORTED for another layout.
 */
export function convert(options: ConvertOptions): Promise<ConvertReport> {
  return call("convert", options, runConvert);
}

/**
 * Puts together the parts that recover, makeDiff or convert made with the option `part` (docs/several-machines.md). The result has the same
 * bytes as a run without parts.
 * @throws {WeightDiffError} as the function that made the parts; OUTPUT_REFUSED, naming the parts that are missing or belong to another
 * run.
 */
export function finalize(options: FinalizeOptions): Promise<FinalizeReport> {
  return call("finalize", options, (checked) => runFinalize(checked, refuseWrongOptions));
}

/** Tells how far each part of a run is. @throws {WeightDiffError} USAGE; OUTPUT_REFUSED if no part was begun; IO. */
export function status(options: StatusOptions): Promise<StatusReport> {
  return call("status", options, runStatus);
}

/**
 * Decodes a model whose files were published XORed with the files of its base, or encodes a model so (docs/schemes.md).
 * @throws {WeightDiffError} as recover; NOT_A_DIFF if nothing is XORed.
 */
export function xor(options: XorCommandOptions): Promise<XorReport> {
  return call("xor", options, runXor);
}

/**
 * Checks whether a checkpoint is complete and unchanged (docs/checks.md). The report lists what is wrong; damage is no error.
 * @throws {WeightDiffError} USAGE, INTERRUPTED; as recover for a path that cannot be opened at all.
 */
export function verify(options: VerifyOptions): Promise<VerifyReport> {
  return call("verify", options, runVerify);
}

/** Tells what a checkpoint or a diff is. Reads headers and small files only. @throws {WeightDiffError} as verify. */
export function inspect(options: InspectOptions): Promise<InspectReport> {
  return call("inspect", options, runInspect);
}

/**
 * Tells what a fine-tune changed: figures for each tensor, module and layer, and the rows of embeddings that moved most (docs/report.md).
 * @throws {WeightDiffError} as recover.
 */
export function report(options: ReportOptions): Promise<ChangeReport> {
  return call("report", options, runReport);
}

/**
 * Runs a language model in constant memory (docs/try.md). The report has the model's answer, its figures beside those of its base, and the
 * verdict whether it speaks.
 * @throws {WeightDiffError} NOT_A_MODEL for a diff; FORMAT_UNSUPPORTED for a model or a tokenizer that cannot be run; USAGE.
 */
export function tryModel(options: TryOptions): Promise<TryReport> {
  return call("tryModel", options, (checked) => runTry(checked));
}

/**
 * Uploads a diff or a model to the Hub. Verifies it before, and compares it with the Hub's list of files after (docs/hub.md).
 * @throws {WeightDiffError} CHECK_FAILED for a directory that is damaged; HUB_…, NETWORK, OUTPUT_REFUSED, USAGE.
 */
export function push(options: PushOptions): Promise<PushReport> {
  return call("push", options, runPush);
}

/**
 * Signs every file of a folder in the format of OpenSSF Model Signing, and writes model.sig (docs/publishing.md).
 * @throws {WeightDiffError} for a key or a folder that cannot be read; OUTPUT_REFUSED for an unfinished output.
 */
export function sign(options: SignOptions): Promise<SignReport> {
  return call("sign", options, runSign);
}

/**
 * Lists the versions of a chain of weight updates, and the steps that lead to the wanted one (docs/chains.md).
 * @throws {WeightDiffError} NOT_FOUND if the path holds no chain.
 */
export function chainInspect(options: ChainInspectOptions): Promise<ChainInspectReport> {
  return call("chainInspect", options, runChainInspect);
}

/** Checks the steps to a version. With the base, checks every checksum of every step. The report lists what is wrong. */
export function chainVerify(options: ChainVerifyOptions): Promise<ChainVerifyReport> {
  return call("chainVerify", options, runChainVerify);
}

/** Makes the model of one version of a chain. @throws {WeightDiffError} with `why` where the chain breaks a rule; CHECK_FAILED for a checksum. */
export function chainMaterialize(options: ChainMaterializeOptions): Promise<ChainMaterializeReport> {
  return call("chainMaterialize", options, runChainMaterialize);
}

/**
 * Folds several steps of a chain into one.
 * @throws {WeightDiffError} USAGE where the steps fold only with the base, or where this Node cannot write zstd.
 */
export function chainFold(options: ChainFoldOptions): Promise<UpdateReport> {
  return call("chainFold", options, runChainFold);
}

/**
 * Makes the next version of a chain from two models.
 * @throws {WeightDiffError} MISMATCH where an update cannot express the change, or where the chain stands at another version.
 */
export function chainMake(options: ChainMakeOptions): Promise<UpdateReport> {
  return call("chainMake", options, runChainMake);
}
