/** The SIMD kernel gives the bits of the scalar one, whatever the bits, positions, lengths and pushes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import "../support/seed.js";
import type { FloatDtype } from "../../src/formats/dtype.js";
import { ELEMENT_BYTES } from "../../src/kernel/bits.js";
import type { Kernel } from "../../src/kernel/kernel.js";
import { bothKernels, hashed, peek, poke } from "../support/kernels.js";

const BYTES = 2 ** 20;
const [simd, scalar] = bothKernels(BYTES);
/** The limit is for a failure only: to shrink a tensor of thousands can take minutes. */
const RUNS = { numRuns: 300, interruptAfterTimeLimit: 20_000 } as const;
const FLOATS = ["F16", "BF16", "F32", "F64"] as const;
const NARROW = ["F16", "BF16"] as const;
/** The bits of 1, and the lowest bit of the exponent. */
const ONE = { F16: 0x3c00n, BF16: 0x3f80n, F32: 0x3f800000n, F64: 0x3ff0000000000000n } as const;
const UNIT = { F16: 1n << 10n, BF16: 1n << 7n, F32: 1n << 23n, F64: 1n << 52n } as const;

/** Bit patterns of a dtype: anything, and the neighbours of the special ones. */
function patterns(dtype: FloatDtype): fc.Arbitrary<bigint> {
  const [bits, unit] = [8 * ELEMENT_BYTES[dtype], UNIT[dtype]];
  const infinity = 2n ** BigInt(bits - 1) - unit;
  const quiet = infinity + unit / 2n;
  // Of F32 also where F16 overflows, turns subnormal, vanishes, and where BF16 overflows.
  const narrow = dtype === "F32" ? [0x477ff000n, 0x38800000n, 0x33000000n, 0x7f7f8000n] : [];
  const special = fc.constantFrom(0n, unit, infinity, quiet, infinity + unit - 1n, ...narrow);
  const near = fc.tuple(special, fc.constantFrom(-1n, 0n, 1n), fc.constantFrom(0n, 1n));
  return fc.oneof(
    fc.bigInt(0n, 2n ** BigInt(bits) - 1n),
    near.map(([value, step, sign]) => BigInt.asUintN(bits, value + step + (sign << BigInt(bits - 1)))),
  );
}

/** Magnitudes from 2^-7 to 1, either sign: what weights are, and what the fast paths are for. */
function weights(dtype: FloatDtype): fc.Arbitrary<bigint> {
  return fc
    .tuple(fc.bigInt(0n, 7n * UNIT[dtype]), fc.constantFrom(0n, 1n))
    .map(([below, sign]) => (ONE[dtype] - below) | (sign << BigInt(8 * ELEMENT_BYTES[dtype] - 1)));
}

/** A tensor of up to `most` elements: weights only, weights with some others among them, or anything. */
function tensor(dtype: FloatDtype, most = 150): fc.Arbitrary<Uint8Array> {
  const some = fc.oneof({ weight: 40, arbitrary: weights(dtype) }, { weight: 1, arbitrary: patterns(dtype) });
  const elements = [weights(dtype), some, patterns(dtype)].map((element) =>
    fc.array(element, { maxLength: most, size: "max" }),
  );
  return fc.oneof(...elements).map((values) => {
    const size = ELEMENT_BYTES[dtype];
    return Uint8Array.from({ length: values.length * size }, (_, i) =>
      Number(((values[Math.floor(i / size)] ?? 0n) >> BigInt(8 * (i % size))) & 255n),
    );
  });
}

/** Offsets within 16 bytes. */
const offset = fc.nat(15);

/** Runs one step on both kernels and compares its result and all bytes of the target. */
function same(
  source: Uint8Array,
  target: Uint8Array,
  [sourceOffset, targetOffset]: readonly [number, number],
  run: (kernel: Kernel, source: number, target: number) => unknown,
): void {
  const [fromSimd, fromScalar] = [simd, scalar].map((kernel) => {
    const from = kernel.base + 16 + sourceOffset;
    const to = kernel.base + BYTES / 2 + targetOffset;
    poke(kernel, from, source);
    poke(kernel, to, target);
    const result = run(kernel, from, to);
    return { result, bytes: Buffer.from(peek(kernel, to, target.length)).toString("hex") };
  });
  assert.deepEqual(fromSimd, fromScalar);
}

