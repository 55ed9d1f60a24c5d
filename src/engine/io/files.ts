/** The files of one worker, opened at their first use. A change of an input since the plan is found here. */
import { WeightDiffError } from "../../errors.js";
import { isTrueBlob } from "../../files/blob.js";
import { errnoOf, runError } from "../../files/errno.js";
import type { ByteRange } from "../../formats/tensor-info.js";
import type { RemoteFile } from "../../http/access.js";
import { newRequestCount, type RequestCount } from "../../http/request-count.js";
import { changedInput, type Disk, type DiskFile, PAGE, readFully, writeFully } from "./disk.js";
import { readingHere } from "./here.js";
import { openRemote } from "./remote.js";

/** An input file as it was when the run was planned. */
export interface InputFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Nanoseconds since 1970, as text. */
  readonly modified: string;
  /** Read past the page cache: for files that are not in it. */
  readonly direct: boolean;
  /** Set where the file is not on this disk: it is read from the Hub, by range. */
  readonly remote?: RemoteFile;
  /**
   * Of a file of the Hub's cache: what `path` leads to, and the digest that it has. Another process that fetches the same may put
   * the same bytes in its place, or the link that leads there, at any time.
   */
  readonly blob?: { readonly path: string; readonly etag: string };
}

/** An output file in the staging folder. */
export interface OutputFile {
  readonly path: string;
  /** No page before this byte is shared with ordinary output. */
  readonly directEnd: number;
  readonly direct: boolean;
}

export interface WorkerFiles {
  /** An input without direct reads, for pieces that are no pages. */
  input(index: number): Promise<DiskFile>;
  /**
   * Reads `length` bytes of an input, from `position` on, into `memory` at `buffer`. Past the page cache whole pages come:
   * up to two more than `length`. @param until the end of what will be read in order.
   * @returns where the first byte ended up, within the buffer's first page.
   */
  read(
    index: number,
    position: number,
    length: number,
    memory: Uint8Array,
    buffer: number,
    until: number,
  ): Promise<number>;
  /** Writes `source` into the output tensor at `tensor`, from byte `position` of the file. */
  write(index: number, tensor: ByteRange, source: Uint8Array, position: number): Promise<void>;
  /** Reads what was written into an output before. */
  reread(index: number, target: Uint8Array, position: number): Promise<void>;
  /** Does this thread do the next read itself? Then nothing is gained by beginning it early. */
  readsHere(): boolean;
  /** Cuts an output off after `size` bytes: an earlier run may have left more. */
  truncate(index: number, size: number): Promise<void>;
  /** @throws {WeightDiffError} IO, DISK_FULL: network file systems may report a failed write only now. */
  close(): Promise<void>;
}

/**
 * @param readsHere read what is in the page cache in this thread. @param requests that may be under way for files at the Hub, beyond the
 * first of each stretch.
 */
