/** What verify can check in a checkpoint from stdin, which passes only once and has no files beside it. */
import { WeightDiffError } from "../../errors.js";
import type { Manifest } from "../../manifest/manifest.js";
import type { VerifyOptions } from "./options.js";

/** @throws {WeightDiffError} USAGE for options that need values twice, or files beside the weights. */
export function refuseBesideStream({ raw, against, verifyKey }: VerifyOptions): void {
  const why =
    raw != null
      ? "recovering it with its base needs its values after its header was checked"
      : against != null
        ? "comparing needs the values of both at the same time"
        : verifyKey != null
          ? "a signature is a file beside the weights, and a stream has no other files"
          : null;
  if (why !== null) {
    throw new WeightDiffError("USAGE", `a stream can be read only once: ${why}`, "save it to a file first");
  }
}

/** The name of the file in the stream: the one in its manifest, if that lists a single file. */
export function streamName(manifest: Manifest | null): string {
  const [file, ...more] = manifest?.files ?? [];
  return file === undefined || more.length > 0 ? "model.safetensors" : file.file;
}
