/**
 * One file of an XOR payload on its way: windows of payload and key in, their XOR out, digested and checked as it passes. The
 * next windows are read and the one before is written while one is computed; memory is a few windows, whatever the file holds.
 */
import { createHash, type Hash } from "node:crypto";
import type { StoredRecord } from "../../formats/tensor-info.js";
import { fillKey, type KeyRule } from "../../formats/xor-key.js";
import { createMemory } from "../../kernel/memory.js";
import { xorInto } from "../../kernel/xor.js";
import { throwIfAborted } from "../io/abort.js";
import { type Disk, type DiskFile, PAGE, readFully, writeFully } from "../io/disk.js";
import { type InputFile, isInvalid, openAs, openInput, refuseChange } from "../io/files.js";
import { openDeflater, openInflater } from "../io/gzip.js";
import { checkRecords, type RecordCheck } from "../io/record-check.js";

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
  /** By default what suits where the inputs are. */
  readonly windowBytes?: number | undefined;
  /** Payloads of so many bytes and more are written past the page cache; others stay in it. */
  readonly directFrom?: number;
  readonly signal?: AbortSignal | undefined;
  /** Told of bytes that came in, and of bytes that went out. */
  readonly onProgress?: ((read: number, written: number) => void) | undefined;
}

/** Less is soon written, and soon read again. */
const DIRECT_BYTES = 1 << 26;
/** 1 MiB: three windows of payload and key stay in a processor's cache, and calls are few enough. */
const LOCAL_PACE = { windowBytes: 1 << 20, ahead: 1 };
/** Where the network is the disk, twelve requests under way hide the time that each takes to begin. */
const REMOTE_PACE = { windowBytes: 1 << 21, ahead: 6 };

interface Pace {
  readonly windowBytes: number;
  /** Windows that are read while one is computed and one written. */
  readonly ahead: number;
}

function paceOf({ payload, key }: XorJob, windowBytes: number | undefined): Pace {
  const pace = payload.remote === undefined && key?.input.remote === undefined ? LOCAL_PACE : REMOTE_PACE;
  return { ...pace, ...(windowBytes === undefined ? {} : { windowBytes }) };
}

/**
 * Runs one file.
 * @throws {WeightDiffError} CRC_MISMATCH naming file and record, FORMAT_INVALID and TRUNCATED for damaged gzip, MISMATCH
 * for gzip without end, INPUT_CHANGED, IO, DISK_FULL, INTERRUPTED, TERMINATED.
 */
export async function runXor(job: XorJob, options: XorRunOptions): Promise<XorResult> {
  const opened: DiskFile[] = [];
  const open = async (input: XorInput): Promise<DiskFile> => {
    const file = await openInput(options.disk, input, false);
    opened.push(file);
    refuseChange({ ...input, direct: false }, await file.stat());
    return file;
  };
  let source: Source | null = null;
  let sink: Sink | null = null;
  try {
    const payload = await open(job.payload);
    const key = job.key === null ? null : await open(job.key.input);
    const pace = paceOf(job, options.windowBytes);
    source = openSource(payload, job, pace, options);
    const digest = digester(job.md5);
    sink = await openSink(job, digest, options);
    await pump(job, source, key, sink, pace, options);
    await sink.end();
    sink = null;
    for (const file of opened) {
      const input = file === payload ? job.payload : job.key?.input;
      if (input !== undefined) {
        refuseChange({ ...input, direct: false }, await file.stat());
      }
    }
    return digest.finish();
  } finally {
    await source?.close();
    await sink?.abandon();
    await Promise.allSettled(opened.map((file) => file.close())); // they were only read
  }
}

