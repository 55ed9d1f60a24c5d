/** How verify checks a diff with its base: computes the model without writing it, and compares it with make-diff's manifest. */

import { unusable } from "../../check/survey.js";
import { openCheckpoint } from "../../checkpoint/checkpoint.js";
import type { SchemeOptions } from "../../evidence/scheme.js";
import type { AddFinding } from "../../finding.js";
import type { Hub } from "../../hub/place.js";
import type { Manifest } from "../../manifest/manifest.js";
import type { RunOptions } from "../../run/run-plan.js";
import type { ModelSums } from "../../sums/judge.js";
import type { RecoverReport } from "../recover/report.js";
import { recover } from "../recover.js";

/**
 * How many tensors were recovered, how many of them the manifest has a digest of, and how many elements the manifest says are not restored
 * exactly.
 */
export interface RecoveredTensors {
  readonly tensors: number;
  readonly compared: number;
  readonly inexact: number;
}

interface DiffOptions extends RunOptions, SchemeOptions {
  /** The diff. */
  readonly path: string;
  readonly hub: Hub;
}

/** Recovers the diff with its base. A base that does not fit is a finding. A path that is not a checkpoint is an error. */
export async function recoverDiff(
  raw: string,
  options: DiffOptions,
  report: AddFinding,
): Promise<RecoverReport | null> {
  await openCheckpoint(raw, options.hub);
  try {
    return await recover({
      ...options,
      raw,
      diff: options.path,
      tuned: null,
      expectSum: null,
      invFreq: "keep",
    });
  } catch (error) {
    report("error", unusable(error, options.path));
    return null;
  }
}

export function sumsOfRun({ sums, tensorSums }: RecoverReport): ModelSums | null {
  return sums === null ? null : { sums, byTensor: tensorSums };
}

/** @param summed was the sum of the recovered model compared with an expected one? */
export function checkRecovered(
  run: RecoverReport,
  manifest: Manifest | null,
  summed: boolean,
  report: AddFinding,
): RecoveredTensors {
  if (manifest?.operation !== "make-diff") {
    report(
      summed ? "note" : "warning",
      `${run.tensors.length} tensors were recovered but none compared: there is no manifest of make-diff that says what they should be`,
      summed ? {} : { code: "not-compared" },
    );
    return { tensors: run.tensors.length, compared: 0, inexact: 0 };
  }
  const found = new Map(run.tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name, recovered } of manifest.tensors) {
    const tensor = found.get(name);
    if (tensor === undefined) {
      report("error", "is in the manifest, but was not recovered", { tensor: name });
    } else if (tensor.sha256 !== recovered) {
      report("error", "with this base, the recovered tensor is not the one that the manifest has", { tensor: name });
    }
  }
  const inexact = manifest.tensors.reduce((sum, tensor) => sum + tensor.inexact, 0);
  if (inexact > 0) {
    report("note", `${inexact} elements do not come back bit for bit, as the manifest says`);
  }
  return { tensors: run.tensors.length, compared: manifest.tensors.length, inexact };
}
