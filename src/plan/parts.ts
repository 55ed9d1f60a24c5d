/**
 * Cuts a plan into parts that can run independently, on several machines. A part has whole files of the output. The largest file comes
 * first, and each goes to the part with the least to read and write so far. The same plan always gives the same parts.
 */
import {
  isMade,
  type Job,
  type Operand,
  type StoredOperand,
  type Term,
  type UpdateStep,
  type Updates,
} from "../engine/job/job.js";
import type { PartNumber } from "../output/part-names.js";
import type { RunPlan } from "./plan.js";
import { jobTraffic } from "./traffic.js";

/** The work of one part. If there are more parts than files, some have no work. */
export interface PlanPart extends PartNumber {
  /** Indexes of the plan's files, in order. */
  readonly shards: readonly number[];
  /** Ids of the plan's jobs, in order. */
  readonly jobs: readonly number[];
  /** Bytes. */
  readonly read: number;
  readonly write: number;
}

interface Item {
  readonly shard: number | null;
  readonly jobs: number[];
  read: number;
  write: number;
}

/** All parts. Jobs that only read (a checksum, a buffer that counts in the sum) go last, each to the part with the least work. */
export function splitPlan({ shards, jobs }: Pick<RunPlan, "shards" | "jobs">, count: number): readonly PlanPart[] {
  const items = shards.map((_, shard): Item => ({ shard, jobs: [], read: 0, write: 0 }));
  const loose: Item[] = [];
  for (const job of jobs) {
    const shard = shardOf(job);
    const item: Item = (shard === null ? undefined : items[shard]) ?? { shard: null, jobs: [], read: 0, write: 0 };
    if (item.shard === null) {
      loose.push(item);
    }
    const { read, write } = jobTraffic(job);
    item.jobs.push(job.id);
    item.read += read;
    item.write += write;
  }
  const parts = Array.from({ length: count }, (_, index) => ({
    ...{ index, count, read: 0, write: 0 },
    shards: [] as number[],
    jobs: [] as number[],
  }));
  for (const item of [...items.toSorted(largestFirst), ...loose.toSorted(largestFirst)]) {
    const least = parts.reduce((best, part) => (bytesOf(part) < bytesOf(best) ? part : best));
    least.read += item.read;
    least.write += item.write;
    least.jobs.push(...item.jobs);
    if (item.shard !== null) {
      least.shards.push(item.shard);
    }
  }
  const ascending = (a: number, b: number): number => a - b;
  return parts.map((part) => ({
    ...part,
    shards: part.shards.toSorted(ascending),
    jobs: part.jobs.toSorted(ascending),
  }));
}

function largestFirst(a: Item, b: Item): number {
  return bytesOf(b) - bytesOf(a) || (a.shard ?? 0) - (b.shard ?? 0) || (a.jobs[0] ?? 0) - (b.jobs[0] ?? 0);
}

function bytesOf({ read, write }: { readonly read: number; readonly write: number }): number {
  return read + write;
}

/** A plan for some of the files and jobs of another plan. It lists only the inputs that these jobs read, and numbers everything anew. */
interface SubPlan extends RunPlan {
  /** The ids that the jobs have in the other plan. */
  readonly ids: readonly number[];
}

export function subPlan(plan: RunPlan, part: Pick<PlanPart, "shards" | "jobs">): SubPlan {
  const chosen = part.jobs.flatMap((id) => plan.jobs[id] ?? []);
  const shards = new Map(part.shards.map((shard, place) => [shard, place]));
  const used = [...new Set(chosen.flatMap(inputsOf))].sort((a, b) => a - b);
  const inputs = new Map(used.map((input, place) => [input, place]));
  const inputOf = (input: number): number => inputs.get(input) ?? 0;
  return {
    inputs: used.flatMap((input) => plan.inputs[input] ?? []),
    shards: part.shards.flatMap((shard) => plan.shards[shard] ?? []),
    jobs: chosen.map((job, id) => ({ ...counted(job, inputOf, (shard) => shards.get(shard) ?? 0), id })),
    ids: chosen.map(({ id }) => id),
  };
}

