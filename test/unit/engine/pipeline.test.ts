/** Jobs over files in memory: what is digested, summed, checked and written, tensor by tensor. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import type { Disk, DiskFile } from "../../../src/engine/io/disk.js";
import type { Job, StoredOperand, TensorJob, Term } from "../../../src/engine/job/job.js";
import { digestOf, type TensorResult } from "../../../src/engine/job/result.js";
import { type PoolOptions, runJobs } from "../../../src/engine/pool.js";
import { needsOf } from "../../../src/engine/setup.js";
import { WeightDiffError } from "../../../src/errors.js";
import { type Dtype, dtypeBits } from "../../../src/formats/dtype.js";
import type { Shape } from "../../../src/formats/tensor-info.js";
import { memoryFile } from "../../support/faulty-disk.js";
import { refuses } from "../../support/refusal.js";

type Files = Readonly<Record<string, Uint8Array>>;

/** Runs jobs in this thread; inputs are `diff` and `raw`, the output is `out`. */
async function run(
  files: Files,
  jobs: readonly Job[],
  more: Partial<PoolOptions> = {},
): Promise<readonly TensorResult[]> {
  const disk: Disk = { openFile: async (path) => memoryFile(files[path] ?? new Uint8Array(), path) };
  const results: TensorResult[] = [];
  await runJobs(
    {
      inputs: ["diff", "raw"].map((path) => ({ path, size: files[path]?.length ?? 0, modified: "0", direct: false })),
      outputs: [{ path: "out", directEnd: 0, direct: false }],
      windowBytes: 1 << 16,
      slots: 3,
      decoders: 1,
      fileWindowBytes: 1 << 16,
      ...needsOf(jobs),
    },
    jobs,
    { threads: 0, disk, onResult: (_, result) => results.push(result), ...more },
  );
  return results;
}

function operand(input: number, dtype: Dtype, shape: Shape, more: Partial<StoredOperand> = {}): StoredOperand {
  const bytes = (shape.reduce((product, size) => product * size, 1) * dtypeBits(dtype)) / 8;
  return { kind: "stored", input, name: "t", dtype, shape, range: { begin: 0, end: bytes }, ...more };
}

function tensorJob(dtype: Dtype, shape: Shape, more: Partial<TensorJob> = {}): TensorJob {
  const driver = operand(0, dtype, shape);
  const end = driver.range.end;
  return {
    kind: "tensor",
    id: 0,
    name: "t",
    rule: "add",
    dtype,
    shape,
    start: term(driver),
    terms: [term(operand(1, dtype, shape))],
    prove: false,
    output: { shard: 0, range: { begin: 0, end } },
    ...more,
  };
}

