/** Preloaded into the program: every write of more than a page takes 20 ms longer (or SLOW_MS), so that a test can act in the middle of a run. */
import fsp, { type FileHandle } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { setTimeout as pause } from "node:timers/promises";

const open = fsp.open.bind(fsp);

const MS = Number(process.env.SLOW_MS ?? 20);

async function slowOpen(...args: Parameters<typeof fsp.open>): Promise<FileHandle> {
  const handle = await open(...args);
  const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<unknown>;
  const slowWrite = async (bytes: Uint8Array, ...rest: unknown[]): Promise<unknown> => {
    if (bytes.length > 4096) {
      await pause(MS);
    }
    return write(bytes, ...rest);
  };
  return Object.assign(handle, { write: slowWrite });
}

Object.assign(fsp, { open: slowOpen });
syncBuiltinESMExports();
