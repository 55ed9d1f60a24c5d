/**
 * One file of an XOR payload on its way: windows of payload and key in, their XOR out, digested and checked as it passes. The
 * next window is read and the one before is written while one is computed; memory is three windows, whatever the file holds.
 */
import { createHash, type Hash } from "node:crypto";
import { crc32, createGunzip, createGzip } from "node:zlib";
import { WeightDiffError } from "../errors.js";
import { gzipError } from "../formats/gzip-error.js";
import { quote } from "../formats/quote.js";
import type { StoredRecord } from "../formats/tensor-info.js";
import { fillKey, type KeyRule } from "../formats/xor-key.js";
import { xorInto } from "../kernel/xor.js";
import { type Disk, type DiskFile, diskError, readFully, writeFully } from "./disk.js";
import { type InputFile, openAs, refuseChange } from "./files.js";
import { throwIfAborted } from "./pool.js";

/** An input as it was when the run was planned. */
export type XorInput = Omit<InputFile, "direct">;

export interface XorJob {
  /** Bare name of the output. */
  readonly file: string;
  readonly payload: XorInput;
  /** Bytes of the payload before its content. */
  readonly skip: number;
  /** The payload is to be inflated first; the result is to be deflated. */
  readonly gzip: "inflate" | "deflate" | null;
  /** Null copies. */
  readonly key: { readonly input: XorInput; readonly rule: KeyRule } | null;
  /** Most bytes that an inflated payload may have. */
  readonly most: number;
  /** Stored runs of the result with their checksums, by position. */
  readonly records: readonly StoredRecord[];
  /** Take the MD5 of the output as well? */
  readonly md5: boolean;
  /** Where the output goes: an existing file; null only computes. */
  readonly output: string | null;
}

export interface XorResult {
  /** Bytes of the output. */
  readonly size: number;
  readonly sha256: string;
  readonly md5: string | null;
}

export interface XorRunOptions {
  readonly disk: Disk;
  readonly windowBytes: number;
  readonly signal?: AbortSignal;
  /** Called for every window with the bytes that it brought in and took out. */
  readonly onProgress?: (read: number, written: number) => void;
}

/** Three windows: one is read, one computed, one written. */
const SLOTS = 3;

/**
 * Runs one file.
 * @throws {WeightDiffError} CRC_MISMATCH naming file and record, FORMAT_INVALID and TRUNCATED for damaged gzip, MISMATCH
 * for gzip without end, INPUT_CHANGED, IO, DISK_FULL, INTERRUPTED, TERMINATED.
 */
export async function runXor(job: XorJob, options: XorRunOptions): Promise<XorResult> {
  const opened: DiskFile[] = [];
  const open = async (input: XorInput): Promise<DiskFile> => {
    const file = await openAs(options.disk, input.path, "read", false);
    opened.push(file);
    refuseChange({ ...input, direct: false }, await file.stat());
    return file;
  };
  let source: Source | null = null;
  let sink: Sink | null = null;
  try {
    const payload = await open(job.payload);
    const key = job.key === null ? null : await open(job.key.input);
    source = job.gzip === "inflate" ? inflated(payload, job, options) : stored(payload, job);
    const digest = digester(job.md5);
    sink = await openSink(job, digest, options.disk);
    const size = await pump(job, source, key, sink, options);
    await sink.end();
    sink = null;
    for (const file of opened) {
      const input = file === payload ? job.payload : job.key?.input;
      if (input !== undefined) {
        refuseChange({ ...input, direct: false }, await file.stat());
      }
    }
    return { ...digest.finish(), size: job.gzip === "deflate" ? digest.length() : size };
  } finally {
    await source?.close();
    await sink?.abandon();
    await Promise.allSettled(opened.map((file) => file.close())); // they were only read
  }
}

