/** What may be asked of the XOR codecs. */
import { type Disk, localDisk } from "../engine/disk.js";
import type { OutputMode } from "../engine/output.js";
import type { XorRunOptions } from "../engine/xor-run.js";
import type { Guard } from "../guards/guards.js";
import type { RunOptions } from "../run-plan.js";

export interface XorOptions extends Omit<RunOptions, "threads" | "directIo"> {
  /** The base: a directory; for .enc files, Meta's 7B consolidated.00.pth or its directory. */
  readonly raw: string;
  /** Where the result goes; null computes and checks everything and writes nothing. */
  readonly output: string | null;
  readonly direction?: "decode" | "encode";
  readonly compress?: boolean;
  readonly ignore?: readonly Guard[];
  readonly mode?: OutputMode;
  readonly dryRun?: boolean;
  readonly onNote?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
}

/** How files are read and written; nobody is told of progress. */
export function runOptionsOf({ disk, windowBytes, signal }: XorOptions): XorRunOptions & { readonly disk: Disk } {
  return { disk: disk ?? localDisk, windowBytes, signal };
}
