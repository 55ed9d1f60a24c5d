/** Products of a matrix in a file: the bits of the scalar kernel, whatever the dtype, the place, the windows, the cut and the threads. */
import assert from "node:assert/strict";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { leastWindowBytes } from "../../../../src/engine/cut.js";
import type { Disk } from "../../../../src/engine/io/disk.js";
import { beginStep, createExchange, type ExchangeMemory, endSteps } from "../../../../src/engine/job/exchange.js";
import type { ProductJob, StoredOperand } from "../../../../src/engine/job/job.js";
import type { TensorResult } from "../../../../src/engine/job/result.js";
import { type PoolOptions, runJobs } from "../../../../src/engine/pool.js";
import { needsOf } from "../../../../src/engine/setup.js";
import { ELEMENT_BYTES } from "../../../../src/kernel/bits.js";
import { createScalarKernel } from "../../../../src/kernel/scalar.js";
import { withFolder } from "../../../support/checkpoints.js";
import { memoryFile } from "../../../support/faulty-disk.js";
import { hashed } from "../../../support/kernels.js";
import { refuses } from "../../../support/refusal.js";

type Dtype = "F32" | "F16" | "BF16";

/** Bits of ordinary values, F16's subnormals among them. */
function weights(dtype: Dtype, count: number): Uint8Array {
  const bits = hashed(11, count);
  return dtype === "F32"
    ? new Uint8Array(bits.map((h) => (h & 0x807fffff) | 0x3e000000).buffer)
    : new Uint8Array(
        Uint16Array.from(bits, (h) => h & (dtype === "F16" ? 0x93ff | (h % 8 === 0 ? 0 : 0x2c00) : 0xbfff)).buffer,
      );
}

function inputs(tokens: number, columns: number): Float32Array {
  return new Float32Array(hashed(5, tokens * columns).map((h) => (h & 0x807fffff) | 0x3f000000).buffer);
}

/** Row by row: [tokens][rows]. */
function expected(
  dtype: Dtype,
  bytes: Uint8Array,
  [rows, columns]: readonly [number, number],
  x: Float32Array,
): number[] {
  const tokens = x.length / columns;
  const kernel = createScalarKernel(bytes.length + 4 * (rows * columns + x.length + rows * tokens) + 64);
  const at = { source: 0, weights: bytes.length + (-bytes.length & 15), inputs: 0, outputs: 0 };
  at.inputs = at.weights + 4 * rows * columns;
  at.outputs = at.inputs + 4 * x.length;
  new Uint8Array(kernel.memory).set(bytes, at.source);
  kernel.widen(dtype, at.source, at.weights, rows * columns);
  new Float32Array(kernel.memory, at.inputs, x.length).set(x);
  kernel.multiply({ ...at, rows, columns, tokens, stride: rows });
  return [...new Float32Array(kernel.memory, at.outputs, rows * tokens)];
}

interface Matrix {
  readonly path: string;
  readonly source: StoredOperand;
}

interface Given {
  readonly windowBytes?: number;
  /** First rows of the jobs after the first. */
  readonly cuts?: readonly number[];
  readonly count?: boolean;
}

function jobsOf({ source }: Matrix, { cuts = [], count = false }: Given): readonly ProductJob[] {
  const [rows = 0] = source.shape;
  const ends = [...cuts, rows];
  return [0, ...cuts].map((begin, id) => ({
    kind: "product",
    id,
    name: source.name,
    source,
    rows: { begin, end: ends[id] ?? rows },
    step: 1,
    first: 2,
    stride: rows + 5,
    count,
  }));
}

interface Ran {
  /** As `expected`. */
  readonly products: readonly number[];
  readonly results: readonly TensorResult[];
}

async function run(matrix: Matrix, x: Float32Array, given: Given, options: PoolOptions): Promise<Ran> {
  const jobs = jobsOf(matrix, given);
  const [rows = 0, columns = 1] = matrix.source.shape;
  const tokens = x.length / columns;
  const exchange = createExchange(x.length, tokens * (rows + 5) + 2);
  const outputs = new Float32Array(exchange.outputs).fill(-1);
  new Float32Array(exchange.inputs).set(x);
  beginStep(exchange, 1, tokens);
  const results: TensorResult[] = [];
  await runJobs(setup(matrix.path, jobs, exchange, { columns, tokens }, given), jobs, {
    ...options,
    onResult: (_, result) => results.push(result),
  });
  const of = (token: number): Float32Array => outputs.subarray(token * (rows + 5) + 2).subarray(0, rows);
  for (let token = 0; token < tokens; token++) {
    const between = outputs.subarray(token * (rows + 5) + 2 + rows, (token + 1) * (rows + 5) + 2);
    assert.ok(
      between.every((value) => value === -1),
      "what lies between the tokens is not touched",
    );
  }
  return { products: Array.from({ length: tokens }, (_, token) => [...of(token)]).flat(), results };
}

