/**
 * Plans the steps of a chain: a model and the steps -> everything that will be read and written, each tensor with the payloads that change
 * it. Pure, like plan.ts.
 */
import { chainError, type Payload, type StoredBytes, together, type Version } from "../chain/chain.js";
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { StoredOperand, TensorJob, UpdateStep, Updates } from "../engine/job/job.js";
import type { WeightDiffError } from "../errors.js";
import { dtypeBits, tensorBytes } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { rangeLength, sameShape, shapeText } from "../formats/tensor-info.js";
import type { StatedChecksum } from "../formats/update.js";
import { INPUT_EMBEDDING } from "../known/embeddings.js";
import { layOut } from "./layout.js";
import { countRecords, type PlacedRecord, recordJobs, recordsOf, storedOperand } from "./operands.js";
import type { Pair } from "./pair.js";
import { listInputs, type Plan, type PlanInput } from "./plan.js";

export interface UpdatePlanOptions {
  /** Bytes of tensor data in one output file. */
  readonly maxShardSize: number;
  /** Take the checksum after every step, and not only after the last one of a tensor? */
  readonly everySum: boolean;
}

/** A checksum that a tensor must have after one of the steps. */
export interface ExpectedSum {
  readonly version: string;
  /** The shard that states the checksum. */
  readonly file: string;
  readonly checksum: StatedChecksum;
  /** Set where a full version states the checksum of itself. */
  readonly full?: true;
}

export interface UpdatePlan extends Plan {
  /** The checksums by job, in the order of the job's `sums`. */
  readonly expected: ReadonlyMap<number, readonly ExpectedSum[]>;
  /** Tensors that some step changes, and those of them whose last change has a checksum. */
  readonly touched: number;
  readonly proven: number;
  /** Checksums that the chain states but the plan does not take. */
  readonly untaken: number;
}

/**
 * @param start the version before the first step.
 * @param sums checksums that `start` states of itself.
 * @throws {WeightDiffError} with `why`: "unknown-tensor", "dtype"; LIMIT.
 */
export function planUpdate(
  start: Checkpoint,
  steps: readonly Version[],
  sums: ReadonlyMap<string, ExpectedSum>,
  { maxShardSize, everySum }: UpdatePlanOptions,
): UpdatePlan {
  refuseUnfit(start, steps);
  const inputs = [...listInputs(start, "raw"), ...steps.flatMap((version) => payloadInputs(version))];
  const placeOf = (wanted: PlanInput["role"]): ReadonlyMap<string, number> =>
    new Map(inputs.flatMap(({ role, path }, index) => (role === wanted ? [[path, index] as const] : [])));
  const [raws, payloads] = [placeOf("raw"), placeOf("payload")];
  const inputOf = ({ shard }: StoredBytes): number => payloads.get(shard.path) ?? 0;
  const rawOf = (shard: { readonly path: string }): number => raws.get(shard.path) ?? 0;
  const pairs = [...start.stateDict].map(
    ([name, driver]): Pair => ({ name, rule: "update", dtype: driver.dtype, driver, raw: null, mean: null }),
  );
  const { shards, placed, index } = layOut(pairs, { maxShardSize, metadata: () => new Map([["format", "pt"]]) });
  const bySize = pairs.map((pair) => ({ pair, output: placed.get(pair) ?? null }));
  bySize.sort(
    (a, b) =>
      (a.output?.shard ?? 0) - (b.output?.shard ?? 0) || rangeLength(b.output?.range) - rangeLength(a.output?.range),
  );
  const expected = new Map<number, readonly ExpectedSum[]>();
  let touched = 0;
  let proven = 0;
  let untaken = 0;
  const jobs = bySize.map(({ pair: { name, driver }, output }, id): TensorJob => {
    const { count, stated, taken, ...known } = changesOf(name, steps, sums.get(name), everySum);
    expected.set(
      id,
      taken.map(({ sum }) => sum),
    );
    touched += count > 0 ? 1 : 0;
    proven += count > 0 && taken.at(-1)?.after === count ? 1 : 0;
    untaken += stated - taken.length;
    return {
      kind: "tensor",
      id,
      name,
      rule: "update",
      ...asBytes(storedOperand(driver, rawOf)),
      terms: [],
      updates: {
        ...known,
        get steps() {
          return steps.flatMap(({ id: version, payloads }) => {
            const payload = payloads.get(name);
            return payload === undefined ? [] : [stepOf(version, payload, inputOf)];
          });
        },
        sums: taken.map(({ after, sum }) => ({ after, algorithm: sum.checksum.algorithm })),
      },
      prove: false,
      output,
    };
  });
  const sources = [...start.stateDict.values()].flatMap((tensor) =>
    recordsOf(tensor).map(({ shard, ...found }): PlacedRecord => ({ ...found, input: rawOf(shard) })),
  );
  return {
    scheme: "chain",
    dtype: null,
    inputs,
    shards,
    index,
    jobs: [...jobs, ...recordJobs(jobs, sources)],
    order: [...start.stateDict.keys()],
    twins: new Map(),
    tied: null,
    newRows: new Map(),
    vocabSize: [...start.stateDict].find(([name]) => INPUT_EMBEDDING.test(name))?.[1].shape[0] ?? null,
    totalSize: pairs.reduce((sum, { driver }) => sum + (tensorBytes(driver.dtype, driver.shape) ?? 0), 0),
    records: countRecords(sources),
    notes: start.notes.map((note) => [`base: ${note}`] as const),
    ...{ expected, touched, proven, untaken },
  };
}