/** `values` of both tensors cut to the same number of elements. */
function cut(source: Uint8Array, sourceBytes: number, target: Uint8Array, targetBytes: number): number {
  return Math.min(source.length / sourceBytes, target.length / targetBytes);
}

const offsets = fc.tuple(offset, offset);

for (const dtype of FLOATS) {
  const size = ELEMENT_BYTES[dtype];

  test(`widens ${dtype} as scalar`, () => {
    fc.assert(
      fc.property(tensor(dtype), offsets, (source, at) => {
        const count = source.length / size;
        same(source, new Uint8Array(4 * count), at, (kernel, from, to) => kernel.widen(dtype, from, to, count));
      }),
      RUNS,
    );
  });

  for (const method of ["add", "subtract", "addNegated"] as const) {
    test(`${method} of ${dtype} as scalar`, () => {
      fc.assert(
        fc.property(tensor(dtype), tensor("F32"), offsets, (source, target, at) => {
          const count = cut(source, size, target, 4);
          same(source, target, at, (kernel, from, to) => kernel[method](dtype, from, to, count));
        }),
        RUNS,
      );
    });
  }
}

for (const dtype of NARROW) {
  test(`narrows to ${dtype} as scalar, overflows counted, also in place`, () => {
    fc.assert(
      fc.property(tensor("F32"), offsets, fc.boolean(), (source, at, inPlace) => {
        const count = source.length / 4;
        if (inPlace) {
          same(source, source, at, (kernel, _, to) => kernel.narrow(dtype, to, to, count));
        } else {
          same(source, new Uint8Array(2 * count), at, (kernel, from, to) => kernel.narrow(dtype, from, to, count));
        }
      }),
      RUNS,
    );
  });

  for (const method of ["addNarrow", "subtractNarrow"] as const) {
    test(`${method} of ${dtype} as scalar`, () => {
      fc.assert(
        fc.property(tensor(dtype), tensor(dtype), offsets, (source, target, at) => {
          const count = cut(source, 2, target, 2);
          same(source, target, at, (kernel, from, to) => kernel[method](dtype, from, to, count));
        }),
        RUNS,
      );
    });
  }
}

for (const width of [1, 2, 4, 8]) {
  for (const method of ["addIntegers", "subtractIntegers"] as const) {
    test(`${method} of ${width} bytes as scalar`, () => {
      const numbers = fc.uint8Array({ maxLength: 600, size: "max" });
      fc.assert(
        fc.property(numbers, numbers, offsets, (source, target, at) => {
          const count = Math.floor(cut(source, width, target, width));
          same(source, target, at, (kernel, from, to) => kernel[method](width, from, to, count));
        }),
        RUNS,
      );
    });
  }
}

test("transposes as scalar, whatever the edges and the order of the rows", () => {
  const size = fc.nat(40);
  fc.assert(
    fc.property(size, size, fc.nat(9), fc.nat(5), offsets, fc.nat(2 ** 31), (rows, columns, gap, shift, at, seed) => {
      const pitch = rows + gap;
      const source = new Uint8Array(hashed(seed, Math.ceil((columns * pitch) / 2)).buffer);
      const order = Array.from({ length: rows }, (_, row) => row).sort((a, b) => ((a * 7 + seed) % 5) - ((b * 3) % 5));
      const row = 2 * (shift + columns);
      const target = new Uint8Array(rows * row).fill(0xee);
      same(source, target, at, (kernel, from, to) => {
        const places = kernel.base + BYTES / 4;
        poke(
          kernel,
          places,
          Uint32Array.from(order, (k) => to + k * row),
        );
        kernel.transpose(from, pitch, rows, columns, places, shift);
        const found = new Uint16Array(peek(kernel, to, target.length).buffer);
        const values = new Uint16Array(source.buffer);
        order.forEach((k, from) => {
          for (let column = 0; column < columns; column++) {
            assert.equal(found[(k * row) / 2 + shift + column], values[column * pitch + from]);
          }
        });
      });
    }),
    RUNS,
  );
});

