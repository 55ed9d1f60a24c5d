/** The files of one worker, opened when first touched. An input that is no longer what was planned is noticed here. */
import { WeightDiffError } from "../errors.js";
import type { ByteRange } from "../formats/tensor-info.js";
import { type Disk, type DiskFile, diskError, writeFully } from "./disk.js";

/** An input file as it was when the run was planned. */
export interface InputFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Nanoseconds since 1970, as text. */
  readonly modified: string;
  /** Read past the page cache: for files that are not in it. */
  readonly direct: boolean;
}

/** An output file in the staging folder. */
export interface OutputFile {
  readonly path: string;
  /** No page before this byte is shared with ordinary output. */
  readonly directEnd: number;
  readonly direct: boolean;
}

export interface WorkerFiles {
  /** `ordinary` asks for a file without direct reads, for pieces that are no pages. */
  input(index: number, ordinary?: boolean): Promise<DiskFile>;
  /** Writes `source` into the output tensor at `tensor`, from byte `position` of the file. */
  write(index: number, tensor: ByteRange, source: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

export function openWorkerFiles(disk: Disk, inputs: readonly InputFile[], outputs: readonly OutputFile[]): WorkerFiles {
  const opened = new Map<string, Promise<DiskFile>>();
  const once = (key: string, open: () => Promise<DiskFile>): Promise<DiskFile> => {
    const file = opened.get(key) ?? open();
    opened.set(key, file);
    // Whoever asked awaits it; the copy in the map must not count as unhandled.
    file.catch(() => {});
    return file;
  };
  const refusedDirect = new Set<number>();
  const output = (index: number, direct: boolean): Promise<DiskFile> => {
    const file = outputs[index];
    if (file === undefined) {
      throw new RangeError(`no output ${index}`);
    }
    return once(`out ${index} ${direct}`, () => openAs(disk, file.path, "write", direct));
  };
  return {
    input(index, ordinary = false) {
      const planned = inputs[index];
      if (planned === undefined) {
        throw new RangeError(`no input ${index}`);
      }
      const direct = planned.direct && !ordinary;
      return once(`in ${index} ${direct}`, async () => {
        const file = await openAs(disk, planned.path, "read", direct);
        refuseChange(planned, await file.stat());
        return file;
      });
    },
    async write(index, tensor, source, position) {
      const planned = outputs[index];
      const direct = planned?.direct === true && tensor.end <= planned.directEnd && !refusedDirect.has(index);
      try {
        await writeFully(await output(index, direct), source, position);
      } catch (error) {
        // Some file systems take O_DIRECT at open and refuse the write itself.
        if (!direct || !isInvalid(error)) {
          throw error;
        }
        refusedDirect.add(index);
        await writeFully(await output(index, false), source, position);
      }
    },
    async close() {
      await Promise.allSettled([...opened.values()].map(async (file) => (await file).close()));
    },
  };
}

async function openAs(disk: Disk, path: string, mode: "read" | "write", direct: boolean): Promise<DiskFile> {
  try {
    return await disk.openFile(path, mode, direct);
  } catch (error) {
    throw mode === "read" && error instanceof Error && "code" in error && error.code === "ENOENT"
      ? changed(path, "it is gone")
      : diskError(path, "open", null, error);
  }
}

/** @throws {WeightDiffError} INPUT_CHANGED if the file is not what it was at planning. */
export function refuseChange(planned: InputFile, now: { readonly size: number; readonly modified: string }): void {
  if (now.size !== planned.size) {
    throw changed(planned.path, `it had ${planned.size} bytes, now ${now.size}`);
  }
  if (now.modified !== planned.modified) {
    throw changed(planned.path, "it was written to since the run began");
  }
}

function changed(path: string, how: string): WeightDiffError {
  return new WeightDiffError(
    "INPUT_CHANGED",
    `${path}: the input changed during the run: ${how}`,
    "wait until nothing writes to it, then start over with --force",
  );
}

function isInvalid(error: unknown): boolean {
  return (
    error instanceof WeightDiffError &&
    error.cause instanceof Error &&
    "code" in error.cause &&
    error.cause.code === "EINVAL"
  );
}
