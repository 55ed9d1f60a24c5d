/**
 * Files of a repository onto this disk: several at a time, each in order, so that its digest is there when its last byte is. A
 * part of a file that an earlier run left behind is digested and continued. Nothing gets its final name before it is what the
 * Hub's list says.
 */
import { createHash } from "node:crypto";
import { type FileHandle, open, readdir, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { errnoOf, fileError } from "../files/errno.js";
import type { RemoteFile } from "../http/access.js";
import { openRanges } from "../http/ranges.js";
import { blobDigest, makeFolder } from "./cache.js";

/** Files at a time. */
const PARALLEL = 4;
/** Bytes digested at once of a part that is there already. */
const PIECE = 1 << 20;
/** How often a whole file may arrive with other bytes than the list promises. */
const MAX_DAMAGED = 2;

/** Runs `work` on every item, a few at a time. The first failure ends the others. @throws what failed first. */
export async function inParallel<T>(
  items: readonly T[],
  signal: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<void>,
  most: number = PARALLEL,
): Promise<void> {
  const stop = new AbortController();
  const all = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const queue = items.values();
  const failures: unknown[] = [];
  const walk = async (): Promise<void> => {
    for (const item of queue) {
      if (all.aborted) {
        return;
      }
      try {
        await work(item, all);
      } catch (error) {
        failures.push(error);
        stop.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, walk));
  signal?.throwIfAborted();
  if (failures.length > 0) {
    throw failures[0];
  }
}

/**
 * Fetches a file to `target`, by way of a part beside it.
 * @param onBytes is told of bytes that came, of those that were there already, and by a negative number of those thrown away.
 * @throws {WeightDiffError} NETWORK (also for bytes that are not what the list says), HUB_…, INPUT_CHANGED, DISK_FULL, IO.
 */
export async function downloadFile(
  file: RemoteFile,
  target: string,
  signal: AbortSignal | undefined,
  onBytes: (count: number) => void = () => {},
): Promise<void> {
  await makeFolder(dirname(target));
  const part = await takePart(target);
  try {
    for (let damaged = 0; ; ) {
      const found = await fillPart(file, part, signal, onBytes);
      if (found === null) {
        break;
      }
      await rm(part, { force: true });
      onBytes(-file.size);
      if (!found.resumed && ++damaged === MAX_DAMAGED) {
        throw new WeightDiffError(
          "NETWORK",
          `arrived damaged ${damaged} times: its digest must be ${file.etag}, the last one had ${found.digest}`,
          "something between here and the Hub changes bytes: try another network, or without a proxy",
          { at: { file: file.name } },
        );
      }
    }
    await rename(part, target).catch((error: unknown) => {
      throw fileError(target, "write", error);
    });
    await removeDeadParts(target);
  } finally {
    busy.delete(part);
  }
}

/** Completes the part. @returns null if it is what it should be, else the digest it has, and whether it was begun by an earlier run. */
async function fillPart(
  file: RemoteFile,
  part: string,
  signal: AbortSignal | undefined,
  onBytes: (count: number) => void,
): Promise<{ readonly digest: string; readonly resumed: boolean } | null> {
  const handle = await open(part, "a+").catch((error: unknown) => {
    throw fileError(part, "write", error);
  });
  try {
    const digest = blobDigest(file.etag, file.size)?.hash ?? createHash("sha256");
    let at = await digestPart(handle, part, file.size, digest, signal, onBytes);
    const resumed = at > 0;
    if (at < file.size || file.size === 0) {
      await openRanges(file, signal).stream(at, file.size, async (piece) => {
        await append(handle, part, piece);
        digest.update(piece);
        at += piece.length;
        onBytes(piece.length);
      });
    }
    await handle.sync().catch((error: unknown) => {
      throw fileError(part, "write", error);
    });
    const found = digest.digest("hex");
    return found === file.etag ? null : { digest: found, resumed };
  } finally {
    await handle.close();
  }
}

/** Digests what is there. @returns how many bytes that is: none if the part is longer than the file. */
async function digestPart(
  handle: FileHandle,
  part: string,
  size: number,
  digest: ReturnType<typeof createHash>,
  signal: AbortSignal | undefined,
  onBytes: (count: number) => void,
): Promise<number> {
  const { size: length } = await handle.stat();
  if (length > size) {
    await handle.truncate(0);
    return 0;
  }
  const buffer = new Uint8Array(PIECE);
  let at = 0;
  while (at < length) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, Math.min(PIECE, length - at), at).catch((error: unknown) => {
      throw fileError(part, "read", error);
    });
    if (bytesRead === 0) {
      throw new WeightDiffError("IO", "became shorter while it was read", "is another program using the cache?", {
        at: { file: part },
      });
    }
    digest.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
    onBytes(bytesRead);
  }
  return at;
}

/** Opened for appending: every write goes to the end. */
async function append(handle: FileHandle, part: string, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, written).catch((error: unknown) => {
      throw fileError(part, "write", error);
    });
    written += bytesWritten;
  }
}

/** Parts that this process is filling: its own number says nothing about them. */
const busy = new Set<string>();
/** Processes of another machine cannot be asked whether they live: a shared cache's parts of theirs are left alone. */
const MACHINE = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);

/** "<etag>.<machine>-<process>[-<n>].incomplete": unique as huggingface_hub's are, and it can be told whether anyone still fills it. */
function partName(target: string, turn: number): string {
  return `${target}.${MACHINE}-${process.pid}${turn === 0 ? "" : `-${turn}`}.incomplete`;
}

/** A part for this process alone: the one that a dead process left, or a new one. */
async function takePart(target: string): Promise<string> {
  let turn = 0;
  while (busy.has(partName(target, turn))) {
    turn++;
  }
  const own = partName(target, turn);
  busy.add(own);
  for (const dead of await deadParts(target)) {
    // Whoever is quicker has it; for the other it is not there any more.
    if (
      dead === own ||
      (await rename(dead, own).then(
        () => true,
        () => false,
      ))
    ) {
      break;
    }
  }
  return own;
}

async function removeDeadParts(target: string): Promise<void> {
  for (const dead of await deadParts(target)) {
    await rm(dead, { force: true }).catch(() => {}); // it only takes room
  }
}

async function deadParts(target: string): Promise<readonly string[]> {
  const names = await readdir(dirname(target)).catch(() => []);
  const own = `${basename(target)}.${MACHINE}-`;
  return names.flatMap((name) => {
    const pid = name.startsWith(own) ? /^(\d+)(?:-\d+)?\.incomplete$/.exec(name.slice(own.length))?.[1] : undefined;
    const path = join(dirname(target), name);
    const dead = pid !== undefined && (Number(pid) === process.pid ? !busy.has(path) : !isAlive(Number(pid)));
    return dead ? [path] : [];
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === "EPERM";
  }
}
