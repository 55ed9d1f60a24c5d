/** The library: each command of the command line as a function. */

export type { HubOptions } from "./checkpoint/hub-settings.js";
export { type ConvertOptions, type ConvertReport, convert } from "./convert.js";
export { type ErrorCode, EXIT_CODES, WeightDiffError } from "./errors.js";
export type { Check, Finding, Level } from "./finding.js";
export { type InspectedTensor, type InspectOptions, type InspectReport, inspect } from "./inspect.js";
export { type MakeDiffOptions, type MakeDiffReport, makeDiff } from "./make-diff.js";
export type { Manifest } from "./manifest.js";
export type { NaiveSums, SumVerdict } from "./naive-sum.js";
export type { PushedFile } from "./push/files.js";
export type { PushOptions } from "./push/target.js";
export { type PushReport, push } from "./push.js";
export type { RecoverReport } from "./recover/report.js";
export { type RecoverOptions, recover } from "./recover.js";
export type { ProgressState, RunOptions } from "./run-plan.js";
export type { Scheme } from "./scheme/axes.js";
export { SCHEMES } from "./scheme/scheme.js";
export { type VerifyOptions, type VerifyReport, verify } from "./verify.js";
export type { XorReport } from "./xor/files.js";
export type { XorOptions } from "./xor/options.js";
export { type XorCommandOptions, xor } from "./xor.js";
