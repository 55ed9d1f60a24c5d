/** The comparison of two tensors, held against one in plain JavaScript: every pair of dtypes, any window. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import "../support/seed.js";
import { compareCheckpoints } from "../../src/check/compare.js";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { ELEMENT_BYTES, fromBits, narrowBits, widenBF16, widenF16, widenF64 } from "../../src/kernel/bits.js";
import { safetensors, withFolder, writeFiles } from "../support/checkpoints.js";

const FLOATS = ["BF16", "F16", "F32", "F64"] as const;
type Float = (typeof FLOATS)[number];

/** F32 bits of each element. */
function widened(dtype: Float, bytes: Uint8Array): readonly number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / ELEMENT_BYTES[dtype] }, (_, i) => {
    const at = i * ELEMENT_BYTES[dtype];
    return dtype === "F64"
      ? widenF64(view.getUint32(at + 4, true), view.getUint32(at, true))
      : dtype === "F32"
        ? view.getUint32(at, true)
        : dtype === "F16"
          ? widenF16(view.getUint16(at, true))
          : widenBF16(view.getUint16(at, true));
  });
}

/** The oracle. */
function compared(left: readonly [Float, Uint8Array], right: readonly [Float, Uint8Array]) {
  const [a, b] = [widened(...left), widened(...right)];
  const [fine, coarse, dtype] = FLOATS.indexOf(left[0]) > FLOATS.indexOf(right[0]) ? [a, b, right[0]] : [b, a, left[0]];
  let different = 0;
  let most = 0;
  let rounded = true;
  a.forEach((bits, i) => {
    const other = b[i] ?? 0;
    const [x, y] = [fromBits(bits), fromBits(other)];
    if (bits >>> 0 !== other >>> 0) {
      different++;
      const gap = Math.abs(x - y);
      most = Number.isNaN(gap)
        ? Number.isNaN(x) && Number.isNaN(y)
          ? most
          : Number.POSITIVE_INFINITY
        : Math.max(most, Math.fround(gap));
    }
    const value = fine[i] ?? 0;
    const narrow = dtype === "F16" || dtype === "BF16" ? narrowBits(dtype, value) : null;
    const back = narrow === null ? value : dtype === "F16" ? widenF16(narrow) : widenBF16(narrow);
    const target = coarse[i] ?? 0;
    const bothNaN = Number.isNaN(fromBits(back)) && Number.isNaN(fromBits(target));
    rounded &&= back >>> 0 === target >>> 0 || bothNaN;
  });
  return { different, most, rounded };
}

for (const leftDtype of FLOATS) {
  for (const rightDtype of FLOATS.filter((dtype) => dtype !== leftDtype)) {
    test(`compares ${leftDtype} with ${rightDtype} as the oracle does`, async () => {
      await withFolder(async (folder) => {
        const value = fc.oneof(
          fc.float(),
          fc.constantFrom(0, -0, 1, -1, 65_519, 65_520, 1e-8, Number.NaN, Number.POSITIVE_INFINITY),
        );
        await fc.assert(
          fc.asyncProperty(
            fc.array(value, { minLength: 1, maxLength: 40 }),
            fc.array(fc.nat(39), { maxLength: 2 }),
            async (numbers, spoilt) => {
              const store = (dtype: Float, values: readonly number[]): Uint8Array => {
                const f32 = new Uint32Array(Float32Array.from(values).buffer);
                return dtype === "F64"
                  ? new Uint8Array(Float64Array.from(values).buffer)
                  : dtype === "F32"
                    ? new Uint8Array(f32.buffer)
                    : new Uint8Array(Uint16Array.from(f32, (bits) => narrowBits(dtype, bits)).buffer);
              };
              const others = numbers.map((number, i) => (spoilt.includes(i) ? number + 1 : number));
              const left = [leftDtype, store(leftDtype, numbers)] as const;
              const right = [rightDtype, store(rightDtype, others)] as const;
              const shape = [numbers.length];
              await writeFiles(folder, {
                "a.safetensors": safetensors(["t", leftDtype, shape, left[1]]),
                "b.safetensors": safetensors(["t", rightDtype, shape, right[1]]),
              });
              const { tensors } = await compareCheckpoints(
                await openCheckpoint(`${folder}/a.safetensors`),
                await openCheckpoint(`${folder}/b.safetensors`),
                {},
              );
              const expected = compared(left, right);
              const verdict = expected.different === 0 ? "identical" : expected.rounded ? "rounded" : "different";
              assert.deepEqual(tensors, [
                {
                  name: "t",
                  verdict,
                  reason: null,
                  different: expected.different,
                  elements: numbers.length,
                  maxDifference: expected.most,
                },
              ]);
            },
          ),
          { numRuns: 25 },
        );
      });
    });
  }
}

test("counts across blocks and windows", async () => {
  await withFolder(async (folder) => {
    const count = 300_000;
    const left = new Float32Array(count);
    const right = left.slice();
    right[0] = 1;
    right[65_536] = -2;
    right[count - 1] = 3;
    await writeFiles(folder, {
      "a.safetensors": safetensors(["t", "F32", [count], left], ["i", "I64", [2], BigInt64Array.of(1n, 2n)]),
      "b.safetensors": safetensors(["t", "F32", [count], right], ["i", "I64", [2], BigInt64Array.of(1n, 3n)]),
    });
    const open = (name: string) => openCheckpoint(`${folder}/${name}.safetensors`);
    for (const windowBytes of [65_536, 1 << 22]) {
      const { tensors } = await compareCheckpoints(await open("a"), await open("b"), { windowBytes });
      const found = new Map(tensors.map((tensor) => [tensor.name, [tensor.different, tensor.maxDifference]]));
      assert.deepEqual(found.get("t"), [3, 3]);
      assert.deepEqual(found.get("i"), [1, null]);
    }
  });
});