export function openWorkerFiles(
  disk: Disk,
  inputs: readonly InputFile[],
  outputs: readonly OutputFile[],
  {
    signal,
    readsHere = false,
    requests = 0,
  }: {
    readonly signal?: AbortSignal | undefined;
    readonly readsHere?: boolean | undefined;
    readonly requests?: number | undefined;
  } = {},
): WorkerFiles {
  const here = readingHere(readsHere);
  const count = newRequestCount(requests);
  const elsewhere = inputs.some(({ direct, remote }) => direct || remote !== undefined);
  const opened = new Map<string, Promise<DiskFile>>();
  const once = (key: string, open: () => Promise<DiskFile>): Promise<DiskFile> => {
    const file = opened.get(key) ?? open();
    opened.set(key, file);
    // The caller awaits it. The copy in the map must not count as an unhandled rejection.
    file.catch(() => {});
    return file;
  };
  const refusedReads = new Set<number>();
  const refusedWrites = new Set<number>();
  const input = (index: number, direct: boolean): Promise<DiskFile> => {
    const planned = inputs[index];
    if (planned === undefined) {
      throw new RangeError(`no input ${index}`);
    }
    return once(`in ${index} ${direct}`, async () => {
      const file = await openInput(disk, planned, direct, { signal, count });
      try {
        await refuseChange(planned, await file.stat());
        return file.direct ? file : here.of(file);
      } catch (error) {
        await file.close().catch(() => {}); // the file was only read
        throw runError(planned.path, "look at", error);
      }
    });
  };
  const output = (index: number, direct: boolean): Promise<DiskFile> => {
    const file = outputs[index];
    if (file === undefined) {
      throw new RangeError(`no output ${index}`);
    }
    return once(`out ${index} ${direct}`, () => openAs(disk, file.path, "write", direct));
  };
  return {
    input: (index) => input(index, false),
    async read(index, position, length, memory, buffer, until) {
      if (inputs[index]?.direct === true && !refusedReads.has(index)) {
        const file = await input(index, true);
        const skip = file.direct ? position % PAGE : 0;
        const end = file.direct ? Math.ceil((skip + length) / PAGE) * PAGE : length;
        try {
          await readFully(file, memory.subarray(buffer, buffer + end), position - skip, skip + length);
          return buffer + skip;
        } catch (error) {
          // Some file systems take O_DIRECT at open and refuse the read itself.
          if (!file.direct || !isInvalid(error)) {
            throw error;
          }
          refusedReads.add(index);
        }
      }
      const file = await input(index, false);
      if (until > position + length) {
        file.expect?.(position, until);
      }
      await readFully(file, memory.subarray(buffer, buffer + length), position);
      return buffer;
    },
    async write(index, tensor, source, position) {
      const planned = outputs[index];
      const direct = planned?.direct === true && tensor.end <= planned.directEnd && !refusedWrites.has(index);
      try {
        await writeFully(await output(index, direct), source, position);
      } catch (error) {
        // As with reads.
        if (!direct || !isInvalid(error)) {
          throw error;
        }
        refusedWrites.add(index);
        await writeFully(await output(index, false), source, position);
      }
    },
    async reread(index, target, position) {
      await readFully(await output(index, false), target, position);
    },
    readsHere: () => !elsewhere && here.now(),
    async truncate(index, size) {
      const file = await output(index, false);
      await file.truncate(size);
    },
    async close() {
      const closed = await Promise.allSettled(
        [...opened.values()].map(async (opening) => {
          const file = await opening.catch(() => null); // the call that opened it has thrown
          await file?.close().catch((error: unknown) => {
            throw runError(file.path, "close", error);
          });
        }),
      );
      const failed = closed.find((outcome) => outcome.status === "rejected");
      if (failed !== undefined) {
        throw failed.reason;
      }
    },
  };
}

/** Opens a file. @throws {WeightDiffError} INPUT_CHANGED if there is none to read any more, IO. */
export async function openAs(disk: Disk, path: string, mode: "read" | "write", direct: boolean): Promise<DiskFile> {
  try {
    return await disk.openFile(path, mode, direct);
  } catch (error) {
    throw mode === "read" && errnoOf(error) === "ENOENT"
      ? changedInput(path, "it is gone")
      : runError(path, "open", error);
  }
}

/** Opens an input, wherever it is. @throws {WeightDiffError} likewise; of a file at the Hub, only its reads throw. */
function openInput(
  disk: Disk,
  input: Pick<InputFile, "path" | "remote" | "blob">,
  direct: boolean,
  { signal, count }: { readonly signal?: AbortSignal | undefined; readonly count?: RequestCount } = {},
): Promise<DiskFile> {
  const { path, remote, blob } = input;
  if (remote !== undefined) {
    return Promise.resolve(openRemote(remote, count ?? newRequestCount(0), signal));
  }
  return openAs(disk, path, "read", direct).catch((error: unknown) => {
    if (blob !== undefined && error instanceof WeightDiffError && error.code === "INPUT_CHANGED") {
      return openAs(disk, blob.path, "read", direct);
    }
    throw error;
  });
}

/** Size and modification of a file that was there before. @throws {WeightDiffError} INPUT_CHANGED if it is gone, IO. */
export async function statFile(
  disk: Disk,
  input: Pick<InputFile, "path" | "remote" | "blob">,
): Promise<Awaited<ReturnType<DiskFile["stat"]>>> {
  const file = await openInput(disk, input, false);
  try {
    return await file.stat();
  } catch (error) {
    throw runError(input.path, "look at", error);
  } finally {
    await file.close().catch(() => {}); // the file was only looked at
  }
}

/** @throws {WeightDiffError} INPUT_CHANGED if the file is not what it was at planning. */
export async function refuseChange(
  planned: InputFile,
  now: { readonly size: number; readonly modified: string },
): Promise<void> {
  const { blob } = planned;
  if (now.size !== planned.size) {
    throw changedInput(planned.path, `it had ${planned.size} bytes, now ${now.size}`);
  }
  if (now.modified === planned.modified) {
    return;
  }
  const isTrue = (path: string): Promise<boolean> => isTrueBlob(path, blob?.etag ?? "");
  if (blob === undefined || !((await isTrue(planned.path)) || (await isTrue(blob.path)))) {
    throw changedInput(planned.path, "it was written to since the run began");
  }
}

/** Was a read or write refused for its place, length or memory, as direct ones may be? */
function isInvalid(error: unknown): boolean {
  return error instanceof WeightDiffError && errnoOf(error.cause) === "EINVAL";
}
