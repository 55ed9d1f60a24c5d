/**
 * Reads and writes at positions. Every count is checked. Calls that may be retried are retried, and any other error names file and byte.
 * The disk itself is a parameter, so that tests can pass a failing one.
 */
import { constants, readSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { WeightDiffError } from "../../errors.js";
import { errnoOf, runError } from "../../files/errno.js";
import { openOwn } from "../../files/own.js";
import { openRegular } from "../../files/regular-file.js";

export interface DiskFile {
  readonly path: string;
  /** Offset, length and memory of every read and write must be multiples of `PAGE`. */
  readonly direct: boolean;
  /** @returns how many bytes were read; 0 only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>;
  /**
   * The same at once, for a thread that has nothing else to do until it has the bytes: another thread that reads for it takes longer to be woken
   * than the page cache takes to answer. Only where the file is this machine's. @throws as the system does.
   */
  readNow?(target: Uint8Array, position: number): number;
  /** Says that the bytes from `begin` to `end` will be read in order, as far as that helps. */
  expect?(begin: number, end: number): void;
  /** @returns how many bytes were written. */
  write(source: Uint8Array, position: number): Promise<number>;
  stat(): Promise<{ readonly size: number; readonly modified: string }>;
  truncate(size: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  /** Opens an existing file. `direct` asks to pass by the page cache; where the file system cannot, the file comes back without. */
  openFile(path: string, mode: "read" | "write", direct: boolean): Promise<DiskFile>;
}

/** Unit of direct input and output. Most disks are content with 512; those with 4096-byte sectors are not. */
export const PAGE = 4096;

/** Attempts before a call that only asks to be repeated, or that brings nothing new, counts as failed; with the pauses below, about a second. */
const MAX_ATTEMPTS = 12;

export const localDisk: Disk = {
  async openFile(path, mode, direct) {
    // tmpfs and some network file systems refuse O_DIRECT at open.
    const past =
      direct && constants.O_DIRECT !== undefined
        ? await openAs(path, mode, constants.O_DIRECT).catch(() => null)
        : null;
    const isDirect = past !== null;
    const file = past ?? (await openAs(path, mode, 0));
    return {
      path,
      direct: isDirect,
      read: async (target, position) => (await file.read(target, 0, target.length, position)).bytesRead,
      readNow: (target, position) => readSync(file.fd, target, 0, target.length, position),
      write: async (source, position) => (await file.write(source, 0, source.length, position)).bytesWritten,
      stat: async () => {
        const info = await file.stat({ bigint: true });
        return { size: Number(info.size), modified: String(info.mtimeNs) };
      },
      truncate: (size) => file.truncate(size),
      sync: () => file.sync(),
      close: () => file.close(),
    };
  },
};

/** Inputs may be links; what is written never is one. */
async function openAs(path: string, mode: "read" | "write", flags: number): Promise<FileHandle> {
  if (mode === "write") {
    return openOwn(path, constants.O_RDWR | flags);
  }
  const opened = await openRegular(path, constants.O_RDONLY | flags);
  if (opened === null) {
    throw changedInput(path, "it is no regular file any more");
  }
  return opened.handle;
}

/** Fills `target` from `position`. With `atLeast`, the file may end after that many bytes (the last page of a direct read). */
export async function readFully(
  file: DiskFile,
  target: Uint8Array,
  position: number,
  atLeast = target.length,
): Promise<void> {
  let filled = 0;
  let stalled = 0;
  while (filled < atLeast) {
    // A short direct read leaves an unaligned rest; reading its page again is aligned and harmless.
    const from = file.direct ? filled - (filled % PAGE) : filled;
    const count = await retry(file, "read", position + from, () => file.read(target.subarray(from), position + from));
    if (from + count > filled) {
      filled = from + count;
      stalled = 0;
      continue;
    }
    // A repeated page may come short once more without being the last one of the file.
    stalled++;
    if (count === 0 || stalled === MAX_ATTEMPTS) {
      throw new WeightDiffError(
        "INPUT_CHANGED",
        `ends at byte ${position + filled}, was longer when the run began`,
        "another program is changing the file: wait for it, then run again",
        { at: { file: file.path } },
      );
    }
  }
}

/** As readFully, but synchronous if the file can be read so. */
export function readAtOnce(file: DiskFile, target: Uint8Array, position: number): Promise<void> | null {
  let filled = 0;
  try {
    while (file.readNow !== undefined && filled < target.length) {
      const count = file.readNow(target.subarray(filled), position + filled);
      if (count === 0) {
        break;
      }
      filled += count;
    }
  } catch {
    // The asynchronous read finds and reports what is wrong.
  }
  return filled === target.length ? null : readFully(file, target.subarray(filled), position + filled);
}

/** Writes all of `source` at `position`. */
export async function writeFully(file: DiskFile, source: Uint8Array, position: number): Promise<void> {
  let written = 0;
  let stalled = 0;
  while (written < source.length) {
    const from = file.direct ? written - (written % PAGE) : written;
    const count = await retry(file, "write", position + from, () => file.write(source.subarray(from), position + from));
    if (from + count > written) {
      written = from + count;
      stalled = 0;
      continue;
    }
    stalled++;
    if (count === 0 || stalled === MAX_ATTEMPTS) {
      throw runError(file.path, "write", new Error("the disk takes no more bytes"), position + from);
    }
  }
}

/** Repeats a call that was interrupted (EINTR) or told to come back (EAGAIN), with growing pauses. */
async function retry(
  file: DiskFile,
  action: "read" | "write",
  position: number,
  call: () => Promise<number>,
): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      const code = errnoOf(error);
      if ((code !== "EINTR" && code !== "EAGAIN") || attempt === MAX_ATTEMPTS) {
        throw runError(file.path, action, error, position);
      }
      await new Promise((resolve) => setTimeout(resolve, Math.min(2 ** attempt, 200)));
    }
  }
}

/** An input is not what it was when the run was planned. */
export function changedInput(path: string, how: string): WeightDiffError {
  return new WeightDiffError(
    "INPUT_CHANGED",
    `the input changed during the run: ${how}`,
    "wait until nothing writes to it",
    { at: { file: path }, advice: [{ to: "start over", option: "mode", value: "force", afterwards: true }] },
  );
}
