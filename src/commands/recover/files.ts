/** recover for whole files: the diff is an XOR payload, and no tensor is computed. */
import { WeightDiffError } from "../../errors.js";
import { xorFiles } from "../xor/files.js";
import type { FoundPayload } from "../xor/payload.js";
import type { OpenRecoverOptions, RecoverOptions } from "./options.js";
import { filesReport, type RecoverReport } from "./report.js";

/** @throws {WeightDiffError} as xorFiles; USAGE for options that need tensors. */
export async function recoverFiles(payload: FoundPayload, options: OpenRecoverOptions): Promise<RecoverReport> {
  refuseTensorFlags(options);
  return filesReport(await xorFiles(payload, { ...options, output: options.tuned ?? null }));
}

/** @throws {WeightDiffError} USAGE for options that need tensors. */
function refuseTensorFlags({ dtype, expectSum, rows }: RecoverOptions): void {
  const asked = [
    ...(dtype === undefined || dtype === "auto" ? [] : ["a dtype"]),
    ...(typeof expectSum === "number" ? ["a sum"] : []),
    ...((rows ?? null) === null ? [] : ["a rule for rows"]),
  ];
  if (asked.length > 0) {
    throw new WeightDiffError(
      "USAGE",
      `this payload gives whole files, byte for byte, and no tensor is computed: ${asked.join(" and ")} cannot be asked of it`,
      "ask without it",
    );
  }
}
