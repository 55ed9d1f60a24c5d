/**
 * Computes one file of an XOR payload: windows of payload and key come in, and their XOR goes out, digested and checked. While one window is
 * computed, the next ones are read and the one before is written. The memory is a few windows, however large the file is.
 */
import { createHash, type Hash } from "node:crypto";
import { WeightDiffError } from "../../errors.js";
import { fillKey } from "../../formats/xor-key.js";
import type { Kernel } from "../../kernel/kernel.js";
import { type DiskFile, PAGE, readFully } from "../io/disk.js";
import type { InputFile, WorkerFiles } from "../io/files.js";
import { openDeflater, openInflater } from "../io/gzip.js";
import type { FileSlot } from "../io/memory.js";
import { type RecordCheck, watchRecords } from "../io/record-check.js";
import type { FileJob } from "../job/job.js";
import type { TensorResult } from "../job/result.js";

/** What the job runs with. */
export interface FileRunSetup {
  readonly inputs: readonly InputFile[];
  /** Bytes of one window. */
  readonly windowBytes: number;
  readonly kernel: Pick<Kernel, "memory" | "xor">;
  /** Windows in flight, in the kernel's memory: one is computed, one written behind, the others, at least one, are read ahead. */
  readonly slots: readonly FileSlot[];
}

export interface FileRunHost {
  /** Called with the number of bytes that were read and written. */
  progress(job: FileJob, read: number, written: number): void;
  /** True if the run must stop. It is asked before each window. */
  aborted(): boolean;
}

/**
 * Runs one file.
 * @throws {WeightDiffError} CRC_MISMATCH naming file and record, FORMAT_INVALID and TRUNCATED for damaged gzip, MISMATCH
 * for gzip without end, INPUT_CHANGED, IO, DISK_FULL, INTERRUPTED.
 */
export async function runFile(
  job: FileJob,
  files: WorkerFiles,
  setup: FileRunSetup,
  host: FileRunHost,
): Promise<TensorResult> {
  let source: Source | null = null;
  let sink: Sink | null = null;
  try {
    const payload = await files.input(job.payload);
    const key = job.key === null ? null : await files.input(job.key.input);
    source = openSource(payload, job, setup, host);
    const digest = digester(job);
    sink = openSink(job, files, digest, host);
    await pump(job, source, key, sink, setup, host);
    await sink.end();
    sink = null;
    return digest.finish();
  } finally {
    await source?.close();
    await sink?.abandon();
  }
}

/** Moves all windows. All are full but the last. */
async function pump(
  job: FileJob,
  source: Source,
  key: DiskFile | null,
  sink: Sink,
  { inputs, windowBytes, kernel, slots }: FileRunSetup,
  host: FileRunHost,
): Promise<void> {
  const ahead = slots.length - 2;
  const slotOf = (index: number): FileSlot => slots[index % slots.length] as FileSlot;
  const checksums = recordsOf(job, inputs);
  const read = async (index: number): Promise<Uint8Array> => {
    const slot = slotOf(index);
    const position = index * windowBytes;
    const window = new Uint8Array(kernel.memory, slot.content, windowBytes);
    const content = window.subarray(0, await source.read(window, position));
    if (key !== null && job.key !== null && content.length > 0) {
      const bytes = new Uint8Array(kernel.memory, slot.key, content.length);
      const { size } = inputs[job.key.input] ?? { size: 0 };
      await fillKey(job.key.rule, size, position, bytes, async (target, at) => {
        await readFully(key, target, at);
        host.progress(job, target.length, 0);
      });
    }
    return content;
  };
  const reading = Array.from({ length: ahead }, (_, index) => quiet(read(index)));
  let writing: Promise<void> = Promise.resolve();
  let length = 0;
  try {
    for (let index = 0; length === index * windowBytes; index++) {
      if (host.aborted()) {
        throw new WeightDiffError("INTERRUPTED", "interrupted");
      }
      const content = (await reading.shift()) ?? new Uint8Array();
      if (content.length === windowBytes) {
        reading.push(quiet(read(index + ahead)));
      }
      if (key !== null) {
        const slot = slotOf(index);
        kernel.xor(slot.key, slot.content, content.length);
      }
      checksums.take(content, length);
      length += content.length;
      await writing;
      writing = quiet(sink.write(content));
    }
    await writing;
  } finally {
    // Work that is still running must not touch closed files. The first error is the one that is reported.
    await Promise.allSettled([...reading, writing]);
  }
  checksums.finish(length);
}

function recordsOf({ name, records, payload, key }: FileJob, inputs: readonly InputFile[]): RecordCheck {
  const pathOf = (input: number): string => inputs[input]?.path ?? "";
  const again = `fetch ${pathOf(payload)} again`;
  const damaged =
    key === null
      ? again
      : `${pathOf(key.input)} is not, byte for byte, the file that the payload was made with, or ${pathOf(payload)} is damaged: check both against the published hashes`;
  return watchRecords(name, records, damaged, again);
}

/** The result is awaited later, and a failure is reported there. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

interface Source {
  /** Fills `target`. Fewer bytes come only at the end. */
  read(target: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

function openSource(file: DiskFile, job: FileJob, { inputs, windowBytes }: FileRunSetup, host: FileRunHost): Source {
  const { size } = inputs[job.payload] ?? { size: 0 };
  const onRead = (count: number): void => host.progress(job, count, 0);
  if (job.gzip === "inflate") {
    return openInflater(file, { size, most: job.most, windowBytes, onRead });
  }
  return {
    async read(target, position) {
      const count = Math.max(0, Math.min(target.length, size - job.skip - position));
      await readFully(file, target.subarray(0, count), job.skip + position);
      onRead(count);
      return count;
    },
    close: async () => {},
  };
}

interface Sink {
  write(bytes: Uint8Array): Promise<void>;
  /** Waits until everything is written. */
  end(): Promise<void>;
  /** After a failure. */
  abandon(): Promise<void>;
}

function openSink(job: FileJob, files: WorkerFiles, digest: Digester, host: FileRunHost): Sink {
  const { output } = job;
  let written = 0;
  const put = async (bytes: Uint8Array): Promise<void> => {
    digest.update(bytes);
    if (output !== null) {
      // Only whole pages at page-aligned positions can be written past the page cache. The rest of a file is written through it.
      const pages = [bytes.byteOffset, bytes.length, written].every((at) => at % PAGE === 0);
      const end = pages ? written + bytes.length : Number.POSITIVE_INFINITY;
      await files.write(output.shard, { begin: written, end }, bytes, written);
      host.progress(job, 0, bytes.length);
    }
    written += bytes.length;
  };
  const deflater = job.gzip === "deflate" ? openDeflater(put) : null;
  return {
    write: deflater?.write ?? put,
    async end() {
      await deflater?.end();
      if (output !== null) {
        await files.truncate(output.shard, written);
      }
    },
    async abandon() {
      await deflater?.abandon();
    },
  };
}

interface Digester {
  update(bytes: Uint8Array): void;
  finish(): TensorResult;
}

function digester({ id, md5: wanted }: FileJob): Digester {
  const sha256 = createHash("sha256");
  const md5: Hash | null = wanted ? createHash("md5") : null;
  let size = 0;
  return {
    update(bytes) {
      sha256.update(bytes);
      md5?.update(bytes);
      size += bytes.length;
    },
    finish: () => ({
      id,
      sha256: sha256.digest("hex"),
      sum: 0,
      overflow: 0,
      size,
      ...(md5 === null ? {} : { md5: md5.digest("hex") }),
    }),
  };
}
