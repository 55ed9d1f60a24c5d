/** What both kernels promise beyond torch's bits: memory that is not touched, misuse that is refused, pushes of any size. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bothKernels, hashed, meanRow, peek, places, poke, spread, sum } from "../../support/kernels.js";

const BYTES = 2 ** 20;

for (const kernel of bothKernels(BYTES)) {
  const { base, kind } = kernel;

  test(`${kind}: writes nothing before, after, or below the target`, () => {
    const all = new Uint8Array(kernel.memory).fill(0xa5);
    for (const count of [0, 1, 7, 16, 33]) {
      kernel.widen("F16", base, base + 1000, count);
      kernel.add("BF16", base, base + 2000, count);
      kernel.narrow("BF16", base, base + 3001, count);
      kernel.addNarrow("F16", base, base + 4001, count);
      kernel.addIntegers(8, base, base + 5001, count);
      kernel.subtractIntegers(2, base, base + 6001, count);
      kernel.countDifferent(base, base + 7001, count);
      kernel.xor(base, base + 8001, count);
    }
    const written = [
      [1000, 33 * 4],
      [2000, 33 * 4],
      [3001, 33 * 2],
      [4001, 33 * 2],
      [5001, 33 * 8],
      [6001, 33 * 2],
      [8001, 33],
    ] as const;
    for (const [at, bytes] of written) {
      all.fill(0xa5, base + at, base + at + bytes);
    }
    assert.ok(all.every((byte) => byte === 0xa5));
  });

  test(`${kind}: keeps its states inside sumBytes and meanBytes`, () => {
    const all = new Uint8Array(kernel.memory);
    for (const columns of [1, 2, 7, 8, 40, 100]) {
      const [sumState, meanState, data] = [base + 1024, base + 8192, base + 65536];
      all.fill(0x5a);
      kernel.sumBegin(sumState, 999);
      kernel.sumPush(sumState, data, 999);
      kernel.meanBegin(meanState, 9, columns);
      kernel.meanPush(meanState, data, 9 * columns);
      kernel.sumEnd(sumState);
      kernel.meanEnd(meanState, data);
      all.fill(0x5a, sumState, sumState + kernel.sumBytes);
      all.fill(0x5a, meanState, meanState + kernel.meanBytes(columns));
      all.fill(0x5a, data, data + 4 * columns);
      assert.ok(
        all.every((byte) => byte === 0x5a),
        `${columns} columns`,
      );
    }
  });

  test(`${kind}: narrows and widens F32 in place`, () => {
    const numbers = spread(1, 1000, 90, 60);
    poke(kernel, base, numbers);
    kernel.narrow("BF16", base, base + 8192, 1000);
    const apart = peek(kernel, base + 8192, 2000);
    kernel.widen("F32", base, base, 1000);
    kernel.narrow("BF16", base, base, 1000);
    assert.deepEqual(peek(kernel, base, 2000), apart);
  });

  test(`${kind}: sums nothing to 0, and negative zeros to 0`, () => {
    assert.deepEqual([...sum(kernel, 0, () => new Uint32Array())], [0, 0, 0, 0]);
    for (const total of [1, 7, 8, 100]) {
      const found = sum(kernel, total, (_, count) => new Uint32Array(count).fill(0x80000000));
      assert.deepEqual([...found], [0, 0, 0, 0], `${total}`);
    }
  });

  test(`${kind}: sums and averages two tensors side by side`, () => {
    const [first, second] = [base, base + kernel.sumBytes];
    const data = base + 65536;
    kernel.sumBegin(first, 64);
    kernel.sumBegin(second, 40);
    poke(kernel, data, new Float32Array(64).fill(0.5));
    kernel.sumPush(first, data, 32);
    kernel.sumPush(second, data, 32);
    kernel.sumPush(first, data, 32);
    kernel.sumPush(second, data, 8);
    assert.deepEqual([kernel.sumEnd(first), kernel.sumEnd(second)], [32, 20]);
  });

  test(`${kind}: gives the same mean whatever the pushes`, () => {
    for (const columns of [1, 3, 5, 8, 40, 64]) {
      const whole = meanRow(kernel, 37, columns, (first, count) => spread(3, count, 100, 40, first));
      for (const push of [1, 7, 32, columns + 1, 4 * columns]) {
        const parts = meanRow(kernel, 37, columns, (first, count) => spread(3, count, 100, 40, first), push);
        assert.deepEqual(parts, whole, `${columns} columns, pushes of ${push}`);
      }
    }
  });

  test(`${kind}: refuses positions outside its memory, and invalid sizes`, () => {
    const end = kernel.memory.byteLength;
    const [state, , data] = places(kernel, 8);
    /** The places of a row that begins there. */
    const outside = (at: number): number => {
      poke(kernel, base + 4096, Uint32Array.of(at));
      return base + 4096;
    };
    const misuses: readonly (() => unknown)[] = [
      () => kernel.widen("F16", base, end - 7, 2),
      () => kernel.widen("F64", end - 8, base, 2),
      () => kernel.add("F16", end - 2, base, 2),
      () => kernel.add("F32", base - 4, base, 1),
      () => kernel.subtract("F32", 0.5 + base, base, 1),
      () => kernel.narrow("F16", base, Number.NaN, 1),
      () => kernel.addNarrow("BF16", base, end, 1),
      () => kernel.subtractNarrow("BF16", base, base, -1),
      () => kernel.addIntegers(4, end - 7, base, 2),
      () => kernel.addIntegers(3, base, base + 64, 1),
      () => kernel.addIntegers(0, base, base + 64, 1),
      () => kernel.transpose(end - 7, 2, 2, 2, base, 0),
      () => kernel.transpose(base, 1, 2, 2, base, 0),
      () => kernel.transpose(base, 2, -1, 2, base, 0),
      () => kernel.transpose(base, 2, 2, 2, end - 4, 0),
      () => kernel.transpose(base, 2, 2, 2, base + 2, 0),
      () => kernel.transpose(base, 2, 1, 2, outside(end - 4), 1),
      () => kernel.transpose(base, 2, 1, 2, outside(base - 4), 0),
      () => kernel.xor(base, end - 4, 5),
      () => kernel.xor(base - 1, base, 1),
      () => kernel.subtractIntegers(8, base, end - 15, 2),
      () => kernel.subtractIntegers(16, base, base + 64, 1),
      () => kernel.subtractIntegers(1, base, base + 64, -1),
      () => kernel.countDifferent(base, end - 4, 2),
      () => kernel.countDifferent(base - 4, base, 1),
      () => kernel.sumBegin(end, 8),
      () => kernel.sumBegin(state, -1),
      () => kernel.sumPush(state, end, 1),
      () => kernel.meanBegin(state, 0, 8),
      () => kernel.meanBegin(state, 8, 0.5),
      () => kernel.meanPush(state, data, 2 ** 32),
    ];
    misuses.forEach((misuse, i) => {
      assert.throws(misuse, RangeError, `misuse ${i}`);
    });
    kernel.meanBegin(state, 1, 8);
    kernel.meanPush(state, data, 8);
    assert.throws(() => kernel.meanEnd(state, end - 28), RangeError);
  });

  for (const width of [1, 2, 4, 8]) {
    test(`${kind}: adds and subtracts integers of ${width} bytes modulo 2^${8 * width}, at any place and count`, () => {
      const bits = 8 * width;
      for (let count = 0; count <= 70; count++) {
        const [self, other] = [bytesOf(count, count * width), bytesOf(count + 1000, count * width)];
        // Carries run through: all ones, the sign bit alone, zero.
        self.fill(0xff, 0, Math.min(2 * width, self.length));
        other.fill(0, 0, Math.min(width, other.length));
        const [from, to] = [base + 100 + (count % 17), base + 5000 + ((count * 7) % 19)];
        for (const [method, sign] of [
          ["addIntegers", 1n],
          ["subtractIntegers", -1n],
        ] as const) {
          poke(kernel, from, other);
          poke(kernel, to, self);
          kernel[method](width, from, to, count);
          const expected = integers(self, width).map((value, i) =>
            BigInt.asUintN(bits, value + sign * (integers(other, width)[i] ?? 0n)),
          );
          assert.deepEqual(integers(peek(kernel, to, count * width), width), expected, `${method} of ${count}`);
          assert.deepEqual(peek(kernel, from, count * width), other, "the source stays");
        }
      }
    });
  }

  test(`${kind}: XORs bytes at any place and count, and the source stays`, () => {
    for (let count = 0; count <= 70; count++) {
      const [self, other] = [bytesOf(count, count), bytesOf(count + 1000, count)];
      const [from, to] = [base + 100 + (count % 17), base + 5000 + ((count * 7) % 19)];
      poke(kernel, from, other);
      poke(kernel, to, self);
      kernel.xor(from, to, count);
      assert.deepEqual(
        peek(kernel, to, count),
        self.map((byte, i) => byte ^ (other[i] ?? 0)),
      );
      assert.deepEqual(peek(kernel, from, count), other);
    }
  });

  test(`${kind}: counts words that differ by their bits, at any place and count`, () => {
    for (let count = 0; count <= 70; count++) {
      const [first, second] = [base + 4 + (count % 13), base + 4000 + (count % 11)];
      const words = spread(count, count, 90, 60);
      for (const step of [1, 2, 3, 5, 100]) {
        const other = words.map((word, i) => (i % step === 0 ? word ^ (1 << (i % 32)) : word));
        poke(kernel, first, words);
        poke(kernel, second, other);
        assert.equal(kernel.countDifferent(first, second, count), Math.ceil(count / step), `${count} by ${step}`);
      }
    }
  });

  test(`${kind}: a NaN equals itself and no other NaN, and -0 is not 0`, () => {
    const first = Uint32Array.of(0x7fc00000, 0x7fc00000, 0x7f800001, 0xffc00000, 0, 0x80000000, 0x80000000);
    const second = Uint32Array.of(0x7fc00000, 0x7fc00001, 0x7fc00001, 0x7fc00000, 0x80000000, 0, 0x80000000);
    poke(kernel, base, first);
    poke(kernel, base + 64, second);
    assert.equal(kernel.countDifferent(base, base + 64, 7), 5);
  });
}

function bytesOf(seed: number, count: number): Uint8Array {
  return new Uint8Array(hashed(seed, Math.ceil(count / 4)).buffer, 0, count);
}

/** Little-endian and unsigned. */
function integers(bytes: Uint8Array, width: number): readonly bigint[] {
  return Array.from({ length: bytes.length / width }, (_, i) =>
    bytes.subarray(i * width, (i + 1) * width).reduceRight((value, byte) => value * 256n + BigInt(byte), 0n),
  );
}