/** Moves all windows. All are full but the last. */
async function pump(
  job: XorJob,
  source: Source,
  key: DiskFile | null,
  sink: Sink,
  { windowBytes, ahead }: Pace,
  options: XorRunOptions,
): Promise<void> {
  // On pages of their own, as direct output wants.
  const memory = createMemory((ahead + 2) * windowBytes);
  const slots = Array.from({ length: ahead + 2 }, (_, index) => ({
    content: new Uint8Array(memory, index * windowBytes, windowBytes),
    key: new Uint8Array(key === null ? 0 : windowBytes),
  }));
  const slotOf = (index: number) => slots[index % slots.length] ?? { content: new Uint8Array(), key: new Uint8Array() };
  const checksums = recordsOf(job);
  const read = async (index: number): Promise<Uint8Array> => {
    const slot = slotOf(index);
    const position = index * windowBytes;
    const content = slot.content.subarray(0, await source.read(slot.content, position));
    if (key !== null && job.key !== null && content.length > 0) {
      const bytes = slot.key.subarray(0, content.length);
      await fillKey(job.key.rule, job.key.input.size, position, bytes, async (target, at) => {
        await readFully(key, target, at);
        options.onProgress?.(target.length, 0);
      });
    }
    return content;
  };
  const reading = Array.from({ length: ahead }, (_, index) => quiet(read(index)));
  let writing: Promise<void> = Promise.resolve();
  let length = 0;
  try {
    for (let index = 0; length === index * windowBytes; index++) {
      throwIfAborted(options.signal);
      const content = (await reading.shift()) ?? new Uint8Array();
      if (content.length === windowBytes) {
        reading.push(quiet(read(index + ahead)));
      }
      if (key !== null) {
        xorInto(content, slotOf(index).key.subarray(0, content.length));
      }
      checksums.take(content, length);
      length += content.length;
      await writing;
      writing = quiet(sink.write(content));
    }
    await writing;
  } finally {
    // What is under way must not touch files that are closed by then; what went wrong first is the one to tell.
    await Promise.allSettled([...reading, writing]);
  }
  checksums.finish(length);
}

function recordsOf({ file, records, payload, key }: XorJob): RecordCheck {
  const again = `fetch ${payload.path} again`;
  const damaged =
    key === null
      ? again
      : `${key.input.path} is not, byte for byte, the file that the payload was made with, or ${payload.path} is damaged: check both against the published hashes`;
  return checkRecords(file, records, damaged, again);
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

function openSource(
  file: DiskFile,
  { payload, skip, gzip, most }: XorJob,
  { windowBytes }: Pace,
  { onProgress }: XorRunOptions,
): Source {
  const onRead = (count: number): void => onProgress?.(count, 0);
  if (gzip === "inflate") {
    return openInflater(file, { size: payload.size, most, windowBytes, onRead });
  }
  return {
    async read(target, position) {
      const count = Math.max(0, Math.min(target.length, payload.size - skip - position));
      await readFully(file, target.subarray(0, count), skip + position);
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
  /** After a failure: closes what is open. */
  abandon(): Promise<void>;
}

async function openSink(
  job: XorJob,
  digest: Digester,
  { disk, onProgress, directFrom = DIRECT_BYTES }: XorRunOptions,
): Promise<Sink> {
  const file = job.output === null ? null : await openAs(disk, job.output, "write", false);
  const large = job.gzip !== "deflate" && job.payload.size >= directFrom;
  let direct = job.output === null || !large ? null : await openDirect(disk, job.output, file);
  let written = 0;
  const store = async (file: DiskFile, bytes: Uint8Array): Promise<void> => {
    if (direct?.direct === true && [bytes.byteOffset, bytes.length, written].every((at) => at % PAGE === 0)) {
      try {
        await writeFully(direct, bytes, written);
        return;
      } catch (error) {
        // Some file systems take O_DIRECT at open and refuse the write itself.
        if (!isInvalid(error)) {
          throw error;
        }
        const refused = direct;
        direct = null;
        await refused.close();
      }
    }
    await writeFully(file, bytes, written);
  };
  const put = async (bytes: Uint8Array): Promise<void> => {
    digest.update(bytes);
    if (file !== null) {
      await store(file, bytes);
      onProgress?.(0, bytes.length);
    }
    written += bytes.length;
  };
  const deflater = job.gzip === "deflate" ? openDeflater(put) : null;
  return {
    write: deflater?.write ?? put,
    async end() {
      await deflater?.end();
      try {
        await file?.truncate(written); // of an earlier run, which was cut off later on
      } finally {
        await closeAll(direct, file);
      }
    },
    async abandon() {
      await deflater?.abandon();
      await direct?.close().catch(() => {});
      await file?.close().catch(() => {}); // what went wrong first is the one to tell
    },
  };
}

/** The same file past the page cache, which costs a quarter of the system time. If that fails, `file` is closed. */
async function openDirect(disk: Disk, path: string, file: DiskFile | null): Promise<DiskFile> {
  try {
    return await openAs(disk, path, "write", true);
  } catch (error) {
    await file?.close().catch(() => {}); // that the other cannot be opened is the one to tell
    throw error;
  }
}

/** Closes both, whatever comes of the first. */
async function closeAll(direct: DiskFile | null, file: DiskFile | null): Promise<void> {
  try {
    await direct?.close();
  } finally {
    await file?.close();
  }
}

interface Digester {
  update(bytes: Uint8Array): void;
  finish(): XorResult;
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
    finish: () => ({ size: length, sha256: sha256.digest("hex"), md5: md5?.digest("hex") ?? null }),
  };
}
