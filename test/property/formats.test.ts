/** Hostile input: any bytes give a header whose every range lies in the file, or a WeightDiffError. Never anything else. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { WeightDiffError } from "../../src/errors.js";
import { dtypeBits, tensorBytes } from "../../src/formats/dtype.js";
import { readEasylm } from "../../src/formats/easylm.js";
import { parseJson, topLevelSpans } from "../../src/formats/json.js";
import { readSafetensors } from "../../src/formats/safetensors.js";
import { layoutShard } from "../../src/formats/safetensors-layout.js";
import type { ShardHeader } from "../../src/formats/tensor-info.js";
import { readTorchLegacy } from "../../src/formats/torch-legacy.js";
import { readTorchZip } from "../../src/formats/torch-zip.js";
import { readWeightFile } from "../../src/formats/weight-file.js";
import { parseWeightIndex, writeWeightIndex } from "../../src/formats/weight-index.js";
import { arrayOf, easylmEntry } from "../support/easylm-files.js";
import { FIXTURES } from "../support/fixtures.js";
import { safetensorsFile } from "../support/hostile-files.js";
import { memorySource } from "../support/memory-source.js";

const SEED = 20230613;
const TORCH = ["torch-bin", "torch-2"].flatMap((folder) =>
  readdirSync(`${FIXTURES}${folder}`)
    .filter((file) => file.endsWith(".bin"))
    .map((file) => readFileSync(`${FIXTURES}${folder}/${file}`)),
);
const SAFETENSORS = [
  safetensorsFile("{}"),
  safetensorsFile(
    {
      __metadata__: { format: "pt" },
      "a.b": { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
      c: { dtype: "F16", shape: [], data_offsets: [24, 26], x: [{}] },
      d: ["U8", [0], [26, 26]],
    },
    26,
  ),
];
const EASYLM = Buffer.concat([
  easylmEntry("step", Buffer.from([3])),
  easylmEntry("params.transformer.wte.embedding", arrayOf([2, 3], "bfloat16", Buffer.alloc(12, 1))),
  easylmEntry("params.lm_head.kernel", arrayOf([3, 2], "float32", Buffer.alloc(24, 2))),
]);
const SEEDS = [...TORCH, ...SAFETENSORS, EASYLM].filter(({ length }) => length > 0 && length < 8192);

type Reader = (source: ReturnType<typeof memorySource>) => Promise<ShardHeader>;

/** @returns whether the bytes were read */
async function survives(bytes: Uint8Array, read: Reader = readWeightFile): Promise<boolean> {
  let header: ShardHeader;
  try {
    header = await read(memorySource(bytes));
  } catch (error) {
    if (error instanceof WeightDiffError) {
      assert.ok(error.message.length < 1000, "a message of hostile length");
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none must reach a terminal
      assert.doesNotMatch(error.message, /[\u0000-\u001f\u007f-\u009f]/);
      return false;
    }
    throw error;
  }
  const names = new Set(header.tensors.map(({ name }) => name));
  assert.equal(names.size, header.tensors.length);
  for (const { range, record, dtype, shape, strides } of header.tensors) {
    assert.ok(0 <= range.begin && range.begin <= range.end && range.end <= bytes.length);
    const size = range.end - range.begin;
    if (strides === undefined) {
      assert.equal(size, tensorBytes(dtype, shape));
    } else {
      const last = shape.reduce((sum, length, index) => sum + (length - 1) * (strides[index] ?? Number.NaN), 0);
      assert.equal(size, ((last + 1) * dtypeBits(dtype)) / 8);
    }
    if (record !== undefined) {
      assert.ok(record.range.begin <= range.begin && range.end <= record.range.end && record.range.end <= bytes.length);
    }
  }
  return true;
}

const READERS: readonly Reader[] = [readWeightFile, readSafetensors, readTorchZip, readTorchLegacy, readEasylm];

test("survives arbitrary bytes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...READERS), async (bytes, read) => {
      await survives(bytes, read);
    }),
    { numRuns: 1500, seed: SEED },
  );
});

test("survives arbitrary safetensors headers", async () => {
  const word = fc.constantFrom("dtype", "shape", "data_offsets", "F32", "U8", "__metadata__", "__proto__", "a", "");
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      word,
      fc.nat(40),
      fc.constant(null),
      fc.double(),
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(word, tie("value"), { maxKeys: 4 }),
    ),
  })).value;
  const entry = fc.record({
    dtype: fc.oneof({ weight: 9, arbitrary: fc.constantFrom("F32", "U8", "F4") }, value),
    shape: fc.oneof({ weight: 9, arbitrary: fc.array(fc.nat(3), { maxLength: 2 }) }, value),
    data_offsets: fc.oneof({ weight: 9, arbitrary: fc.tuple(fc.constantFrom(0, 4), fc.constantFrom(4, 8)) }, value),
  });
  await fc.assert(
    fc.asyncProperty(fc.dictionary(word, fc.oneof(entry, value), { maxKeys: 3 }), fc.nat(16), async (header, data) => {
      await survives(safetensorsFile(header, data), readSafetensors);
    }),
    { numRuns: 1500, seed: SEED },
  );
});

