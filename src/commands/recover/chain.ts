/** recover for a chain of updates, as RL trainers publish them: the same as materialising the version. */
import { findChain } from "../../chain/open.js";
import { WeightDiffError } from "../../errors.js";
import { chainMaterialize } from "../chain/materialize.js";
import type { OpenRecoverOptions } from "./options.js";
import { chainReport, type RecoverReport } from "./report.js";

/** Is the diff a chain? @throws {WeightDiffError} USAGE if a version is asked of something else; with `why` for a damaged pointer. */
export async function isChain({ diff, hub, to, baseVersion }: OpenRecoverOptions): Promise<boolean> {
  const chain = await findChain(diff, hub).catch((error: unknown) => {
    // Opening it as a checkpoint will report what is wrong with it.
    if (error instanceof WeightDiffError && error.why === null && error.kind === "input") {
      return null;
    }
    throw error;
  });
  if (chain === null && ((to ?? null) !== null || baseVersion !== undefined)) {
    throw new WeightDiffError(
      "USAGE",
      `${diff} is not a chain of updates, so it has no versions`,
      "give a chain as the diff, or leave the version out",
    );
  }
  return chain !== null;
}

/** @throws {WeightDiffError} as chainMaterialize; USAGE for options that a chain does not have. */
export async function recoverChain(options: OpenRecoverOptions): Promise<RecoverReport> {
  const {
    dtype,
    rows,
    scheme,
    custom,
    variants,
    expectSum,
    invFreq,
    ignore,
    verifyKey: _,
    line: __,
    part,
    parts: ___,
    diff,
    ...rest
  } = options;
  const asked = [
    ...(dtype === undefined ? [] : ["a dtype"]),
    ...((rows ?? null) === null ? [] : ["a rule for rows"]),
    ...(scheme === undefined || scheme === "auto" ? [] : ["a scheme"]),
    ...(custom === undefined && variants === undefined ? [] : ["the settings of a scheme"]),
    ...(typeof expectSum === "number" ? ["a sum"] : []),
    ...(invFreq === undefined ? [] : ["a rule for inv_freq"]),
    ...(ignore === undefined || ignore.length === 0 ? [] : ["switching a guard off"]),
    ...((part ?? null) === null ? [] : ["a part"]),
  ];
  if (asked.length > 0) {
    throw new WeightDiffError(
      "USAGE",
      `${diff} is a chain of updates, whose steps state every tensor's bytes: ${asked.join(" and ")} cannot be chosen`,
      `leave ${asked.length === 1 ? "it" : "them"} out: the steps decide`,
    );
  }
  return chainReport(await chainMaterialize({ ...rest, chain: diff }));
}