test("counts differing words as scalar", () => {
  const changes = fc.array(fc.tuple(fc.nat(149), fc.nat(31)), { maxLength: 20 });
  fc.assert(
    fc.property(tensor("F32"), offsets, changes, (source, at, bits) => {
      const count = source.length / 4;
      const target = source.slice();
      for (const [word, bit] of bits.filter(([word]) => word < count)) {
        target[4 * word + (bit >> 3)] = (target[4 * word + (bit >> 3)] ?? 0) ^ (1 << (bit & 7));
      }
      same(source, target, at, (kernel, from, to) => kernel.countDifferent(from, to, count));
    }),
    RUNS,
  );
});

/** Lengths of pushes, the last taking what is left. */
function cutAt(total: number, parts: readonly number[]): readonly number[] {
  const pushes: number[] = [];
  let left = total;
  for (const part of parts) {
    pushes.push(Math.min(part, left));
    left -= Math.min(part, left);
  }
  return [...pushes, left];
}

const state = (kernel: Kernel): number => kernel.base + BYTES / 4;

test("sums as scalar, however the rows of 32 are pushed", () => {
  fc.assert(
    fc.property(tensor("F32", 1500), offset, fc.array(fc.nat(12)), (source, at, parts) => {
      const total = source.length / 4;
      same(source, new Uint8Array(4), [at, 0], (kernel, from) => {
        kernel.sumBegin(state(kernel) + at, total);
        let done = 0;
        for (const count of cutAt(
          total,
          parts.map((rows) => 32 * rows),
        )) {
          kernel.sumPush(state(kernel) + at, from + 4 * done, count);
          done += count;
        }
        return kernel.sumEnd(state(kernel) + at);
      });
    }),
    RUNS,
  );
});

for (const dtype of NARROW) {
  for (const [method, plain] of [
    ["addNarrowSummed", "addNarrow"],
    ["subtractNarrowSummed", "subtractNarrow"],
  ] as const) {
    test(`${method} of ${dtype} is ${plain} and the sum of what it leaves, in both kernels, in pushes of whole rows`, () => {
      const sides = tensor(dtype, 1500);
      fc.assert(
        fc.property(sides, sides, offsets, fc.array(fc.nat(12)), (source, target, at, parts) => {
          const total = cut(source, 2, target, 2);
          const pushes = cutAt(
            total,
            parts.map((rows) => 32 * rows),
          );
          same(source, target, at, (kernel, from, to) => {
            const pass = (sum: number, step: (done: number, count: number) => number): readonly number[] => {
              poke(kernel, to, target);
              kernel.sumBegin(sum, total);
              let [done, overflows] = [0, 0];
              for (const count of pushes) {
                overflows += step(done, count);
                done += count;
              }
              return [overflows, kernel.sumEnd(sum), ...peek(kernel, to, target.length)];
            };
            const sum = state(kernel);
            const apart = pass(sum, (done, count) => {
              const overflows = kernel[plain](dtype, from + 2 * done, to + 2 * done, count);
              kernel.widen(dtype, to + 2 * done, sum + 4096, count);
              kernel.sumPush(sum, sum + 4096, count);
              return overflows;
            });
            const together = pass(sum, (done, count) =>
              kernel[method](dtype, from + 2 * done, to + 2 * done, count, sum),
            );
            assert.deepEqual(together, apart);
            return together[0];
          });
        }),
        RUNS,
      );
    });
  }
}