/** Byte flips, cuts, doubled and moved runs, numbers that overflow: what damage and malice do to a file. */
const mutation = fc.record({
  kind: fc.constantFrom("flip", "set", "cut", "splice", "insert", "huge"),
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  from: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  length: fc.nat(40),
  byte: fc.nat(255),
});
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutate(bytes: Buffer, { kind, at, from, length, byte }: Mutation): Buffer {
  const position = Math.floor(at * bytes.length);
  const origin = Math.floor(from * bytes.length);
  const copy = Buffer.from(bytes);
  if (kind === "flip") {
    copy[position] = (copy[position] ?? 0) ^ (1 << (byte % 8));
  } else if (kind === "set") {
    copy[position] = byte;
  } else if (kind === "huge") {
    copy.fill(0xff, position, Math.min(bytes.length, position + (length % 9)));
  } else if (kind === "splice") {
    bytes.copy(copy, position, origin, origin + length);
  } else if (kind === "insert") {
    return Buffer.concat([
      bytes.subarray(0, position),
      bytes.subarray(origin, origin + length),
      bytes.subarray(position),
    ]);
  } else {
    return copy.subarray(0, position);
  }
  return copy;
}

/** Puts right what a mutated data.pkl breaks first, so that mutants reach the pickle machine. */
async function survivesMended(bytes: Buffer): Promise<void> {
  const directory = bytes.lastIndexOf("PK\x01\x02");
  const first = bytes.indexOf("PK\x01\x02");
  if (directory >= 0 && first + 20 <= bytes.length) {
    const mended = Buffer.from(bytes);
    mended.fill(0, first + 16, first + 20);
    await survives(mended, readTorchZip);
  }
}

test("survives mutated real files", async () => {
  let read = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...SEEDS),
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
      async (seed, steps) => {
        const mutant = steps.reduce(mutate, Buffer.from(seed));
        read += (await survives(mutant)) ? 1 : 0;
        await survivesMended(mutant);
      },
    ),
    { numRuns: 8000, seed: SEED },
  );
  assert.ok(read > 100, `only ${read} mutants were read: the mutations are too rough to test anything`);
});

test("survives every truncation of a few real files", async () => {
  for (const name of ["t113_views", "t113_views_legacy", "t113_protocol4", "t113_zip64_full"]) {
    const bytes = readFileSync(`${FIXTURES}torch-bin/${name}.bin`);
    for (let length = 0; length < bytes.length; length += 1) {
      assert.equal(await survives(bytes.subarray(0, length)), false, `${name} cut to ${length} bytes was read`);
    }
  }
  for (const bytes of SAFETENSORS) {
    for (let length = 0; length < bytes.length; length += 1) {
      assert.equal(await survives(bytes.subarray(0, length)), false);
    }
  }
});

test("reads JSON as JSON.parse does, or refuses it", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const clean = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
      let found: unknown;
      try {
        found = parseJson(text, "t");
      } catch (error) {
        assert.ok(error instanceof WeightDiffError);
        assert.match(error.message, /surrogate/);
        return;
      }
      assert.deepEqual(clean(found), clean(JSON.parse(text)));
    }),
    { numRuns: 1000, seed: SEED },
  );
});

test("never reads text that JSON.parse refuses", () => {
  const scrap = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"a"',
    '"',
    "1",
    "-",
    ".",
    "e",
    "0",
    "\\",
    "\\u00",
    "null",
    "t",
    " ",
    "\n",
  );
  fc.assert(
    fc.property(fc.array(scrap, { maxLength: 12 }), (scraps) => {
      const text = scraps.join("");
      for (const read of [
        () => parseJson(text, "t"),
        () => topLevelSpans(text, "t"),
        () => parseWeightIndex(text, "t"),
      ]) {
        try {
          read();
        } catch (error) {
          assert.ok(error instanceof WeightDiffError);
          continue;
        }
        JSON.parse(text);
      }
    }),
    { numRuns: 5000, seed: SEED },
  );
});

test("reads every index that it wrote", () => {
  const shard = fc.stringMatching(/^[a-z0-9_-]{1,20}\.bin$/);
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: "binary" }), shard, { minKeys: 1 }), fc.maxSafeNat(), (map, total) => {
      const weightMap = new Map(Object.entries(map));
      const text = writeWeightIndex(weightMap, total);
      assert.match(text, /^[\x20-\x7e\n]*$/);
      const index = parseWeightIndex(text, "t");
      assert.deepEqual(new Map([...index.weightMap].sort()), new Map([...weightMap].sort()));
      assert.equal(index.totalSize, total);
    }),
    { numRuns: 300, seed: SEED },
  );
});

test("lays out shards that read back, without a page on both sides of directEnd", async () => {
  const dtype = fc.constantFrom("F32" as const, "F16" as const, "U8" as const, "F64" as const);
  const shape = fc.oneof(fc.constantFrom([4096], [2, 4096], [1024], []), fc.array(fc.nat(5), { maxLength: 3 }));
  const tensors = fc.uniqueArray(fc.record({ name: fc.string({ unit: "binary" }), dtype, shape }), {
    selector: ({ name }) => name,
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(tensors, async (list) => {
      const { header, ranges, size, directEnd } = layoutShard(list, { name: "m" });
      const file = Buffer.concat([header, Buffer.alloc(size - header.length)]);
      const found = new Map((await readSafetensors(memorySource(file))).tensors.map((tensor) => [tensor.name, tensor]));
      assert.equal(found.size, list.length);
      assert.equal(header.length % 4096, 0);
      for (const [index, { name, dtype: type, shape: dimensions }] of list.entries()) {
        const range = ranges[index];
        assert.ok(range);
        assert.deepEqual(found.get(name), { name, path: [name], dtype: type, shape: dimensions, range });
        const whole = range.begin % 4096 === 0 && range.end % 4096 === 0 && range.end > range.begin;
        assert.equal(range.end <= directEnd && range.end > range.begin, whole && range.end <= directEnd);
        assert.ok(range.end <= directEnd || range.begin >= directEnd);
      }
    }),
    { numRuns: 300, seed: SEED },
  );
});
