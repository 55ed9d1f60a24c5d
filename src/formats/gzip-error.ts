/** Turns zlib's errors about bytes that are not a whole gzip file (zlib.h, "return codes") into a WeightDiffError. */
import { WeightDiffError } from "../errors.js";
import { INCOMPLETE } from "./damage.js";

/** Null for an error that does not come from zlib. */
export function gzipError(path: string, error: unknown): WeightDiffError | null {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "Z_BUF_ERROR") {
    return new WeightDiffError("TRUNCATED", "the gzip data ends too early", INCOMPLETE, { at: { file: path } });
  }
  if (code.startsWith("Z_")) {
    return new WeightDiffError(
      "FORMAT_INVALID",
      `damaged gzip data: ${error instanceof Error ? error.message : code}`,
      "fetch the file again, or read it as a file that is not compressed",
      { at: { file: path } },
    );
  }
  return null;
}
