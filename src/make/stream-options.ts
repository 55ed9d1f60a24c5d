/** Which options a run refuses that writes its output to stdout, and why. */
import { WeightDiffError } from "../errors.js";
import { STREAM } from "../files/pipe.js";
import type { OutputMode } from "../output/choose-mode.js";

/** The options whose meaning depends on the output being a stream. */
export interface StreamOptions {
  readonly mode?: OutputMode;
  readonly maxShardSize?: number;
  readonly manifestOut?: string | null;
  readonly part?: object | null;
  readonly compress?: boolean;
  readonly report?: boolean;
  readonly signKey?: string | null;
}

/** Options that need a directory, and why. A stream goes out as it is made. */
export const NOT_IN_A_STREAM = {
  part: "a stream is one file",
  compress: "a stream begins with the lengths of all tensors, and those of coded ones are known only at the end",
  report: "a report is written as separate files",
  signKey: "a signature is a separate file, and covers files",
} as const satisfies Partial<Record<keyof StreamOptions, string>>;
/** Why only a stream has the option manifestOut. */
export const MANIFEST_OF_A_STREAM =
  "only a stream has its manifest in another place: a directory gets weight-diff.json";

/**
 * The options for this output: a stream is always one file.
 * @param output as the user wrote it.
 * @throws {WeightDiffError} USAGE for options that a stream cannot have, or that only a stream can have.
 */
export function optionsFor<O extends StreamOptions>(options: O, output: string | null | undefined): O {
  if (output !== STREAM) {
    if (options.manifestOut != null) {
      throw new WeightDiffError("USAGE", MANIFEST_OF_A_STREAM, "leave out the manifest's name, or write to -");
    }
    return options;
  }
  if (options.mode !== undefined && options.mode !== "new") {
    throw new WeightDiffError(
      "USAGE",
      `a stream is written once, from its beginning: it cannot be ${options.mode === "resume" ? "continued" : "replaced"}`,
      "leave out that option, or give a directory",
    );
  }
  for (const [option, because] of Object.entries(NOT_IN_A_STREAM)) {
    const given = options[option as keyof typeof NOT_IN_A_STREAM];
    if (given != null && given !== false) {
      throw new WeightDiffError("USAGE", because, "give a directory");
    }
  }
  return { ...options, maxShardSize: Number.POSITIVE_INFINITY };
}
