/** A compressed exact diff: writes the metadata of its files (docs/formats.md 3.1), and reads it back as the list of coded tensors. */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { isPastMost, MOST } from "../checkpoint/expansion.js";
import type { Job, Rule } from "../engine/job/job.js";
import { elementsOf } from "../engine/job/operand.js";
import { WeightDiffError } from "../errors.js";
import { CODEC, CODEC_KEY, CODED_KEY, indexBytes, mostCodedBytes } from "../formats/coded/index.js";
import { unitCount } from "../formats/coded/units.js";
import { dtypeBits, isDtype, tensorBytes } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { layoutShard } from "../formats/safetensors-layout.js";
import { ENCODING_KEY, type ExactTensor, encodingOf, readRecord } from "./exact.js";
import type { Pair } from "./pair.js";

/** What is known of a coded tensor. Except for `unchanged`, it describes the tuned model. */
export interface CodedEntry extends ExactTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** The number of units whose bits are the base's. */
  readonly unchanged: number;
}

/** The coded tensors, file by file. @throws {WeightDiffError} FORMAT_UNSUPPORTED for another codec; FORMAT_INVALID. */
export function readCoded(checkpoint: Checkpoint): ReadonlyMap<string, CodedEntry> {
  for (const { path, header } of checkpoint.shards) {
    const codec = header.metadata.get(CODEC_KEY) ?? "";
    if (codec !== CODEC) {
      throw new WeightDiffError(
        "FORMAT_UNSUPPORTED",
        `was compressed by codec ${quote(codec)}, but this version reads codec ${quote(CODEC)}`,
        "update weight-diff",
        { at: { file: path } },
      );
    }
  }
  return readRecord(checkpoint, CODED_KEY, "", (entry) => {
    const found = entryOf(entry);
    return found === null ? null : [found.name, found];
  });
}

function entryOf([name, dtype, shape, rule, unchanged]: readonly unknown[]): CodedEntry | null {
  const known =
    typeof name === "string" &&
    isDtype(dtype) &&
    Array.isArray(shape) &&
    shape.every(isCount) &&
    (rule === "bits" || rule === "verbatim") &&
    isCount(unchanged) &&
    unchanged <= (unitCount(dtype, shape) ?? -1);
  return known ? { name, dtype, shape, rule, unchanged } : null;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/**
 * The same checkpoint with the coded tensors as its tensors. Other checkpoints are returned unchanged.
 * @throws {WeightDiffError} as readCoded; FORMAT_INVALID if a tensor is not listed, or cannot hold what is listed.
 */
export function asCoded(checkpoint: Checkpoint): Checkpoint {
  if (encodingOf(checkpoint) !== "compressed") {
    return checkpoint;
  }
  const entries = readCoded(checkpoint);
  const stateDict = [...checkpoint.stateDict].map(([name, tensor]): [string, StoredTensor] => {
    const entry = entries.get(name);
    const bytes = tensor.range.end - tensor.range.begin;
    const fault =
      entry === undefined
        ? `is not in metadata ${CODED_KEY}`
        : tensor.dtype !== "U8" || bytes > (mostCodedBytes(entry) ?? -1) || bytes < indexBytes(entry)
          ? `is ${tensor.dtype} of ${bytes} bytes, which is no coded ${entry.dtype} [${entry.shape.join(", ")}]`
          : null;
    if (entry === undefined || fault !== null) {
      throw new WeightDiffError("FORMAT_INVALID", `tensor ${quote(name)} ${fault}`, "get the file again", {
        at: { file: tensor.shard.path, tensor: name },
      });
    }
    return [name, { ...tensor, dtype: entry.dtype, shape: [...entry.shape], coded: true }];
  });
  return { ...checkpoint, stateDict: new Map(stateDict) };
}

/**
 * Refuses a diff that expands far beyond its size. A tensor may be coded in next to nothing, since its values are in the base on the user's
 * disk. But whole tensors and new rows that the base lacks could fill a disk from a few bytes.
 * @throws {WeightDiffError} LIMIT, as for files whose tensors are views (checkpoint/expansion.ts).
 */
export function refuseExpansion(jobs: readonly Job[], path: string): void {
  let [own, stored] = [0, 0];
  for (const job of jobs) {
    if (job.kind === "tensor" && job.start.operand.kind === "coded") {
      const { range, dtype, shape } = job.start.operand;
      const bytes = tensorBytes(dtype, shape) ?? 0;
      const given = job.rule === "decode-bits" ? (job.terms[0]?.operand ?? null) : null;
      const lacked = given === null ? bytes : Math.max(0, bytes - (elementsOf(given) * dtypeBits(dtype)) / 8);
      own += lacked;
      stored += lacked > 0 ? range.end - range.begin : 0;
    }
  }
  if (isPastMost(stored, own)) {
    throw new WeightDiffError(
      "LIMIT",
      `${stored} bytes of it stand for ${own} of tensors and rows that the base does not have; at most ${MOST.times} times as much is read`,
      "if you trust its origin, ask for a diff that is not compressed",
      { at: { file: path } },
    );
  }
}

/** A file with room for the largest size of its tensors, after the longest possible header. @throws {WeightDiffError} LIMIT. */
export function layOutRoom(group: readonly Pair[], file: string): ReturnType<typeof layoutShard> {
  const most = group.map(({ name, rule, driver: { dtype, shape } }) => ({
    ...{ name, dtype, shape, rule: codedRule(rule) },
    unchanged: unitCount(dtype, shape) ?? 0,
  }));
  return layOutCoded(
    most,
    most.map((entry) => mostCodedBytes(entry) ?? 0),
    file,
  );
}

/** The metadata's name for the rule of a job that codes. */
export function codedRule(rule: Rule): ExactTensor["rule"] {
  return rule === "encode-bits" ? "bits" : "verbatim";
}

/** The layout of a file whose coded tensors have these sizes in bytes. @throws {WeightDiffError} LIMIT, FORMAT_UNSUPPORTED. */
export function layOutCoded(
  entries: readonly CodedEntry[],
  sizes: readonly number[],
  file: string,
): ReturnType<typeof layoutShard> {
  const list = entries.map(({ name, dtype, shape, rule, unchanged }) => [name, dtype, shape, rule, unchanged]);
  const metadata = new Map([
    ["format", "pt"],
    [ENCODING_KEY, "compressed"],
    [CODEC_KEY, CODEC],
    [CODED_KEY, JSON.stringify(list)],
  ]);
  const tensors = entries.map(({ name }, index) => ({ name, dtype: "U8" as const, shape: [sizes[index] ?? 0] }));
  return layoutShard(tensors, { name: file, metadata, paged: false });
}