/** A checksum, and how many of the steps that change its tensor it comes after. */
interface PlacedSum {
  readonly after: number;
  readonly sum: ExpectedSum;
}

/** What the steps do to one tensor, as far as it is known without a list of them. */
interface Changes extends Pick<Updates, "bytes" | "coded"> {
  /** How many steps change it. */
  readonly count: number;
  /** How many checksums are stated of it, and those that are taken. */
  readonly stated: number;
  readonly taken: readonly PlacedSum[];
}

/** @param first the checksum that the start states. */
function changesOf(
  name: string,
  steps: readonly Version[],
  first: ExpectedSum | undefined,
  everySum: boolean,
): Changes {
  const own: readonly PlacedSum[] = first === undefined ? [] : [{ after: 0, sum: first }];
  const every = [...own];
  let last: Version | null = null;
  let stated = own.length;
  let [count, bytes, coded] = [0, 0, false];
  for (const step of steps) {
    const length = step.payloads.bytesOf(name);
    if (length < 0) {
      continue;
    }
    count += 1;
    bytes += length;
    coded ||= step.encoding === "exact-compressed";
    stated += step.payloads.hasSum(name) ? 1 : 0;
    last = step;
    if (everySum) {
      every.push(...sumAfter(count, step, name));
    }
  }
  const taken = everySum ? every : last === null ? own : sumAfter(count, last, name);
  return { count, stated, taken, bytes, coded };
}

/** None if the payload has no checksum: that of an earlier step is not the result's. */
function sumAfter(after: number, { id, payloads }: Version, name: string): readonly PlacedSum[] {
  const { checksum = null, shard } = payloads.get(name) ?? {};
  return checksum === null || shard === undefined ? [] : [{ after, sum: { version: id, file: shard.path, checksum } }];
}

/** Updates are of bytes: a packed dtype, whose elements have none of their own, is what it is stored as. */
export function asBytes(operand: StoredOperand): Pick<TensorJob, "dtype" | "shape" | "start"> {
  const { dtype, shape, range } = operand;
  const plain =
    dtypeBits(dtype) % 8 === 0 ? { dtype, shape } : { dtype: "U8" as const, shape: [range.end - range.begin] };
  return { ...plain, start: { operand: { ...operand, ...plain }, mean: null } };
}

