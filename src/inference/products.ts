/**
 * The matrices of a pass as steps of the engine. The rows of each are split among the workers, which read ahead while they wait for the
 * inputs. A pass goes through all steps in order, and the next pass starts again with the first.
 */
import type { StoredTensor } from "../checkpoint/checkpoint.js";
import type { Shard } from "../checkpoint/shard.js";
import { availableMemory } from "../engine/io/page-cache.js";
import { beginStep, createExchange, endSteps } from "../engine/job/exchange.js";
import type { Job, ProductJob } from "../engine/job/job.js";
import { widthOf } from "../engine/job/operand.js";
import { runJobs } from "../engine/pool.js";
import { storedOperand } from "../plan/operands.js";
import { provideInputs } from "../run/inputs.js";
import { choosePace, decodersFor } from "../run/pace.js";
import type { RunOptions } from "../run/run-plan.js";
import { allFinite } from "./arithmetic.js";
import { BrokenModel } from "./model.js";

/** Rows of a matrix [rows, columns], and the position of the first of them among a token's products. */
export interface RowPart {
  readonly name: string;
  readonly tensor: StoredTensor;
  readonly rows: { readonly begin: number; readonly end: number };
  readonly first: number;
}

/** Parts with the same input. */
export interface ProductStep {
  readonly columns: number;
  /** Products of a token. */
  readonly products: number;
  readonly parts: readonly RowPart[];
}

export interface Products {
  /** tokens x columns of the next step. Fill it before `next`. */
  readonly inputs: Float32Array;
  /** tokens x products of the last step. */
  readonly outputs: Float32Array;
  /** Does the next step. @throws {BrokenModel} @throws {WeightDiffError} as the engine. */
  next(tokens: number): Promise<void>;
  close(): Promise<void>;
}

interface ProductOptions extends RunOptions {
  /** The most tokens in a step. */
  readonly tokens: number;
  readonly onRead: (bytes: number) => void;
}

/** Smaller than elsewhere, since the inputs wait for the last window of each step. */
const WINDOW_BYTES = 1 << 21;
/** The jobs of a step are smaller than a window if that is needed to give every worker some, but not smaller than this. */
const LEAST_JOB_BYTES = 1 << 16;
const JOBS_EACH = 3;

