/**
 * What jobs read from input files: tensors as workers see them, and the records of torch files that hold them. The checksum of each record
 * is verified once: by the tensor that is the whole record, or by a job of its own.
 */
import type { StoredTensor } from "../checkpoint/checkpoint.js";
import type { Shard } from "../checkpoint/shard.js";
import type { CodedOperand, Job, StoredOperand, TensorJob } from "../engine/job/job.js";
import type { StoredRecord } from "../formats/tensor-info.js";

/** The records that hold a tensor, with the tensor's name for messages. */
export function recordsOf({
  name,
  shard,
  record,
  pieces,
}: StoredTensor): readonly Omit<PlacedRecord & { shard: Shard }, "input">[] {
  return (pieces ?? [{ name, shard, record }]).flatMap((piece) =>
    piece.record === undefined ? [] : [{ name: piece.name, shard: piece.shard, record: piece.record }],
  );
}

/**
 * A tensor as workers see it. It carries the record's checksum if the tensor is the whole record.
 * @param inputOf gives the index of the input.
 */
export function storedOperand(tensor: StoredTensor, inputOf: (shard: Shard) => number): StoredOperand {
  const { name, dtype, shape, range, strides, bigEndian, record } = tensor;
  const pieces = tensor.pieces?.map(({ shard, record: _, ...piece }) => ({ ...piece, input: inputOf(shard) }));
  const whole =
    record !== undefined &&
    record.range.begin === range.begin &&
    record.range.end === range.end &&
    strides === undefined;
  return {
    kind: "stored",
    input: inputOf(tensor.shard),
    name,
    dtype,
    shape,
    range,
    ...(pieces === undefined ? {} : { pieces }),
    ...(strides === undefined ? {} : { strides }),
    ...(bigEndian === undefined ? {} : { bigEndian }),
    ...(whole && record.crc32 !== null ? { crc32: record.crc32 } : {}),
  };
}

/** A tensor of a diff as workers see it: its elements, or their coded form. */
export function anyOperand(tensor: StoredTensor, inputOf: (shard: Shard) => number): StoredOperand | CodedOperand {
  const { name, dtype, shape, range, shard, coded } = tensor;
  return coded === true
    ? { kind: "coded", input: inputOf(shard), name, dtype, shape, range }
    : storedOperand(tensor, inputOf);
}

/** A record in an input, and a tensor in that record. */
export interface PlacedRecord {
  readonly name: string;
  readonly record: StoredRecord;
  readonly input: number;
}

/** How many of the records that are read have a CRC-32, which is checked, and how many have none. */
export interface RecordCount {
  readonly checked: number;
  readonly unchecked: number;
}

export function countRecords(sources: readonly PlacedRecord[]): RecordCount {
  const records = new Map(
    sources.flatMap(({ record: { range, crc32 }, input }) =>
      range.end > range.begin ? [[`${input}:${range.begin}`, crc32 !== null] as const] : [],
    ),
  );
  const checked = [...records.values()].filter((stated) => stated).length;
  return { checked, unchecked: records.size - checked };
}

/** A checksum job for every record that some tensor reads from and no tensor reads as a whole. */
export function recordJobs(jobs: readonly TensorJob[], sources: readonly PlacedRecord[]): readonly Job[] {
  const whole = new Set(
    jobs.flatMap((job) =>
      [job.start, ...job.terms].flatMap(({ operand }) =>
        operand.kind === "stored" && operand.crc32 !== undefined ? [`${operand.input}:${operand.range.begin}`] : [],
      ),
    ),
  );
  const records = new Map<string, Job>();
  for (const { name, record, input } of sources) {
    if (record.crc32 === null || record.range.begin === record.range.end) {
      continue;
    }
    const key = `${input}:${record.range.begin}`;
    if (!whole.has(key) && !records.has(key)) {
      const { range, crc32 } = record;
      const source = {
        kind: "stored",
        input,
        name,
        dtype: "U8",
        shape: [range.end - range.begin],
        range,
        crc32,
      } as const;
      records.set(key, {
        kind: "digest",
        id: jobs.length + records.size,
        name: record.name,
        source,
        checksumOnly: true,
      });
    }
  }
  return [...records.values()];
}
