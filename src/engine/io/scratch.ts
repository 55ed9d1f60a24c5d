/** A file of a worker's own for bytes that do not fit its memory. It has no name: whatever ends the program, nothing stays. */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { open, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runError } from "../../files/errno.js";
import { type DiskFile, readFully, writeFully } from "./disk.js";

export interface Scratch {
  read(target: Uint8Array, position: number): Promise<void>;
  write(source: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

/** In the folder for temporary files (TMPDIR). @throws {WeightDiffError} IO, DISK_FULL. */
export async function openScratch(): Promise<Scratch> {
  const path = join(tmpdir(), `weight-diff-${randomUUID()}`);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
  const handle = await open(path, flags, 0o600).catch((error: unknown) => {
    throw runError(path, "make", error);
  });
  // Where a file that is open keeps its name, it is taken away once it is closed.
  const nameless = await unlink(path).then(
    () => true,
    () => false,
  );
  const file: DiskFile = {
    path,
    direct: false,
    read: async (target, position) => (await handle.read(target, 0, target.length, position)).bytesRead,
    write: async (source, position) => (await handle.write(source, 0, source.length, position)).bytesWritten,
    stat: async () => ({ size: Number((await handle.stat()).size), modified: "" }),
    truncate: (size) => handle.truncate(size),
    sync: () => handle.sync(),
    close: () => handle.close(),
  };
  return {
    read: (target, position) => readFully(file, target, position),
    write: (source, position) => writeFully(file, source, position),
    async close() {
      await handle.close();
      if (!nameless) {
        await unlink(path).catch(() => {}); // it is a temporary file, and nobody waits for it
      }
    },
  };
}