export function stepOf(version: string, payload: Payload, inputOf: (stored: StoredBytes) => number): UpdateStep {
  const { range, encoding, compression, values, positions, dtype, shape } = payload;
  return {
    ...{ input: inputOf(payload), range, version, encoding, compression },
    ...(values === undefined ? {} : { values: { input: inputOf(values), range: values.range } }),
    ...(positions === undefined ? {} : { positions }),
    ...(encoding === "exact-compressed" && dtype !== undefined && shape !== undefined
      ? { coded: { dtype, shape } }
      : {}),
  };
}

/** Files of different versions may have the same name. */
export function payloadInputs({ place, shards }: Version): readonly PlanInput[] {
  return shards.map(({ file, path, size, modified, header, hub }) => ({
    role: "payload",
    file: `${place}/${file}`,
    path,
    size,
    modified,
    header: header.digest,
    ...(hub === undefined ? {} : { hub }),
  }));
}

/** Every tensor of every step must be a tensor of the model, with the same dtype and shape. @throws {WeightDiffError} with `why`. */
export function refuseUnfit({ stateDict }: Checkpoint, steps: readonly Version[]): void {
  const errors: WeightDiffError[] = [];
  for (const version of suspects(stateDict, steps)) {
    for (const payload of version.payloads.values()) {
      const error = unfit(stateDict.get(payload.name), payload, version);
      if (error !== null) {
        errors.push(error);
      }
    }
    const missing = version.every === true ? [...stateDict.keys()].filter((name) => !version.payloads.has(name)) : [];
    const [first] = missing;
    if (first !== undefined) {
      const others = missing.length === 1 ? "" : ` and ${missing.length - 1} more`;
      const what = `the base's tensor ${quote(first)}${others} ${missing.length === 1 ? "has" : "have"} no payload, but this layout needs one for every tensor`;
      const hint = "the upload is incomplete, or was made for another model: fetch all of its files";
      errors.push(chainError("incomplete", what, hint, { file: version.place, tensor: first, version: version.id }));
    }
  }
  if (errors.length > 0) {
    throw together(errors);
  }
}

/** The versions of which not every payload is known to fit. The others name tensors of the model, and state nothing else about them. */
function suspects(stateDict: Checkpoint["stateDict"], steps: readonly Version[]): readonly Version[] {
  const known = new Uint32Array(steps.length);
  for (const name of stateDict.keys()) {
    for (let at = 0; at < steps.length; at++) {
      known[at] = (known[at] ?? 0) + (steps[at]?.payloads.has(name) === true ? 1 : 0);
    }
  }
  return steps.filter(
    ({ payloads, every }, at) => payloads.statesTensors || every === true || known[at] !== payloads.size,
  );
}

function unfit(tensor: StoredTensor | undefined, payload: Payload, version: Version): WeightDiffError | null {
  const { name, dtype, shape, encoding, values } = payload;
  if (tensor === undefined) {
    return chainError(
      "unknown-tensor",
      `tensor ${quote(name)} is not in the base: an update changes tensors, and cannot add any`,
      "give the model that the trainer started from, with the names that its checkpoint has",
      placeOf(payload, version),
    );
  }
  const isOther =
    (dtype !== undefined && dtype !== tensor.dtype) || (shape !== undefined && !sameShape(shape, tensor.shape));
  if (isOther) {
    const other = { dtype: dtype ?? tensor.dtype, shape: shape ?? tensor.shape };
    return chainError(
      "dtype",
      `tensor ${quote(name)} is ${other.dtype} ${shapeText(other.shape)} for the publisher, and ${tensor.dtype} ${shapeText(tensor.shape)} in the base`,
      "give the base that the chain starts from, in the dtype that it is published in",
      placeOf(payload, version),
    );
  }
  return encoding === "elements" && values !== undefined && values.dtype !== tensor.dtype
    ? chainError(
        "dtype",
        `tensor ${quote(name)}: the new values are ${values.dtype}, and it is ${tensor.dtype} in the base`,
        "give the base in the dtype that the chain is published in",
        placeOf(payload, version),
      )
    : null;
}

function placeOf({ name, shard }: Payload, { id }: Version) {
  return { file: shard.path, tensor: name, version: id };
}
