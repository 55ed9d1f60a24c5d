/**
 * make-diff and recover over random small models of every dtype: "exact" gives back every byte, "additive" what a plain
 * element-by-element model of the arithmetic says, however the work is cut up.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import "../support/seed.js";
import { type MakeDiffOptions, makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import { GUARDS } from "../../src/evidence/guard-names.js";
import { DTYPES, type Dtype, dtypeBits, elementCount, type FloatDtype, isFloatDtype } from "../../src/formats/dtype.js";
import { addBits, narrowBits, negateBits, widenBF16, widenF16, widenF64 } from "../../src/kernel/bits.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../support/checkpoints.js";
import { treeOf } from "../support/models.js";

/** A tensor on both sides, or only in the tuned model. */
interface Twin {
  readonly raw: Side | null;
  readonly tuned: Side;
}
interface Side {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const FLOATS = DTYPES.filter(isFloatDtype);
/** Packed elements come in whole bytes only: shapes below have even lengths for them. */
const WHOLE = DTYPES.filter((dtype) => dtypeBits(dtype) % 8 === 0);
const shape = fc.oneof(
  fc.constantFrom([], [0], [1], [0, 3], [3, 0], [1, 1, 1]),
  fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 })),
  fc.tuple(fc.integer({ min: 1, max: 300 })),
  // More than one window of 64 KiB, and more than one block.
  fc.constantFrom([70_001], [257, 263]),
);
/** Bytes with every pattern of a float among them: NaN with payloads, infinities, zeros of both signs. */
const bytes = (dtype: Dtype, count: number): fc.Arbitrary<Uint8Array> =>
  fc.tuple(fc.integer(), fc.constantFrom("any", "weights", "specials")).map(([seed, look]) => {
    const data = new Uint8Array(Math.ceil((count * dtypeBits(dtype)) / 8));
    const width = dtypeBits(dtype) / 8;
    let state = seed | 1;
    for (let i = 0; i < data.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      const high = i % width === width - 1;
      data[i] =
        look === "weights" && high
          ? (state & 0x80) | 0x3c
          : look === "specials" && width > 1 && (state & 0x300) === 0
            ? ([0x00, 0x80, 0xff, 0x7f][(state >>> 4) & 3] ?? 0)
            : state;
      if (dtype === "BOOL") {
        data[i] = state & 1;
      }
    }
    return data;
  });
const side = (dtype: Dtype, form: readonly number[]): fc.Arbitrary<Side> =>
  bytes(dtype, elementCount(form) ?? 0).map((data) => ({ dtype, shape: form, bytes: data }));

/** Any two dtypes, or the same on both sides, or nothing in the base. */
const exactTwin = fc
  .tuple(fc.constantFrom(...WHOLE), fc.constantFrom(...WHOLE), shape, fc.constantFrom("same", "other", "new"))
  .chain(([tuned, other, form, how]) =>
    fc.record({
      raw: how === "new" ? fc.constant(null) : side(how === "same" ? tuned : other, form),
      tuned: side(tuned, form),
    }),
  );
const additiveTwin = fc
  .tuple(fc.constantFrom(...FLOATS), fc.constantFrom(...FLOATS), shape)
  .chain(([tuned, raw, form]) => fc.record({ raw: side(raw, form), tuned: side(tuned, form) }));

const cutting = fc.record({
  threads: fc.constantFrom(0, 1, 2),
  windowBytes: fc.constantFrom(1 << 16, 1 << 22),
  directIo: fc.constantFrom(true, false, "always" as const),
  maxShardSize: fc.constantFrom(1, 5000, 5_000_000_000),
});

