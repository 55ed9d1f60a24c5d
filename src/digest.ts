/** The sha256 of every tensor of a checkpoint: of its contiguous little-endian bytes, however they are stored. */
import type { Checkpoint, StoredTensor } from "./checkpoint/checkpoint.js";
import { defaultThreads } from "./engine/cpu.js";
import type { DigestJob } from "./engine/job.js";
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
  const names = [...checkpoint.stateDict.keys()];
  const jobs = [...checkpoint.stateDict].map(([name, tensor], id): DigestJob => {
    const operand = storedOperand(tensor, place.get(tensor.shard) ?? 0);
    return {
      kind: "digest",
      id,
      name,
      source: wholeBytes(tensor)
        ? { ...operand, dtype: "U8", shape: [operand.range.end - operand.range.begin] }
        : operand,
    };
  });
  const total = checkpoint.shards.reduce((sum, { size }) => sum + size, 0);
  const small = total < SMALL_BYTES;
  const cold = options.directIo !== false && !small ? chooseDirect(checkpoint.shards) : [];
  const digests = new Map<string, string>();
  let done = 0;
  await runJobs(
    {
      inputs: checkpoint.shards.map(({ path, size, modified }, index) => ({
        path,
        size,
        modified,
        direct: cold[index] === true,
      })),
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
