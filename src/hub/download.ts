/**
 * Downloads files of a repository: several at a time, each in order, so that its digest is known with its last byte. A part of a file
 * that an earlier run left is digested and continued. A file gets its final name only when it has the digest of the Hub's list.
 */
import { createHash } from "node:crypto";
import { readlinkSync } from "node:fs";
import { type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { blobDigest, isTrueBlob } from "../files/blob.js";
import { errnoOf, fileError } from "../files/errno.js";
import { sizeOf } from "../files/small-files.js";
import type { RemoteFile } from "../http/access.js";
import { openRanges } from "../http/ranges.js";
import { pause } from "../http/retry.js";
import { makeFolder, settle } from "./cache.js";

/** Files at a time, as in huggingface_hub's snapshot_download: over a long line, TCP's window limits each connection. */
const PARALLEL = 8;
/** How many bytes of an existing part are digested at once. */
const PIECE = 1 << 20;
/** How often a whole file may arrive with other bytes than the list promises. */
const MAX_DAMAGED = 2;
/** From this size on, it is worth waiting while another process fetches the file. */
const WORTH_WAITING = 1_000_000;
/** The interval at which the other process's progress is looked at. */
const LOOK_MS = 250;

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
 * @param pointer the file in the snapshot: without links, another process may have put it there at once.
 * @param onBytes gets the number of bytes that came or were there already, and a negative number for bytes that were thrown away.
 * @throws {WeightDiffError} NETWORK (also for bytes that are not what the list says), HUB_…, INPUT_CHANGED, DISK_FULL, IO.
 */
export async function downloadFile(
  file: RemoteFile,
  target: string,
  signal: AbortSignal | undefined,
  onBytes: (count: number) => void = () => {},
  pointer: string = target,
): Promise<void> {
  await makeFolder(dirname(target));
  const part = await takePart(target);
  try {
    if (file.size >= WORTH_WAITING && (await fetchedElsewhere(file, part, target, pointer, signal))) {
      onBytes(file.size);
      return;
    }
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
    await settle(part, target, file.etag, signal);
    await removeDeadParts(target);
  } finally {
    busy.delete(part);
  }
}

/**
 * Waits while another process's part grows that was begun before this one's: if several processes want the same file at the same
 * time, one fetches it.
 * @returns whether the file is there now. Then this process's part is removed.
 */
async function fetchedElsewhere(
  file: RemoteFile,
  part: string,
  target: string,
  pointer: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const handle = await open(part, "a").catch((error: unknown) => {
    throw fileError(part, "write", error);
  });
  await handle.close();
  let waited = false;
  let last = { path: "", size: -1 };
  for (let since = performance.now(); ; waited = true) {
    const older = await olderPart(part, target);
    if (older === null || performance.now() - since > file.access.rateMs) {
      break;
    }
    if (older.path !== last.path || older.size !== last.size) {
      last = older;
      since = performance.now();
    }
    await pause(LOOK_MS, signal);
  }
  for (const place of waited ? new Set([target, pointer]) : []) {
    if ((await sizeOf(place)) === file.size && (await isTrueBlob(place, file.etag, signal))) {
      await rm(part, { force: true });
      return true;
    }
  }
  return false;
}

/** The oldest part of the same file that another process may be filling; null if this one is the oldest. */
async function olderPart(
  part: string,
  target: string,
): Promise<{ readonly path: string; readonly size: number } | null> {
  const names = await readdir(dirname(target)).catch(() => []);
  const dead = new Set(await deadParts(target));
  const parts: { readonly path: string; readonly size: number; readonly born: number }[] = [];
  for (const name of names) {
    const path = join(dirname(target), name);
    if (name.startsWith(`${basename(target)}.`) && name.endsWith(".incomplete") && !dead.has(path)) {
      const info = await stat(path).catch(() => null);
      parts.push(...(info === null ? [] : [{ path, size: info.size, born: info.birthtimeMs }]));
    }
  }
  const [oldest] = parts.sort((a, b) => a.born - b.born || (a.path < b.path ? -1 : 1));
  return oldest === undefined || oldest.path === part ? null : oldest;
}

/** Completes the part. @returns null if its digest is right, else its digest, and whether an earlier run began it. */
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
        const written = append(handle, part, piece);
        digest.update(piece);
        await written;
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

/** The parts that this process is filling. The number of a live process alone does not tell them from abandoned ones. */
const busy = new Set<string>();
/** Names this machine or container. Whether a process elsewhere is alive cannot be known, so its parts in a shared cache are left alone. */
const MACHINE = createHash("sha256").update(`${hostname()}${processNamespace()}`).digest("hex").slice(0, 8);

function processNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

/** "<etag>.<machine>-<process>[-<n>].incomplete": unique as huggingface_hub's are, and it can be told whether anyone still fills it. */
function partName(target: string, turn: number): string {
  return `${target}.${MACHINE}-${process.pid}${turn === 0 ? "" : `-${turn}`}.incomplete`;
}

/** A part for this process alone: one that a dead process has left, or a new one. */
async function takePart(target: string): Promise<string> {
  let turn = 0;
  while (busy.has(partName(target, turn))) {
    turn++;
  }
  const own = partName(target, turn);
  busy.add(own);
  for (const dead of await deadParts(target)) {
    // Another process may have taken it first; then it is gone.
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
    await rm(dead, { force: true }).catch(() => {}); // it would only take room
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
