/** The scheme that recover uses, and the guards that make sure that base and diff are what the user takes them for. */
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { WeightDiffError } from "../../errors.js";
import { guardRoles, type Inputs, readAheadOfGuards } from "../../evidence/guards.js";
import type { SampledPair } from "../../evidence/sample.js";
import type { SchemeChoice } from "../../evidence/scheme/choice.js";
import { decideScheme, summedPart, withFlags } from "../../evidence/scheme.js";
import { torchName } from "../../formats/dtype.js";
import { planOptionsOf } from "../../make/open.js";
import { readCoded } from "../../plan/coded.js";
import { type AdditiveRecord, type ExactRecord, encodingOf, readExactRecord } from "../../plan/exact.js";
import type { RecoverPlanOptions } from "../../plan/plan-recover.js";
import type { Scheme } from "../../scheme/axes.js";
import { refuseRoundedMean } from "../../scheme/custom.js";
import type { RecoverOptions } from "./options.js";

interface Chosen {
  readonly choice: SchemeChoice;
  /** What the guards judge: the part of the diff that holds differences. */
  readonly judged: Inputs;
  readonly sample: readonly SampledPair[];
}

/**
 * The guards come first: something that is not a diff has no scheme, and they know why.
 * @throws {WeightDiffError} SCHEME_UNKNOWN, USAGE; as guardRoles.
 */
export async function chooseAndGuard(inputs: Inputs, options: RecoverOptions): Promise<Chosen> {
  readAheadOfGuards(inputs);
  const decided = await decideScheme(options, inputs);
  const judged =
    decided instanceof WeightDiffError ? inputs : { ...inputs, diff: summedPart(inputs.diff, decided.scheme) };
  const sample = await guardRoles(judged, options);
  if (decided instanceof WeightDiffError) {
    throw decided;
  }
  const choice = withFlags(decided, options);
  const { scheme } = choice;
  if (options.variants?.includes("low_cpu_mem") === true && choice.family?.variant !== "low_cpu_mem") {
    options.onNote?.("low_cpu_mem: memory is always small");
  }
  refuseRoundedMean(options.rows ?? scheme.newRows, scheme.arithmetic);
  options.onNote?.(`scheme ${scheme.name}: ${decided.reason}`);
  return { choice, judged, sample };
}

export function planOptions(
  scheme: Scheme,
  inputs: Inputs,
  record: AdditiveRecord | null,
  options: RecoverOptions,
): RecoverPlanOptions {
  return {
    ...planOptionsOf(inputs, options),
    scheme,
    dtype: options.dtype === undefined || options.dtype === "auto" ? null : options.dtype,
    diffTied: inputs.diffTied ?? null,
    exact: scheme.operation === "add-bits" ? exactRecord(options, inputs.diff) : null,
    record,
  };
}

/** What an exact diff states of its tensors, which have their own dtypes. @throws {WeightDiffError} USAGE if another dtype is asked for. */
function exactRecord(options: RecoverOptions, diff: Checkpoint): ExactRecord {
  if (options.dtype !== undefined && options.dtype !== "auto") {
    throw new WeightDiffError(
      "USAGE",
      `dtype ${torchName(options.dtype)}: an exact diff gives every tensor the dtype of the tuned model`,
      "ask for no dtype",
    );
  }
  return encodingOf(diff) === "compressed" ? readCoded(diff) : readExactRecord(diff);
}
