/** The options of the XOR codecs. */
import type { Guard } from "../../evidence/guard-names.js";
import type { RunRequest } from "../../make/recipe.js";

export interface XorOptions extends RunRequest {
  /** The base: a directory; for .enc files, Meta's 7B consolidated.00.pth or its directory. */
  readonly raw: string;
  /** The directory for the result. Null computes and checks everything, and writes nothing. */
  readonly output: string | null;
  /** "decode" (the default) makes a model, "encode" makes a payload of a model. */
  readonly direction?: "decode" | "encode";
  /** When encoding: write gzip files. Decoding recognises them. */
  readonly compress?: boolean;
  /** Guards to switch off. */
  readonly ignore?: readonly Guard[];
}
