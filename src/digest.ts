/** sha256 of tensors (of their contiguous little-endian bytes, however they are stored) and of whole files. */
import type { Checkpoint, StoredTensor } from "./checkpoint/checkpoint.js";
import { openFileSource } from "./checkpoint/file-source.js";
import { defaultThreads } from "./engine/cpu.js";
import type { InputFile } from "./engine/files.js";
import type { DigestJob, StoredOperand } from "./engine/job.js";
import { chooseDirect } from "./engine/page-cache.js";
import { runJobs } from "./engine/pool.js";
import { WeightDiffError } from "./errors.js";
import { dtypeBits, tensorBytes } from "./formats/dtype.js";
import { quote } from "./formats/quote.js";
import { storedOperand } from "./plan.js";
import type { RunOptions } from "./run-plan.js";

/** Where small checkpoints end: below, threads cost more than they give. */
const SMALL_BYTES = 1 << 26;
const WINDOW_BYTES = 1 << 22;

/**
 * Digests by name in the state dict. Records with a checksum are verified on the way.
 * @throws {WeightDiffError} CRC_MISMATCH, INPUT_CHANGED, IO, INTERRUPTED; FORMAT_UNSUPPORTED for strided sub-byte types.
 */
export async function digestTensors(checkpoint: Checkpoint, options: RunOptions): Promise<ReadonlyMap<string, string>> {
  const place = new Map(checkpoint.shards.map((shard, index) => [shard, index]));
  const sources = [...checkpoint.stateDict].map(([name, tensor]): readonly [string, StoredOperand] => {
    const operand = storedOperand(tensor, place.get(tensor.shard) ?? 0);
    const { begin, end } = operand.range;
    return [name, wholeBytes(tensor) ? { ...operand, dtype: "U8", shape: [end - begin] } : operand];
  });
  return runDigests(checkpoint.shards, new Map(sources), options);
}

/**
 * The sha256 (hex) of whole files, by path. @throws {WeightDiffError} NOT_FOUND, INPUT_CHANGED, IO, INTERRUPTED.
 */
export async function digestFiles(paths: readonly string[], options: RunOptions): Promise<ReadonlyMap<string, string>> {
  const files: Omit<InputFile, "direct">[] = [];
  for (const path of paths) {
    const { size, modified, close } = await openFileSource(path);
    await close();
    files.push({ path, size, modified });
  }
  const sources = files.map(({ path, size }, input): readonly [string, StoredOperand] => [
    path,
    { kind: "stored", input, name: path, dtype: "U8", shape: [size], range: { begin: 0, end: size } },
  ]);
  return runDigests(files, new Map(sources), options);
}

async function runDigests(
  files: readonly Omit<InputFile, "direct">[],
  sources: ReadonlyMap<string, StoredOperand>,
  options: RunOptions,
): Promise<ReadonlyMap<string, string>> {
  const names = [...sources.keys()];
  const jobs = [...sources].map(([name, source], id): DigestJob => ({ kind: "digest", id, name, source }));
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const small = total < SMALL_BYTES;
  const cold = options.directIo !== false && !small ? chooseDirect(files) : [];
  const digests = new Map<string, string>();
  let done = 0;
  await runJobs(
    {
      inputs: files.map(({ path, size, modified }, index) => ({ path, size, modified, direct: cold[index] === true })),
      outputs: [],
      windowBytes: options.windowBytes ?? WINDOW_BYTES,
      slots: 3,
      meanColumns: 0,
    },
    jobs,
    {
      threads: options.threads ?? (small ? 0 : defaultThreads()),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onResult: (job, result) => digests.set(names[job.id] ?? "", result.sha256),
      onProgress(job, read) {
        done += read;
        options.onProgress?.({ done, total, shard: null, tensor: job.name });
      },
    },
  );
  return new Map(names.map((name) => [name, digests.get(name) ?? ""]));
}

/** Packed types (F4, F6) have no bytes of their own; contiguous ones are digested as what is stored. */
function wholeBytes(tensor: StoredTensor): boolean {
  const packed = dtypeBits(tensor.dtype) % 8 !== 0;
  if (packed && (tensor.strides !== undefined || tensorBytes(tensor.dtype, tensor.shape) === undefined)) {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `${tensor.shard.file}: tensor ${quote(tensor.name)}: ${tensor.dtype} that is not contiguous`,
    );
  }
  return packed;
}
