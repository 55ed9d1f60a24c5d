/** What may be asked of the XOR codecs. */
import { type Disk, localDisk } from "../../engine/io/disk.js";
import type { XorRunOptions } from "../../engine/work/xor.js";
import type { Guard } from "../../evidence/guards.js";
import type { OutputMode } from "../../output/directory.js";
import type { RunOptions } from "../../run/run-plan.js";

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