/** Moves all windows. @returns the bytes of the content. */
async function pump(
  job: XorJob,
  source: Source,
  key: DiskFile | null,
  sink: Sink,
  options: XorRunOptions,
): Promise<number> {
  const slots = Array.from({ length: SLOTS }, () => ({
    content: new Uint8Array(options.windowBytes),
    key: new Uint8Array(key === null ? 0 : options.windowBytes),
  }));
  const checksums = recordChecker(job);
  const read = async (index: number, position: number): Promise<Uint8Array> => {
    const slot = slots[index % SLOTS] ?? { content: new Uint8Array(), key: new Uint8Array() };
    const count = await source.read(slot.content, position);
    const content = slot.content.subarray(0, count);
    if (key !== null && job.key !== null && count > 0) {
      const bytes = slot.key.subarray(0, count);
      await fillKey(job.key.rule, job.key.input.size, position, bytes, (target, at) => readFully(key, target, at));
    }
    return content;
  };
  let position = 0;
  let reading = quiet(read(0, 0));
  let writing: Promise<void> = Promise.resolve();
  try {
    for (let index = 0; ; index++) {
      throwIfAborted(options.signal);
      const content = await reading;
      const at = position;
      position += content.length;
      const last = content.length < options.windowBytes;
      if (!last) {
        reading = quiet(read(index + 1, position));
      }
      if (key !== null) {
        xorInto(content, slots[index % SLOTS]?.key.subarray(0, content.length) ?? new Uint8Array(content.length));
      }
      checksums.take(content, at);
      await writing;
      writing = quiet(sink.write(content, at));
      options.onProgress?.(content.length * (key === null ? 1 : 2), job.output === null ? 0 : content.length);
      if (last) {
        break;
      }
    }
    await writing;
  } finally {
    // What is under way must not touch files that are closed by then; what went wrong first is the one to tell.
    await Promise.allSettled([reading, writing]);
  }
  checksums.finish(position);
  return position;
}

/** Whoever needs the result awaits it later, and is told of a failure then. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

interface Source {
  /** Fills `target`; brings less only at the end. */
  read(target: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

function stored(file: DiskFile, { payload, skip }: XorJob): Source {
  return {
    async read(target, position) {
      const count = Math.min(target.length, payload.size - skip - position);
      await readFully(file, target.subarray(0, count), skip + position);
      return count;
    },
    close: async () => {},
  };
}

/** Gzip data, member after member, as Python's gzip reads it. */
function inflated(file: DiskFile, { payload, most }: XorJob, { windowBytes }: XorRunOptions): Source {
  const stream = createGunzip({ chunkSize: Math.min(1 << 20, Math.max(64, windowBytes)) });
  const feeding = feed(file, payload.size, stream, windowBytes);
  stream.on("error", () => {}); // whoever reads is told
  feeding.catch((error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))));
  const pieces = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  let rest: Uint8Array = new Uint8Array();
  return {
    async read(target, position) {
      let filled = 0;
      while (filled < target.length) {
        if (rest.length === 0) {
          const { value, done } = await pieces.next().catch((error: unknown) => {
            throw gzipError(payload.path, error) ?? diskError(payload.path, "read", null, error);
          });
          if (done === true) {
            break;
          }
          rest = value;
        }
        const count = Math.min(rest.length, target.length - filled);
        target.set(rest.subarray(0, count), filled);
        rest = rest.subarray(count);
        filled += count;
        if (position + filled > most) {
          throw new WeightDiffError(
            "MISMATCH",
            `${payload.path}: inflates to more than ${most} bytes, far more than its base file has`,
            "this is not a payload for this base: fetch it again",
          );
        }
      }
      return filled;
    },
    async close() {
      stream.destroy();
      await Promise.allSettled([feeding]);
    },
  };
}

/** Writes the file's bytes into the stream, at the stream's pace. */
async function feed(
  file: DiskFile,
  size: number,
  stream: NodeJS.WritableStream & { readonly destroyed: boolean },
  windowBytes: number,
): Promise<void> {
  for (let at = 0; at < size && !stream.destroyed; ) {
    const piece = new Uint8Array(Math.min(windowBytes, size - at));
    await readFully(file, piece, at);
    at += piece.length;
    if (!stream.write(piece)) {
      await drained(stream);
    }
  }
  stream.end();
}