for (const dtype of FLOATS) {
  const size = ELEMENT_BYTES[dtype];
  test(`addSummed of ${dtype} is add and the sum of what it leaves, in both kernels, in pushes of whole rows, also in place`, () => {
    fc.assert(
      fc.property(
        tensor(dtype, 1500),
        tensor("F32", 1500),
        offsets,
        fc.array(fc.nat(12)),
        fc.boolean(),
        (source, self, at, parts, inPlace) => {
          const total = cut(source, size, self, 4);
          const pushes = cutAt(
            total,
            parts.map((rows) => 32 * rows),
          );
          same(source, self, at, (kernel, from, to) => {
            const sum = state(kernel);
            const other = inPlace ? to : sum + 16_384 + at[0];
            const pass = (step: (done: number, count: number) => void): readonly number[] => {
              poke(kernel, to, self);
              poke(kernel, other, self);
              kernel.sumBegin(sum, total);
              let done = 0;
              for (const count of pushes) {
                step(done, count);
                done += count;
              }
              return [kernel.sumEnd(sum), ...peek(kernel, to, self.length)];
            };
            const apart = pass((done, count) => {
              kernel.add(dtype, from + size * done, to + 4 * done, count);
              kernel.sumPush(sum, to + 4 * done, count);
            });
            const together = pass((done, count) => {
              kernel.addSummed(dtype, from + size * done, other + 4 * done, to + 4 * done, count, sum);
            });
            assert.deepEqual(together, apart);
            return together[0];
          });
        },
      ),
      RUNS,
    );
  });
}

test("averages as scalar, NaN payloads included, however the elements are pushed", () => {
  const columns = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(31, 32, 33, 40, 64, 66, 100));
  fc.assert(
    fc.property(tensor("F32", 2500), columns, offsets, fc.array(fc.nat(300)), (numbers, width, at, parts) => {
      const rows = Math.max(1, Math.floor(numbers.length / 4 / width));
      const source = new Uint8Array(4 * rows * width);
      source.set(numbers.subarray(0, source.length));
      same(source, new Uint8Array(4 * width), at, (kernel, from, to) => {
        kernel.meanBegin(state(kernel) + at[0], rows, width);
        let done = 0;
        for (const count of cutAt(rows * width, parts)) {
          kernel.meanPush(state(kernel) + at[0], from + 4 * done, count);
          done += count;
        }
        kernel.meanEnd(state(kernel) + at[0], to);
      });
    }),
    RUNS,
  );
});

for (const dtype of FLOATS) {
  test(`counts the NaN, infinities and zeros of ${dtype} as scalar`, () => {
    fc.assert(
      fc.property(tensor(dtype), offsets, (source, at) => {
        const count = source.length / ELEMENT_BYTES[dtype];
        same(source, new Uint8Array(12), at, (kernel, from, to) => kernel.countSpecial(dtype, from, to, count));
      }),
      RUNS,
    );
  });

  test(`counts every element of a long ${dtype} tensor`, () => {
    const size = ELEMENT_BYTES[dtype];
    // More vectors than one round of narrow counters takes.
    const count = Math.floor((BYTES / 2 - 64) / size);
    for (const [bits, place] of [
      [0n, 2],
      [2n ** BigInt(8 * size - 1), 2],
      [2n ** BigInt(8 * size - 1) - UNIT[dtype], 1],
      [2n ** BigInt(8 * size - 1) - 1n, 0],
    ] as const) {
      const source = new Uint8Array(count * size);
      const view = new DataView(source.buffer);
      for (let i = 0; i < source.length; i += size) {
        size === 8
          ? view.setBigUint64(i, bits, true)
          : size === 4
            ? view.setUint32(i, Number(bits), true)
            : view.setUint16(i, Number(bits), true);
      }
      poke(simd, simd.base + 16, source);
      simd.countSpecial(dtype, simd.base + 16, simd.base + BYTES / 2 + 64, count);
      const found = new Uint32Array(peek(simd, simd.base + BYTES / 2 + 64, 12).buffer);
      assert.deepEqual(
        [...found],
        [0, 1, 2].map((index) => (index === place ? count : 0)),
      );
    }
  });
}
