/** What verify reports about another checkpoint that should hold the same model. */
import { type CheckpointComparison, compareCheckpoints } from "../../check/compare.js";
import { type Checkpoint, openCheckpoint } from "../../checkpoint/checkpoint.js";
import { WeightDiffError } from "../../errors.js";
import { recoverFirst } from "../../evidence/guards.js";
import { markOf, refuseStep } from "../../evidence/identify.js";
import type { AddFinding } from "../../finding.js";
import { quote } from "../../formats/quote.js";
import type { Hub } from "../../hub/place.js";
import { encodingOf } from "../../plan/exact.js";
import type { RunOptions } from "../../run/run-plan.js";

/** If at most so many tensors differ for the same reason, each is named. More are one finding. */
const MOST_NAMED = 3;

/** @throws {WeightDiffError} NOT_A_MODEL, MISMATCH; as openCheckpoint and compareCheckpoints. */
export async function compareWith(
  checkpoint: Checkpoint,
  against: string,
  options: RunOptions & { readonly hub: Hub },
  report: AddFinding,
): Promise<CheckpointComparison> {
  const other = await openCheckpoint(against, options.hub);
  refuseStep(checkpoint);
  refuseStep(other);
  refuseDifferences(checkpoint, other);
  const comparison = await compareCheckpoints(checkpoint, other, options);
  const alike = new Map<string, string[]>();
  for (const { name, reason } of comparison.tensors) {
    if (reason !== null) {
      const names = alike.get(reason) ?? [];
      names.push(name);
      alike.set(reason, names);
    }
  }
  for (const [reason, names] of alike) {
    if (names.length > MOST_NAMED) {
      report("error", `${names.length} tensors differ (first: ${quote(names[0] ?? "")}): ${reason}`);
    }
  }
  for (const { name, verdict, reason, different, elements, maxDifference } of comparison.tensors) {
    const file = checkpoint.stateDict.get(name)?.shard.file;
    const where = { tensor: name, ...(file === undefined ? {} : { file }) };
    const gap = maxDifference === null ? "" : `, by at most ${maxDifference}`;
    if (reason !== null) {
      (alike.get(reason)?.length ?? 0) <= MOST_NAMED && report("error", `differs: ${reason}`, where);
    } else if (verdict === "different") {
      report("error", `differs in ${different} of ${elements} values${gap}`, where);
    } else if (verdict === "rounded") {
      report("note", `equal after rounding: ${different} of ${elements} values were rounded${gap}`, where);
    }
  }
  for (const tensor of comparison.standIns) {
    report("note", "is stored on one side only: the other of head and embedding, which are tied, stands for it", {
      tensor,
    });
  }
  const [renamed] = comparison.renamed;
  if (renamed !== undefined) {
    report(
      "note",
      `${comparison.renamed.size} ${comparison.renamed.size === 1 ? "tensor has another name" : "tensors have other names"} in ${against}: ${quote(renamed[0])} is ${quote(renamed[1])}`,
    );
  }
  const side = (names: readonly string[], here: string): void => {
    for (const tensor of names) {
      report("error", `is only in ${here}`, { tensor });
    }
  };
  side(comparison.onlyHere, checkpoint.path);
  side(comparison.onlyThere, against);
  if (comparison.tensors.length === 0) {
    report("error", `not one tensor is also in ${against}`);
  }
  if (comparison.buffers.length > 0) {
    report(
      "note",
      `${comparison.buffers.length} ${comparison.buffers.length === 1 ? "buffer is" : "buffers are"} on one side only, or not stored alike: models compute them (${quote(comparison.buffers[0] ?? "")})`,
    );
  }
  return comparison;
}

/**
 * The values of a diff compare with those of a diff of its own encoding, and with no other ones.
 * @throws {WeightDiffError} NOT_A_MODEL for a diff beside a model; MISMATCH for two encodings.
 */
function refuseDifferences(here: Checkpoint, there: Checkpoint): void {
  const [ours, theirs] = [encodingOf(here), encodingOf(there)];
  if (ours === theirs) {
    return;
  }
  if (ours !== null && theirs !== null) {
    throw new WeightDiffError(
      "MISMATCH",
      `values of two encodings cannot be compared: the diff ${here.path} is ${ours}, the diff ${there.path} ${theirs}`,
      "recover both models, and compare those",
    );
  }
  const [diff, model] = ours === null ? [there, here] : [here, there];
  throw new WeightDiffError(
    "NOT_A_MODEL",
    `${diff.path} is a diff (${markOf(diff)}), ${model.path} is not marked as one: their values cannot be compared`,
    undefined,
    { advice: [recoverFirst("BASE", diff.path)] },
  );
}
