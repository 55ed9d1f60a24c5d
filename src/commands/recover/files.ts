/** recover of whole files: the diff is an XOR payload, and no tensor is computed. */
import { WeightDiffError } from "../../errors.js";
import { xorFiles } from "../xor/files.js";
import type { FoundPayload } from "../xor/payload.js";
import type { OpenRecoverOptions, RecoverOptions } from "./options.js";
import { filesReport, type RecoverReport } from "./report.js";

/** @throws {WeightDiffError} as xorFiles; USAGE for what only tensors have. */
export async function recoverFiles(payload: FoundPayload, options: OpenRecoverOptions): Promise<RecoverReport> {
  refuseTensorFlags(options);
  return filesReport(await xorFiles(payload, { ...options, output: options.tuned ?? null }));
}

/** @throws {WeightDiffError} USAGE for what only tensors have. */
function refuseTensorFlags({ dtype, expectSum, rows }: RecoverOptions): void {
  const flag =
    dtype !== undefined
      ? "--dtype"
      : typeof expectSum === "number"
        ? "--expect-sum"
        : (rows ?? null) !== null
          ? "--rows"
          : null;
  if (flag !== null) {
    throw new WeightDiffError(
      "USAGE",
      `${flag}: this payload gives whole files, byte for byte, and no tensor is computed`,
      `leave ${flag} out`,
    );
  }
}
