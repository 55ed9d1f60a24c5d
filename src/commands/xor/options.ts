/** What may be asked of the XOR codecs. */
import type { Guard } from "../../evidence/guard-names.js";
import type { RunRequest } from "../../make/recipe.js";

export interface XorOptions extends RunRequest {
  /** The base: a directory; for .enc files, Meta's 7B consolidated.00.pth or its directory. */
  readonly raw: string;
  /** Where the result goes; null computes and checks everything and writes nothing. */
  readonly output: string | null;
  /** "decode" (the default) gives the model, "encode" makes a payload of one. */
  readonly direction?: "decode" | "encode";
  /** Encoding: are the payload's files made gzip files? Decoding tells them by itself. */
  readonly compress?: boolean;
  /** Guards to switch off. */
  readonly ignore?: readonly Guard[];
}
