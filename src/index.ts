/** The library: each command of the command line as a function. */

export type { Advice, Say } from "./advice.js";
export { type ConvertOptions, type ConvertReport, convert } from "./commands/convert.js";
export { type InspectedTensor, type InspectOptions, type InspectReport, inspect } from "./commands/inspect.js";
export { type MakeDiffOptions, type MakeDiffReport, makeDiff } from "./commands/make-diff.js";
export type { PushedFile } from "./commands/push/files.js";
export type { PushOptions } from "./commands/push/target.js";
export { type PushReport, push } from "./commands/push.js";
export type { RecoverReport } from "./commands/recover/report.js";
export { type RecoverOptions, recover } from "./commands/recover.js";
export { type VerifyOptions, type VerifyReport, verify } from "./commands/verify.js";
export type { XorOptions } from "./commands/xor/options.js";
export type { XorReport } from "./commands/xor/recipe.js";
export { type XorCommandOptions, xor } from "./commands/xor.js";
export { type ErrorCode, type ErrorKind, type ErrorPlace, EXIT_CODES, WeightDiffError } from "./errors.js";
export type { Check, Finding, Level } from "./finding.js";
export type { HubOptions } from "./hub/settings.js";
export type { Manifest } from "./manifest/manifest.js";
export type { ProgressState, RunOptions } from "./run/run-plan.js";
export type { Scheme } from "./scheme/axes.js";
export { FAMILIES, SCHEMES } from "./scheme/families.js";
export type { Family } from "./scheme/family.js";
export type { NaiveSums, SumVerdict } from "./sums/naive.js";
