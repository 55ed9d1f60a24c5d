/** Reads every tensor of a checkpoint once: takes the sha256 of its contiguous little-endian bytes and, if asked, counts and sums. */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Shard } from "../checkpoint/shard.js";
import type { InputFile } from "../engine/io/files.js";
import { damagedTensor } from "../engine/io/record-check.js";
import type { DigestJob, StoredOperand } from "../engine/job/job.js";
import { digestOf, type TensorResult } from "../engine/job/result.js";
import { WeightDiffError } from "../errors.js";
import { openFileSource } from "../files/file-source.js";
import { dtypeBits, tensorBytes } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import type { ByteRange } from "../formats/tensor-info.js";
import { recordsOf, storedOperand } from "../plan/operands.js";
import { readAll } from "./read-jobs.js";
import type { EarlyOption, RunOptions } from "./run-plan.js";

/** What to compute besides the digests. */
interface ReadingOptions extends RunOptions, EarlyOption {
  /** Count NaN, infinities and zeros of float tensors. */
  readonly count?: boolean;
  /** Sum float and integer tensors in F32. */
  readonly sum?: boolean;
  /** Shards to digest as whole files too. */
  readonly wholeFiles?: readonly Shard[];
}

/** A tensor, or a record of one, whose checksum does not match. */
export interface Damage {
  readonly shard: Shard;
  readonly tensor: string;
  /** For example "CRC-32 … expected, … found". */
  readonly how: string;
}

export interface Reading {
  /** Results by name in the state dict. */
  readonly tensors: ReadonlyMap<string, TensorResult>;
  /** sha256 of whole files, by bare name. */
  readonly files: ReadonlyMap<string, string>;
  /** The tensors and records whose checksum does not match. */
  readonly damaged: readonly Damage[];
  /** Bytes. */
  readonly read: number;
}

/**
 * Digests by name in the state dict. Verifies records that have a checksum.
 * @throws {WeightDiffError} CRC_MISMATCH, INPUT_CHANGED, IO, INTERRUPTED; FORMAT_UNSUPPORTED for strided types of less than a byte.
 */
export async function digestTensors(checkpoint: Checkpoint, options: RunOptions): Promise<ReadonlyMap<string, string>> {
  return sha256ByName(await readTensors(checkpoint, options));
}

/** By name in the state dict. @throws {WeightDiffError} CRC_MISMATCH if anything is damaged. */
export function sha256ByName({ tensors, damaged }: Reading): ReadonlyMap<string, string> {
  const [first] = damaged;
  if (first !== undefined) {
    throw damagedTensor(first.shard.path, first.tensor, first.how);
  }
  return new Map([...tensors].map(([name, result]) => [name, digestOf(result)]));
}

/**
 * Reads every tensor once. Returns damage that a checksum shows, and does not throw it.
 * @throws {WeightDiffError} otherwise as digestTensors.
 */
export async function readTensors(checkpoint: Checkpoint, options: ReadingOptions): Promise<Reading> {
  const { shards } = checkpoint;
  const place = new Map(shards.map((shard, index) => [shard, index]));
  const placeOf = (shard: Shard): number => place.get(shard) ?? 0;
  const jobs: DigestJob[] = [];
  const names: string[] = [];
  const about: Omit<Damage, "how">[] = [];
  const add = (name: string, shard: Shard, tensor: string, source: StoredOperand, look = {}): void => {
    about.push({ shard, tensor });
    jobs.push({ kind: "digest", id: jobs.length, name, source, lenient: true, ...look });
  };
  const look = { ...(options.count === true ? { count: true } : {}), ...(options.sum === true ? { sum: true } : {}) };
  const covered = new Set<string>();
  for (const [name, tensor] of checkpoint.stateDict) {
    const operand = tensorOperand(tensor, placeOf);
    names.push(name);
    add(name, tensor.shard, name, operand, look);
    if (operand.crc32 !== undefined) {
      covered.add(`${operand.input}:${operand.range.begin}`);
    }
  }
  for (const { name, shard, record } of [...checkpoint.stateDict.values()].flatMap(recordsOf)) {
    const input = placeOf(shard);
    const key = `${input}:${record.range.begin}`;
    if (record.crc32 === null || record.range.begin === record.range.end || covered.has(key)) {
      continue;
    }
    covered.add(key);
    const source = { ...bytesOperand(input, name, record.range), crc32: record.crc32 };
    add(record.name, shard, name, source, { checksumOnly: true });
  }
  const firstFile = jobs.length;
  const whole = options.wholeFiles ?? [];
  for (const shard of whole) {
    const range = { begin: 0, end: shard.size };
    add(shard.file, shard, shard.file, bytesOperand(place.get(shard) ?? 0, shard.file, range));
  }
  const { results, read } = await readAll(shards, jobs, options);
  const found = (id: number): TensorResult => results.get(id) ?? { id, sum: 0, overflow: 0 };
  return {
    tensors: new Map(names.map((name, id) => [name, found(id)])),
    files: new Map(whole.map(({ file }, index) => [file, digestOf(found(firstFile + index))])),
    damaged: jobs.flatMap(({ id }) => {
      const { damage } = found(id);
      const place = about[id];
      return damage === undefined || place === undefined ? [] : [{ ...place, how: damage }];
    }),
    read,
  };
}

/** The sha256 (hex) of whole files, by path. @throws {WeightDiffError} NOT_FOUND, INPUT_CHANGED, IO, INTERRUPTED. */
export async function digestFiles(paths: readonly string[], options: RunOptions): Promise<ReadonlyMap<string, string>> {
  const files: Omit<InputFile, "direct">[] = [];
  for (const path of paths) {
    const { size, modified, close } = await openFileSource(path);
    await close();
    files.push({ path, size, modified });
  }
  const jobs = files.map(({ path, size }, id): DigestJob => {
    return { kind: "digest", id, name: path, source: bytesOperand(id, path, { begin: 0, end: size }) };
  });
  const { results } = await readAll(files, jobs, options);
  return new Map(paths.map((path, id) => [path, results.get(id)?.sha256 ?? ""]));
}

function bytesOperand(input: number, name: string, range: ByteRange): StoredOperand {
  return { kind: "stored", input, name, dtype: "U8", shape: [range.end - range.begin], range };
}

/**
 * The operand that reads a tensor by itself. Packed types (F4, F6) have no bytes for single elements; contiguous ones are read as stored.
 * @throws {WeightDiffError} FORMAT_UNSUPPORTED.
 */
export function tensorOperand(tensor: StoredTensor, inputOf: (shard: Shard) => number): StoredOperand {
  const operand = storedOperand(tensor, inputOf);
  const packed = dtypeBits(tensor.dtype) % 8 !== 0;
  if (
    packed &&
    (tensor.strides !== undefined ||
      tensor.pieces !== undefined ||
      tensorBytes(tensor.dtype, tensor.shape) === undefined)
  ) {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `tensor ${quote(tensor.name)}: ${tensor.dtype} that is not contiguous`,
      undefined,
      { at: { file: tensor.shard.file, tensor: tensor.name } },
    );
  }
  return packed ? { ...operand, dtype: "U8", shape: [operand.range.end - operand.range.begin] } : operand;
}