/** The file that the job writes; null if it writes none. */
function shardOf(job: Job): number | null {
  return isMade(job) ? (job.output?.shard ?? null) : null;
}

function inputsOf(job: Job): readonly number[] {
  switch (job.kind) {
    case "tensor":
      return [
        ...[job.start, ...job.terms].flatMap(({ operand }) => operandInputs(operand)),
        ...stepInputs(job.updates?.steps ?? []),
      ];
    case "digest":
    case "product":
      return operandInputs(job.source);
    case "compare":
      return [job.left, job.right].flatMap(operandInputs);
    case "file":
      return [job.payload, ...(job.key === null ? [] : [job.key.input])];
    case "payload":
      return [
        ...[job.base, job.tuned].flatMap((operand) => (operand === null ? [] : operandInputs(operand))),
        ...stepInputs(job.steps),
      ];
  }
}

function stepInputs(steps: readonly UpdateStep[]): readonly number[] {
  return steps.flatMap(({ input, values }) => [input, ...(values === undefined ? [] : [values.input])]);
}

function operandInputs(operand: Operand): readonly number[] {
  return operand.kind === "inv-freq"
    ? []
    : operand.kind === "coded"
      ? [operand.input]
      : [operand.input, ...(operand.pieces ?? []).map(({ input }) => input)];
}

type Renumber = (place: number) => number;

function counted(job: Job, inputOf: Renumber, shardOf: Renumber): Job {
  const term = ({ operand, mean }: Term): Term => ({ operand: countedOperand(operand, inputOf), mean });
  switch (job.kind) {
    case "tensor":
      return {
        ...job,
        start: term(job.start),
        terms: job.terms.map(term),
        ...(job.updates === undefined ? {} : { updates: countedUpdates(job.updates, inputOf) }),
        output: job.output === null ? null : { ...job.output, shard: shardOf(job.output.shard) },
      };
    case "digest":
    case "product":
      return { ...job, source: countedStored(job.source, inputOf) };
    case "compare":
      return { ...job, left: countedStored(job.left, inputOf), right: countedStored(job.right, inputOf) };
    case "file":
      return {
        ...job,
        payload: inputOf(job.payload),
        key: job.key === null ? null : { ...job.key, input: inputOf(job.key.input) },
        output: job.output === null ? null : { shard: shardOf(job.output.shard) },
      };
    case "payload":
      return {
        ...job,
        base: job.base === null ? null : countedStored(job.base, inputOf),
        tuned: job.tuned === null ? null : countedStored(job.tuned, inputOf),
        steps: countedSteps(job.steps, inputOf),
        output: { ...job.output, shard: shardOf(job.output.shard) },
      };
  }
}

/** The list of steps is made only when somebody asks, as before. */
function countedUpdates(updates: Updates, inputOf: Renumber): Updates {
  const { bytes, coded, sums } = updates;
  return {
    ...{ bytes, coded, sums },
    get steps() {
      return countedSteps(updates.steps, inputOf);
    },
  };
}

function countedSteps(steps: readonly UpdateStep[], inputOf: Renumber): readonly UpdateStep[] {
  return steps.map(({ values, ...step }) => ({
    ...step,
    input: inputOf(step.input),
    ...(values === undefined ? {} : { values: { ...values, input: inputOf(values.input) } }),
  }));
}

function countedOperand(operand: Operand, inputOf: Renumber): Operand {
  return operand.kind === "inv-freq"
    ? operand
    : operand.kind === "coded"
      ? { ...operand, input: inputOf(operand.input) }
      : countedStored(operand, inputOf);
}

function countedStored(operand: StoredOperand, inputOf: Renumber): StoredOperand {
  const { pieces } = operand;
  return {
    ...operand,
    input: inputOf(operand.input),
    ...(pieces === undefined ? {} : { pieces: pieces.map((piece) => ({ ...piece, input: inputOf(piece.input) })) }),
  };
}