/** Starts the workers. @throws {WeightDiffError} IO; NETWORK, DISK_FULL if files of the Hub are fetched. */
export async function openProducts(steps: readonly ProductStep[], options: ProductOptions): Promise<Products> {
  const shards = new Map<Shard, number>();
  const inputOf = (shard: Shard): number => {
    const known = shards.get(shard) ?? shards.size;
    shards.set(shard, known);
    return known;
  };
  const whole = steps.map((step) => wholeJobs(step, inputOf));
  const files = await provideInputs([...shards.keys()], options);
  const bytes = steps.reduce((sum, step) => sum + stepBytes(step), 0);
  const { threads, ...pace } = choosePace(
    files,
    bytes,
    whole.flat().map((job) => ({ ...job, id: 0, step: 0, count: true })),
    { ...options, windowBytes: options.windowBytes ?? WINDOW_BYTES },
  );
  // Step by step, since a large model has tens of thousands of jobs.
  const jobsOf = (step: number): readonly PlannedJob[] => cutJobs(whole[step] ?? [], pace.windowBytes, threads);
  const widest = Math.max(...steps.map(({ columns }) => columns));
  const most = Math.max(...steps.map(({ products }) => products));
  const exchange = createExchange(options.tokens * widest, options.tokens * most);
  const cached = cachedFiles(files);
  let over = false;
  let begun = 0;
  let left = 0;
  let settle: { readonly done: () => void; readonly failed: (error: unknown) => void } | null = null;
  let failure: unknown = null;
  const broken = new Set<string>();
  function* jobs(): Generator<Job> {
    let id = 0;
    let step = 0;
    for (let pass = 0; !over; pass++) {
      for (let place = 0; place < whole.length; place++) {
        step++;
        for (const job of jobsOf(place)) {
          yield { ...job, id: id++, step, count: pass === 0 };
        }
      }
    }
  }
  const running = runJobs(
    {
      inputs: files.map((file, index) => ({ ...file, direct: file.remote === undefined && !cached[index] })),
      outputs: [],
      ...pace,
      decoders: decodersFor(threads),
      ...{ operands: 1, means: 0, meanColumns: 0, coder: "none", measures: false },
      product: { columns: widest, tokens: options.tokens, exchange },
    },
    jobs(),
    {
      threads,
      ...(options.disk === undefined ? {} : { disk: options.disk }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onProgress: (_, read) => options.onRead(read),
      onResult(job, { counts }) {
        if ((counts?.nan ?? 0) + (counts?.infinite ?? 0) > 0) {
          broken.add(job.name);
        }
        left--;
        if (left === 0) {
          settle?.done();
        }
      },
    },
  ).catch((error: unknown) => {
    failure = error;
    settle?.failed(error);
  });
  const inputs = new Float32Array(exchange.inputs);
  const outputs = new Float32Array(exchange.outputs);
  return {
    inputs,
    outputs,
    async next(tokens) {
      const index = begun % steps.length;
      const step = steps[index] as ProductStep;
      begun++;
      if (failure !== null) {
        throw failure;
      }
      await new Promise<void>((done, failed) => {
        settle = { done, failed };
        left = jobsOf(index).length;
        beginStep(exchange, begun, tokens);
      });
      refuseBroken(step, outputs.subarray(0, tokens * step.products), broken);
    },
    async close() {
      over = true;
      endSteps(exchange);
      await running;
    },
  };
}

/** The checksum of a whole tensor cannot be checked on some of its rows. verify checks it. */
function operandOf(tensor: StoredTensor, inputOf: (shard: Shard) => number): ProductJob["source"] {
  const { crc32: _, ...operand } = storedOperand(tensor, inputOf);
  return operand;
}

export function stepBytes({ columns, parts }: ProductStep): number {
  return parts.reduce((sum, { tensor, rows }) => sum + columns * widthOf(tensor.dtype) * (rows.end - rows.begin), 0);
}

/** A planned job, without the numbers that are assigned later. */
type PlannedJob = Omit<ProductJob, "id" | "step" | "count">;

function wholeJobs({ parts, products }: ProductStep, inputOf: (shard: Shard) => number): readonly PlannedJob[] {
  return parts.map(({ name, tensor, rows, first }) => ({
    kind: "product",
    name,
    source: operandOf(tensor, inputOf),
    rows,
    first: first - rows.begin,
    stride: products,
  }));
}

function cutJobs(jobs: readonly PlannedJob[], windowBytes: number, threads: number): readonly PlannedJob[] {
  const all = jobs.reduce((sum, { source, rows }) => sum + rowBytes(source) * (rows.end - rows.begin), 0);
  const bytes = Math.min(windowBytes, Math.max(LEAST_JOB_BYTES, all / (JOBS_EACH * Math.max(1, threads))));
  return jobs.flatMap((job) => {
    const { begin, end } = job.rows;
    // Rows are multiplied four at a time.
    const some = Math.max(4, Math.floor(bytes / rowBytes(job.source) / 4) * 4);
    return Array.from({ length: Math.ceil((end - begin) / some) }, (_, i) => ({
      ...job,
      rows: { begin: begin + i * some, end: Math.min(end, begin + (i + 1) * some) },
    }));
  });
}

function rowBytes({ shape, dtype }: ProductJob["source"]): number {
  return (shape[1] ?? 0) * widthOf(dtype);
}

/** Of the memory that the page cache may use, leave some for others. */
const CACHE_SHARE = 0.8;

/**
 * Which files are read through the page cache: the first ones, as many as fit into it. A larger model that goes through the cache in order,
 * pass after pass, would never find its own pages there.
 */
function cachedFiles(files: readonly { readonly size: number }[]): readonly boolean[] {
  const limit = process.constrainedMemory?.() ?? 0;
  let room = CACHE_SHARE * Math.min(availableMemory(), limit > 0 ? limit : Number.POSITIVE_INFINITY);
  return files.map(({ size }) => {
    room -= size;
    return room >= 0;
  });
}

/** @throws {BrokenModel} naming the first matrix whose weights or products are not finite. */
function refuseBroken(step: ProductStep, outputs: Float32Array, broken: ReadonlySet<string>): void {
  const weights = step.parts.find(({ name }) => broken.has(name));
  if (weights !== undefined) {
    throw new BrokenModel(weights.name, true);
  }
  if (allFinite(outputs)) {
    return;
  }
  const at = outputs.findIndex((value) => !Number.isFinite(value)) % step.products;
  const part = step.parts.findLast(({ first }) => first <= at);
  throw new BrokenModel(part?.name ?? "", false);
}
