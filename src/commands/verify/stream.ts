/** What verify can be asked of a checkpoint that comes through stdin: it passes once, and nothing lies beside it. */
import { WeightDiffError } from "../../errors.js";
import type { Manifest } from "../../manifest/manifest.js";
import type { VerifyOptions } from "./options.js";

/** @throws {WeightDiffError} USAGE for what needs its values again, or files beside it. */
export function refuseBesideStream({ raw, against, verifyKey }: VerifyOptions): void {
  const why =
    raw != null
      ? "recovering it with its base needs its values after its header was checked"
      : against != null
        ? "comparing needs the values of both at the same time"
        : verifyKey != null
          ? "a signature is a file beside the weights, and a stream has no such file"
          : null;
  if (why !== null) {
    throw new WeightDiffError("USAGE", `a stream can be read only once: ${why}`, "save it to a file first");
  }
}

/** What the file in the stream is called: as its manifest says, where that has one file. */
export function streamName(manifest: Manifest | null): string {
  const [file, ...more] = manifest?.files ?? [];
  return file === undefined || more.length > 0 ? "model.safetensors" : file.file;
}