/** Runs `body` on the two checkpoints, written out, with the folder for the diff. */
async function withModels(
  twins: readonly Twin[],
  body: (raw: string, tuned: string, diff: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const [raw, tuned, diff] = ["raw", "tuned", "diff"].map((name) => join(folder, name)) as [string, string, string];
    const specs = (key: "raw" | "tuned"): readonly TensorSpec[] =>
      twins.flatMap((twin, i) => {
        const part = twin[key];
        return part === null ? [] : [[`t${i}`, part.dtype, part.shape, part.bytes] as const];
      });
    await writeFiles(raw, { "model.safetensors": safetensors(...specs("raw")) });
    await writeFiles(tuned, { "model.safetensors": safetensors(...specs("tuned")) });
    await body(raw, tuned, diff);
  });
}

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
/** Random numbers look like no model. */
const STAND_INS = GUARDS.filter((guard) => guard !== "wrong-base");
const LIMITS = { numRuns: 18, interruptAfterTimeLimit: 25_000, endOnFailure: true } as const;

test("exact: every tensor comes back byte for byte, in its own dtype, however both runs are cut up", async () => {
  const models = fc.array(exactTwin, { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(models, cutting, cutting, async (twins, making, recovering) => {
      await withModels(
        [...twins, { raw: twins[0]?.tuned ?? null, tuned: twins[0]?.tuned as Side }],
        async (raw, tuned, diff) => {
          const { inexact } = await makeDiff({ raw, tuned, diff, encoding: "exact", ...making });
          assert.deepEqual([...inexact], []);
          const { tensors } = await recover({ raw, diff, ignore: STAND_INS, ...recovering });
          twins.forEach(({ tuned: { dtype, shape, bytes } }, i) => {
            const found = tensors.find(({ name }) => name === `t${i}`);
            assert.deepEqual(found, { name: `t${i}`, dtype, shape: [...shape], sha256: sha256(bytes) });
          });
          assert.equal(tensors.length, twins.length + 1);
        },
      );
    }),
    LIMITS,
  );
});

test("compressed: every tensor comes back byte for byte, and the diff is the same however its run was cut up", async () => {
  const models = fc.array(exactTwin, { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(models, cutting, cutting, async (twins, making, recovering) => {
      await withModels(
        [...twins, { raw: twins[0]?.tuned ?? null, tuned: twins[0]?.tuned as Side }],
        async (raw, tuned, diff) => {
          const { inexact } = await makeDiff({ raw, tuned, diff, compress: true, ...making });
          assert.deepEqual([...inexact], []);
          const again = { ...recovering, maxShardSize: making.maxShardSize };
          await makeDiff({ raw, tuned, diff: `${diff}-again`, compress: true, ...again });
          assert.deepEqual(await treeOf(`${diff}-again`), await treeOf(diff));
          const { tensors } = await recover({ raw, diff, ignore: STAND_INS, ...recovering });
          twins.forEach(({ tuned: { dtype, shape, bytes } }, i) => {
            const found = tensors.find(({ name }) => name === `t${i}`);
            assert.deepEqual(found, { name: `t${i}`, dtype, shape: [...shape], sha256: sha256(bytes) });
          });
          assert.equal(tensors.length, twins.length + 1);
        },
      );
    }),
    LIMITS,
  );
});

test("additive: what comes back, and how much does not, is what the arithmetic of single elements says", async () => {
  const models = fc.array(additiveTwin, { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(models, cutting, cutting, async (twins, making, recovering) => {
      await withModels(twins, async (raw, tuned, diff) => {
        const report = await makeDiff({ raw, tuned, diff, ...making });
        const { tensors } = await recover({ raw, diff, ignore: STAND_INS, ...recovering });
        twins.forEach((twin, i) => {
          const expected = cameBack(twin);
          const found = tensors.find(({ name }) => name === `t${i}`);
          assert.equal(found?.sha256, sha256(expected.bytes), `t${i}`);
          assert.equal(report.inexact.get(`t${i}`) ?? 0, expected.inexact, `t${i}`);
        });
      });
    }),
    LIMITS,
  );
});

test("the files of a diff are the same, whatever the threads, windows and way to the disk", async () => {
  const models = fc.array(additiveTwin, { minLength: 1, maxLength: 4 });
  const encoding = fc.constantFrom<NonNullable<MakeDiffOptions["encoding"]>>("additive", "exact");
  await fc.assert(
    fc.asyncProperty(models, cutting, cutting, encoding, async (twins, one, other, how) => {
      await withModels(twins, async (raw, tuned, diff) => {
        const size = one.maxShardSize;
        const first = await makeDiff({ raw, tuned, diff, encoding: how, ...one });
        const trees = [await treeOf(diff)];
        rmSync(diff, { recursive: true });
        const second = await makeDiff({ raw, tuned, diff, encoding: how, ...other, maxShardSize: size });
        trees.push(await treeOf(diff));
        assert.deepEqual(trees[1], trees[0]);
        assert.deepEqual(second.inexact, first.inexact);
      });
    }),
    { ...LIMITS, numRuns: 15 },
  );
});

test("a tensor of packed elements is stored as it is", async () => {
  await withFolder(async (folder) => {
    const data = Uint8Array.of(1, 2, 3, 4, 5, 6);
    const specs: readonly TensorSpec[] = [
      ["a", "F4", [12], data],
      ["b", "F6_E2M3", [2, 4], data],
    ];
    const [raw, tuned, diff] = [join(folder, "raw"), join(folder, "tuned"), join(folder, "diff")];
    await writeFiles(raw, { "model.safetensors": safetensors(...specs.map(([n, d, s]) => [n, d, s] as const)) });
    await writeFiles(tuned, {});
    await writeFile(join(tuned, "model.safetensors"), safetensors(...specs));
    await makeDiff({ raw, tuned, diff, encoding: "exact" });
    const { tensors } = await recover({ raw, diff });
    assert.deepEqual(
      tensors.map(({ dtype, sha256 }) => [dtype, sha256]),
      [
        ["F4", sha256(data)],
        ["F6_E2M3", sha256(data)],
      ],
    );
  });
});

/** base + (tuned - base) in F32, element by element, and how many elements are not the tuned ones. */
function cameBack({ raw, tuned }: Twin): { readonly bytes: Uint8Array; readonly inexact: number } {
  assert.ok(raw !== null && isFloatDtype(raw.dtype) && isFloatDtype(tuned.dtype));
  const count = elementCount(tuned.shape) ?? 0;
  const bytes = new Uint8Array(4 * count);
  const view = new DataView(bytes.buffer);
  const [loadRaw, loadTuned] = [loader(raw.dtype, raw.bytes), loader(tuned.dtype, tuned.bytes)];
  const stored = new DataView(tuned.bytes.buffer, tuned.bytes.byteOffset);
  let inexact = 0;
  for (let i = 0; i < count; i++) {
    const [base, goal] = [loadRaw(i), loadTuned(i)];
    const back = addBits(base, addBits(negateBits(base), goal));
    view.setUint32(4 * i, back, true);
    const narrow = tuned.dtype === "F16" || tuned.dtype === "BF16" ? tuned.dtype : null;
    const rounds = narrow === null || narrowBits(narrow, back) === stored.getUint16(2 * i, true);
    inexact += back >>> 0 === goal >>> 0 && rounds ? 0 : 1;
  }
  return { bytes, inexact };
}

/** Element i as F32 bits. */
function loader(dtype: FloatDtype, data: Uint8Array): (i: number) => number {
  const view = new DataView(data.buffer, data.byteOffset);
  const loads: Record<FloatDtype, (i: number) => number> = {
    F16: (i) => widenF16(view.getUint16(2 * i, true)),
    BF16: (i) => widenBF16(view.getUint16(2 * i, true)),
    F32: (i) => view.getUint32(4 * i, true),
    F64: (i) => widenF64(view.getUint32(8 * i + 4, true), view.getUint32(8 * i, true)),
  };
  return loads[dtype];
}