function drained(stream: NodeJS.WritableStream): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      stream.off("drain", go);
      stream.off("close", go);
      resolve();
    };
    stream.on("drain", go);
    stream.on("close", go);
  });
}

interface Sink {
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Waits until everything is written. */
  end(): Promise<void>;
  /** After a failure: closes what is open. */
  abandon(): Promise<void>;
}

async function openSink(job: XorJob, digest: Digester, disk: Disk): Promise<Sink> {
  const path = job.output;
  const file = path === null ? null : await openAs(disk, path, "write", false);
  let written = 0;
  const put = async (bytes: Uint8Array): Promise<void> => {
    digest.update(bytes);
    if (file !== null) {
      await writeFully(file, bytes, written);
    }
    written += bytes.length;
  };
  const finish = async (): Promise<void> => {
    try {
      await file?.truncate(written); // of an earlier run, which was cut off later on
    } finally {
      await file?.close();
    }
  };
  if (job.gzip !== "deflate") {
    return { write: put, end: finish, abandon: async () => file?.close().catch(() => {}) };
  }
  const stream = createGzip();
  const draining = quiet(
    (async () => {
      for await (const piece of stream) {
        await put(piece as Uint8Array);
      }
    })(),
  );
  return {
    async write(bytes) {
      // zlib reads the window later than this call returns, and the window is used again.
      if (!stream.write(bytes.slice())) {
        await Promise.race([drained(stream), draining]);
      }
    },
    async end() {
      stream.end();
      await draining;
      await finish();
    },
    async abandon() {
      stream.destroy();
      await draining.catch(() => {});
      await file?.close().catch(() => {});
    },
  };
}

interface Digester {
  update(bytes: Uint8Array): void;
  length(): number;
  finish(): Pick<XorResult, "sha256" | "md5">;
}

function digester(withMd5: boolean): Digester {
  const sha256 = createHash("sha256");
  const md5: Hash | null = withMd5 ? createHash("md5") : null;
  let length = 0;
  return {
    update(bytes) {
      sha256.update(bytes);
      md5?.update(bytes);
      length += bytes.length;
    },
    length: () => length,
    finish: () => ({ sha256: sha256.digest("hex"), md5: md5?.digest("hex") ?? null }),
  };
}

/** CRC-32 of the result's records as their bytes pass. */
function recordChecker({ file, records, payload, key }: XorJob): {
  take(bytes: Uint8Array, position: number): void;
  finish(length: number): void;
} {
  const wanted = records
    .filter(({ crc32: stated, range }) => stated !== null && range.end > range.begin)
    .sort((a, b) => a.range.begin - b.range.begin);
  let next = 0;
  let crc = 0;
  return {
    take(bytes, position) {
      const end = position + bytes.length;
      for (let record = wanted[next]; record !== undefined && record.range.begin < end; record = wanted[next]) {
        const { range } = record;
        crc = crc32(
          bytes.subarray(Math.max(0, range.begin - position), Math.min(bytes.length, range.end - position)),
          crc,
        );
        if (range.end > end) {
          return;
        }
        if (crc !== record.crc32) {
          throw new WeightDiffError(
            "CRC_MISMATCH",
            `${file}: record ${quote(record.name)} of the result is damaged: CRC-32 ${hex(record.crc32 ?? 0)} expected, ${hex(crc)} found, at bytes ${range.begin} to ${range.end}`,
            key === null
              ? `fetch ${payload.path} again`
              : `${key.input.path} is not, byte for byte, the file that the payload was made with, or ${payload.path} is damaged: check both against the published hashes`,
          );
        }
        crc = 0;
        next++;
      }
    },
    finish(length) {
      const missing = wanted[next];
      if (missing !== undefined) {
        throw new WeightDiffError(
          "TRUNCATED",
          `${file}: the result has ${length} bytes, its record ${quote(missing.name)} ends at ${missing.range.end}`,
          `fetch ${payload.path} again`,
        );
      }
    },
  };
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}
