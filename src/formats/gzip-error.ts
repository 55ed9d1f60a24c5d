/** What zlib says of bytes that are no whole gzip file (zlib.h, "return codes"), in our words. */
import { WeightDiffError } from "../errors.js";

/** Null for an error that is not zlib's. */
export function gzipError(path: string, error: unknown): WeightDiffError | null {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "Z_BUF_ERROR") {
    return new WeightDiffError(
      "TRUNCATED",
      "the gzip data ends too early",
      "the download is incomplete: fetch the file again",
      { at: { file: path } },
    );
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