function setup(
  path: string,
  jobs: readonly ProductJob[],
  exchange: ExchangeMemory,
  needs: { readonly columns: number; readonly tokens: number },
  { windowBytes = 1 << 16 }: Given,
): Parameters<typeof runJobs>[0] {
  return {
    inputs: [{ path, size: 0, modified: "0", direct: false }],
    outputs: [],
    windowBytes: Math.max(windowBytes, leastWindowBytes(jobs)),
    slots: 3,
    decoders: 1,
    fileWindowBytes: 1 << 16,
    ...needsOf(jobs),
    product: { ...needs, exchange },
  };
}

function stored(dtype: Dtype, shape: readonly [number, number], more: Partial<StoredOperand> = {}, begin = 0): Matrix {
  const end = begin + shape[0] * shape[1] * ELEMENT_BYTES[dtype];
  return { path: "w", source: { kind: "stored", input: 0, name: "w", dtype, shape, range: { begin, end }, ...more } };
}

/** In this thread, over bytes in memory. */
function here(bytes: Uint8Array): PoolOptions {
  const disk: Disk = {
    openFile: async (path) => ({ ...memoryFile(bytes, path), stat: async () => ({ size: 0, modified: "0" }) }),
  };
  return { threads: 0, disk };
}

for (const dtype of ["F32", "F16", "BF16"] as const) {
  for (const shape of [
    [1, 1],
    [7, 5],
    [130, 64],
    [301, 172],
    [3, 40_000],
    [5000, 3],
  ] as const) {
    test(`${shape.join(" x ")} of ${dtype}, by one token and by several, in whole and in parts`, async () => {
      const bytes = weights(dtype, shape[0] * shape[1]);
      for (const tokens of [1, 2, 7]) {
        const x = inputs(tokens, shape[1]);
        const all = expected(dtype, bytes, shape, x);
        for (const given of [{}, { windowBytes: 1 << 20 }, { cuts: shape[0] > 3 ? [1, shape[0] - 2] : [] }]) {
          const { products } = await run(stored(dtype, shape), x, given, here(bytes));
          assert.deepEqual(products, all, `${tokens} ${JSON.stringify(given)}`);
        }
      }
    });
  }

  test(`${dtype} that begins anywhere, most significant byte first, or transposed`, async () => {
    const shape = [33, 20] as const;
    const width = ELEMENT_BYTES[dtype];
    const bytes = weights(dtype, 660);
    const x = inputs(3, 20);
    const all = expected(dtype, bytes, shape, x);
    const moved = Buffer.concat([Buffer.alloc(3), bytes]);
    assert.deepEqual((await run(stored(dtype, shape, {}, 3), x, {}, here(moved))).products, all);
    const swapped = width === 4 ? Buffer.from(bytes).swap32() : Buffer.from(bytes).swap16();
    assert.deepEqual((await run(stored(dtype, shape, { bigEndian: true }), x, {}, here(swapped))).products, all);
    const transposed = Buffer.alloc(bytes.length);
    for (let row = 0; row < 33; row++) {
      for (let column = 0; column < 20; column++) {
        transposed.set(bytes.subarray((row * 20 + column) * width).subarray(0, width), (column * 33 + row) * width);
      }
    }
    const { products } = await run(stored(dtype, shape, { strides: [1, 33] }), x, { cuts: [9] }, here(transposed));
    assert.deepEqual(products, all);
  });
}