function term(operand: StoredOperand, mean: Term["mean"] = null): Term {
  return { operand, mean };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function floats(...values: readonly number[]): Uint8Array {
  return new Uint8Array(new Float32Array(values).buffer);
}

function bigEndian(bytes: Uint8Array, width: number): Uint8Array {
  return Uint8Array.from(bytes, (_, k) => bytes[k - (k % width) + width - 1 - (k % width)] ?? 0);
}

for (const [what, shape, count] of [
  ["no dimension", [], 1],
  ["no element", [0, 5], 0],
  ["a window and a bit", [16_384 + 3], 16_387],
  ["exactly two windows", [2, 16_384], 32_768],
] as const) {
  test(`adds a tensor of ${what}`, async () => {
    const diff = floats(...Array.from({ length: count }, (_, k) => k));
    const raw = floats(...Array.from({ length: count }, () => 0.5));
    const out = new Uint8Array(count * 4);
    const expected = floats(...Array.from({ length: count }, (_, k) => k + 0.5));
    const [result] = await run({ diff, raw, out }, [tensorJob("F32", shape)]);
    assert.deepEqual(out, expected);
    assert.equal(result?.sha256, sha256(expected));
  });
}

test("adds a tensor to itself, with values that are not finite among them", async () => {
  const diff = floats(...Array.from({ length: 4096 }, (_, k) => (k % 1000 === 999 ? Number.POSITIVE_INFINITY : k)));
  const out = new Uint8Array(diff.length);
  const own = operand(0, "F32", [4096]);
  const [result] = await run({ diff, out }, [tensorJob("F32", [4096], { terms: [term(own)] })]);
  assert.deepEqual(out, floats(...new Float32Array(diff.buffer).map((value) => value + value)));
  assert.equal(result?.sum, Number.POSITIVE_INFINITY);
});

for (const dtype of ["F16", "F32", "F64", "I64"] as const) {
  test(`takes big-endian ${dtype}, with the checksum of the bytes as they are stored`, async () => {
    const width = dtypeBits(dtype) / 8;
    const little = Uint8Array.from({ length: 1000 * width }, (_, k) => (k * 7) % 60);
    const stored = bigEndian(little, width);
    const source = operand(0, dtype, [1000], { bigEndian: true, crc32: crc32(stored) });
    const [result] = await run({ diff: stored }, [{ kind: "digest", id: 3, name: "t", source }]);
    assert.deepEqual(result, { id: 3, sha256: sha256(little), sum: 0, overflow: 0 });
  });
}

test("a job of which only the checksum is wanted has no sha256, in place of an empty one", async () => {
  const files = { diff: Uint8Array.of(1, 2, 3, 4) };
  const source = operand(0, "U8", [4]);
  const sums = [{ after: 0, algorithm: "adler32" }] as const;
  const updates = { bytes: 0, coded: false, steps: [], sums, sumsOnly: true } as const;
  const jobs: readonly Job[] = [
    { kind: "digest", id: 0, name: "t", source, checksumOnly: true },
    { ...tensorJob("U8", [4], { rule: "update", terms: [], output: null }), id: 1, updates },
    { kind: "digest", id: 2, name: "t", source },
  ];
  const results = await run(files, jobs);
  assert.deepEqual(
    results.map((result) => "sha256" in result),
    [false, false, true],
  );
  assert.throws(() => digestOf(results[0] as TensorResult), TypeError);
  assert.equal(digestOf(results[2] as TensorResult), createHash("sha256").update(files.diff).digest("hex"));
});

test("adds a big-endian base to a little-endian diff", async () => {
  const out = new Uint8Array(12);
  const raw = operand(1, "F32", [3], { bigEndian: true });
  const files = { diff: floats(1, 2, 3), raw: bigEndian(floats(10, 20, 30), 4), out };
  const [result] = await run(files, [tensorJob("F32", [3], { terms: [term(raw)] })]);
  assert.deepEqual(out, floats(11, 22, 33));
  assert.equal(result?.sum, 66);
});

for (const [what, job] of [
  ["a digest", { kind: "digest", id: 0, name: "t", source: operand(0, "F32", [40_000], { crc32: 1 }) }],
  ["the diff", tensorJob("F32", [40_000], { start: term(operand(0, "F32", [40_000], { crc32: 1 })) })],
  ["the base", tensorJob("F32", [40_000], { terms: [term(operand(1, "F32", [40_000], { crc32: 1 }))] })],
] as const satisfies readonly (readonly [string, Job])[]) {
  test(`a checksum that does not fit ${what} names file and tensor, expected and found`, async () => {
    const bytes = new Uint8Array(160_000);
    const found = crc32(bytes).toString(16).padStart(8, "0");
    const file = what === "the base" ? "raw" : "diff";
    const message = new RegExp(`^${file}: tensor "t" is damaged: CRC-32 00000001 expected, ${found} found$`);
    await refuses(() => run({ diff: bytes, raw: bytes, out: bytes.slice() }, [job]), "CRC_MISMATCH", message);
  });
}

test("integers wrap around, and their sum is exact", async () => {
  const out = new Uint8Array(4);
  const files = { diff: Uint8Array.of(250, 1, 2, 3), raw: Uint8Array.of(10, 1, 1, 1), out };
  const [result] = await run(files, [tensorJob("U8", [4], { rule: "add-integers" })]);
  assert.deepEqual(out, Uint8Array.of(4, 2, 3, 4));
  assert.equal(result?.sum, 13);
});

test("reads a transposed diff", async () => {
  const out = new Uint8Array(24);
  const driver = operand(0, "F32", [2, 3], { strides: [1, 2] });
  await run({ diff: floats(1, 4, 2, 5, 3, 6), raw: floats(0, 0, 0, 0, 0, 0), out }, [
    tensorJob("F32", [2, 3], { start: term(driver) }),
  ]);
  assert.deepEqual(out, floats(1, 2, 3, 4, 5, 6));
});

test("rounds to 16 bits once, counts what overflows, and sums before rounding", async () => {
  const out = new Uint8Array(4);
  const job = tensorJob("F16", [2], {
    start: term(operand(0, "F32", [2])),
    terms: [term(operand(1, "F32", [2]))],
  });
  const [result] = await run({ diff: floats(1e5, 1), raw: floats(0, 2 ** -20), out }, [job]);
  assert.deepEqual(out, Uint8Array.of(0x00, 0x7c, 0x00, 0x3c));
  assert.equal(result?.overflow, 1);
  assert.equal(result?.sum, Math.fround(1e5 + 1 + 2 ** -20));
});

test("reads a window itself only when it is needed, and hears that it is to stop", async () => {
  const stop = new AbortController();
  const size = 4000 << 16;
  const setup = {
    inputs: [{ path: "diff", size, modified: "0", direct: false }],
    outputs: [],
    ...{ windowBytes: 1 << 16, slots: 3, decoders: 1, fileWindowBytes: 1 << 16, readsHere: true },
  };
  const job: Job = { kind: "digest", id: 0, name: "t", source: operand(0, "U8", [size]) };
  let read = 0;
  // On a busy machine a read may take so long that others do the next.
  let others = false;
  const file: DiskFile = {
    ...memoryFile(new Uint8Array(), "diff"),
    stat: async () => ({ size, modified: "0" }),
    async read(target) {
      others = true;
      return target.length;
    },
    readNow(target, position) {
      if (position === 0) {
        setImmediate(() => stop.abort(new WeightDiffError("TERMINATED", "stop")));
      }
      read += target.length;
      return target.length;
    },
  };
  let windows = 0;
  const running = runJobs({ ...setup, ...needsOf([job]) }, [job], {
    threads: 0,
    disk: { openFile: async () => file },
    signal: stop.signal,
    onProgress() {
      windows++;
      assert.ok(others || read === windows << 16, "nothing is read ahead");
    },
  });
  await refuses(() => running, "TERMINATED", /stop/);
  assert.ok(windows > 0 && windows < 2000, `${windows} windows`);
});

for (const threads of [0, 2]) {
  test(`with ${threads} threads, a signal that came before the jobs starts none, and leaves no listener`, async () => {
    const stop = new AbortController();
    stop.abort(new WeightDiffError("TERMINATED", "stop"));
    const setup = {
      inputs: [],
      outputs: [],
      windowBytes: 1 << 16,
      slots: 3,
      decoders: 1,
      fileWindowBytes: 1 << 16,
      ...needsOf([]),
    };
    const job: Job = { kind: "digest", id: 0, name: "t", source: operand(0, "U8", [0]) };
    let results = 0;
    const running = runJobs(setup, [job], { threads, signal: stop.signal, onResult: () => results++ });
    await refuses(() => running, "TERMINATED", /stop/);
    assert.equal(results, 0);
    assert.equal(getEventListeners(stop.signal, "abort").length, 0);
  });

  test(`with ${threads} threads, a run that ends well leaves no listener on the signal`, async () => {
    const { signal } = new AbortController();
    const setup = {
      inputs: [],
      outputs: [],
      windowBytes: 1 << 16,
      slots: 3,
      decoders: 1,
      fileWindowBytes: 1 << 16,
      ...needsOf([]),
    };
    await runJobs(setup, [], { threads, signal });
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });
}
