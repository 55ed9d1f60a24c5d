/** What may be asked of the XOR codecs. */
import type { Guard } from "../../evidence/guard-names.js";
import type { RunRequest } from "../../make/make.js";

export interface XorOptions extends RunRequest {
  /** The base: a directory; for .enc files, Meta's 7B consolidated.00.pth or its directory. */
  readonly raw: string;
  /** Where the result goes; null computes and checks everything and writes nothing. */
  readonly output: string | null;
  readonly direction?: "decode" | "encode";
  readonly compress?: boolean;
  readonly ignore?: readonly Guard[];
}