for (const threads of [1, 2, 3]) {
  test(`${threads} threads give the same`, async () => {
    await withFolder(async (folder) => {
      const shape = [700, 96] as const;
      const bytes = weights("F16", 700 * 96);
      const path = join(folder, "w");
      await writeFile(path, bytes);
      const { size, mtimeNs } = await stat(path, { bigint: true });
      const x = inputs(5, 96);
      const matrix = { ...stored("F16", shape), path };
      const jobs = jobsOf(matrix, { cuts: [100, 333, 334] });
      const exchange = createExchange(x.length, 5 * 705 + 2);
      new Float32Array(exchange.inputs).set(x);
      const plan = setup(path, jobs, exchange, { columns: 96, tokens: 5 }, {});
      const inputsOfRun = [{ path, size: Number(size), modified: String(mtimeNs), direct: false }];
      // The workers are up and have read ahead before the step begins.
      setTimeout(() => beginStep(exchange, 1, 5), 300);
      await runJobs({ ...plan, inputs: inputsOfRun }, jobs, { threads });
      const outputs = new Float32Array(exchange.outputs);
      const found = [0, 1, 2, 3, 4].flatMap((token) => [...outputs.subarray(token * 705 + 2).subarray(0, 700)]);
      assert.deepEqual(found, expected("F16", bytes, shape, x));
    });
  });
}

test("counts what is not finite, of all rows, once", async () => {
  const bytes = new Uint8Array(
    Float32Array.of(1, Number.NaN, 2, 0, Number.POSITIVE_INFINITY, -0, Number.NaN, 4).buffer,
  );
  const x = inputs(2, 2);
  const { results } = await run(stored("F32", [4, 2]), x, { cuts: [1, 2], count: true }, here(bytes));
  const total = { nan: 0, infinite: 0, zero: 0 };
  for (const { counts } of results) {
    total.nan += counts?.nan ?? 0;
    total.infinite += counts?.infinite ?? 0;
    total.zero += counts?.zero ?? 0;
  }
  assert.deepEqual(total, { nan: 2, infinite: 1, zero: 2 });
});

test("steps follow each other: inputs of the next are taken once it has begun", async () => {
  const bytes = weights("F32", 40);
  const matrix = stored("F32", [8, 5]);
  const [first, second] = [inputs(1, 5), inputs(1, 5).map((value) => value * 2)];
  const jobs = [1, 2].flatMap((step) =>
    jobsOf(matrix, { cuts: [4] }).map((job, k) => ({ ...job, step, id: 2 * step + k })),
  );
  const exchange = createExchange(5, 20);
  const found: number[][] = [];
  let open = 2;
  new Float32Array(exchange.inputs).set(first);
  beginStep(exchange, 1, 1);
  await runJobs(setup("w", jobs, exchange, { columns: 5, tokens: 1 }, {}), jobs, {
    ...here(bytes),
    onResult: (job) => {
      open--;
      if (open === 0) {
        found.push([...new Float32Array(exchange.outputs).subarray(2, 10)]);
        new Float32Array(exchange.inputs).set(second);
        open = 2;
        beginStep(exchange, job.kind === "product" ? job.step + 1 : 0, 1);
      }
    },
  });
  assert.deepEqual(
    found,
    [first, second].map((x) => expected("F32", bytes, [8, 5], x)),
  );
});

for (const threads of [0, 2]) {
  test(`a step that never begins is given up once the run is aborted, with ${threads} threads`, async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "w");
      await writeFile(path, weights("F32", 40));
      const { size, mtimeNs } = await stat(path, { bigint: true });
      const matrix = { ...stored("F32", [8, 5]), path };
      const jobs = jobsOf(matrix, {});
      const plan = setup(path, jobs, createExchange(5, 20), { columns: 5, tokens: 1 }, {});
      const stop = new AbortController();
      setTimeout(() => stop.abort(), 200);
      const started = performance.now();
      await refuses(
        () =>
          runJobs({ ...plan, inputs: [{ path, size: Number(size), modified: String(mtimeNs), direct: false }] }, jobs, {
            threads,
            signal: stop.signal,
          }),
        "INTERRUPTED",
        /interrupted/,
      );
      assert.ok(performance.now() - started < 5000);
    });
  });
}

test("jobs of steps that will not begin end without products", async () => {
  const matrix = stored("F32", [8, 5]);
  const jobs = jobsOf(matrix, {});
  const exchange = createExchange(5, 20);
  endSteps(exchange);
  await runJobs(setup("w", jobs, exchange, { columns: 5, tokens: 1 }, {}), jobs, here(weights("F32", 40)));
  assert.ok(new Float32Array(exchange.outputs).every((value) => value === 0));
});
