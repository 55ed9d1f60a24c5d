/** The rules of single elements against definitions written another way; the kernels are held against these rules elsewhere. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addBits,
  divideBits,
  fromBits,
  narrowBits,
  overflows,
  toBits,
  widenBF16,
  widenF16,
  widenF64,
} from "../../../src/kernel/bits.js";

const hex = (bits: number): string => bits.toString(16);

/** The value of a half by the definition of IEEE 754, from its binary digits. */
function valueOfHalf(half: number): number {
  const digits = half.toString(2).padStart(16, "0");
  const exponent = Number.parseInt(digits.slice(1, 6), 2);
  const fraction = Number.parseInt(digits.slice(6), 2) / 1024;
  const magnitude = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
  return digits[0] === "1" ? -magnitude : magnitude;
}

const EVERY_HALF = Array.from({ length: 65536 }, (_, half) => half);
const isSpecial = (half: number): boolean => (half & 0x7c00) === 0x7c00;

test("widens every finite F16 to its value, zeros with their sign", () => {
  for (const half of EVERY_HALF.filter((half) => !isSpecial(half))) {
    assert.ok(Object.is(fromBits(widenF16(half)), valueOfHalf(half)), hex(half));
  }
});

test("widens infinite F16, and quiets NaN without losing sign and payload", () => {
  const expected = { 31744: 0x7f800000, 64512: 0xff800000, 31745: 0x7fc02000, 32256: 0x7fc00000, 65535: 0xffffe000 };
  for (const [half, bits] of Object.entries(expected)) {
    assert.equal(hex(widenF16(Number(half))), hex(bits));
  }
});

test("widens every BF16 to its value and leaves signalling NaN as they are", () => {
  for (const half of EVERY_HALF) {
    const bits = widenBF16(half);
    assert.equal(bits, half * 65536);
  }
  assert.equal(fromBits(widenBF16(0x3fc0)), 1.5);
  assert.equal(hex(widenBF16(0xff81)), "ff810000");
});

test("rounds F64 to the nearest F32 and cuts the payload of NaN", () => {
  const wide = new DataView(new ArrayBuffer(8));
  for (const value of [0, -0, 0.1, -1 / 3, 1e-45, 7e-46, 1e39, -1e300, 3.4028235677973366e38, 5e-324, Infinity]) {
    wide.setFloat64(0, value);
    assert.ok(Object.is(fromBits(widenF64(wide.getUint32(0), wide.getUint32(4))), Math.fround(value)), String(value));
  }
  assert.equal(hex(widenF64(0x7ff00000, 1)), "7fc00000");
  assert.equal(hex(widenF64(0xfff41234, 0xe0000000)), "ffe091a7");
});

test("narrows to every F16 from itself, and to the even neighbour from the midpoint and its neighbours", () => {
  for (const half of EVERY_HALF.filter((half) => !isSpecial(half))) {
    assert.equal(narrowBits("F16", widenF16(half)), half, hex(half));
    const above = half + 1;
    // 65504's upper neighbour would be 65536: the midpoint, 65520, is the first to become infinite.
    const next = isSpecial(above) ? (half & 0x8000 ? -65536 : 65536) : valueOfHalf(above);
    const midpoint = toBits((valueOfHalf(half) + next) / 2);
    assert.equal(narrowBits("F16", midpoint), half % 2 === 0 ? half : above, `midpoint above ${hex(half)}`);
    assert.equal(narrowBits("F16", midpoint - 1), half, `just below the midpoint above ${hex(half)}`);
    assert.equal(narrowBits("F16", midpoint + 1), above, `just above the midpoint above ${hex(half)}`);
  }
});

test("narrows to every BF16 from itself, and to the even neighbour from the midpoint and its neighbours", () => {
  for (const half of EVERY_HALF.filter((half) => (half & 0x7f80) !== 0x7f80)) {
    const midpoint = half * 65536 + 0x8000;
    assert.equal(narrowBits("BF16", half * 65536), half, hex(half));
    assert.equal(narrowBits("BF16", midpoint), half % 2 === 0 ? half : half + 1, `midpoint above ${hex(half)}`);
    assert.equal(narrowBits("BF16", midpoint - 1), half, hex(half));
    assert.equal(narrowBits("BF16", midpoint + 1), half + 1, hex(half));
  }
});

test("narrows NaN as AVX2 and AVX-512 builds of torch", () => {
  assert.equal(hex(narrowBits("F16", 0x7fa00001)), "7f00");
  assert.equal(hex(narrowBits("F16", 0xff800001)), "fe00");
  assert.equal(hex(narrowBits("BF16", 0xff800001)), "ffff");
  assert.equal(hex(narrowBits("BF16", 0x7fc00000)), "ffff");
});

test("counts a finite value that becomes infinite as an overflow", () => {
  assert.equal(overflows("F16", toBits(65519.996)), false);
  assert.equal(overflows("F16", toBits(65520)), true);
  assert.equal(overflows("F16", toBits(-1e38)), true);
  assert.equal(overflows("BF16", toBits(1e38)), false);
  assert.equal(overflows("BF16", 0xff7f8000), true);
  for (const bits of [0x7f800000, 0xff800000, 0x7fc00000]) {
    assert.equal(overflows("F16", bits) || overflows("BF16", bits), false, hex(bits));
  }
});

test("adds as x86: the first NaN stays, quieted; inf - inf is the negative default NaN", () => {
  assert.equal(hex(addBits(0x7fa00001, 0xff900002)), "7fe00001");
  assert.equal(hex(addBits(0x3f800000, 0xff900002)), "ffd00002");
  assert.equal(hex(addBits(0x7f800000, 0xff800000)), "ffc00000");
  assert.equal(hex(addBits(0x80000000, 0x80000000)), "80000000");
  assert.equal(hex(addBits(0x80000000, 0)), "0");
  assert.equal(hex(addBits(1, 1)), "2");
});

test("divides by the count as an F32, keeping the sign of a vanishing mean", () => {
  assert.equal(divideBits(toBits(1), 2 ** 24 + 1), toBits(2 ** -24));
  assert.equal(hex(divideBits(0x80000001, 3)), "80000000");
  assert.equal(hex(divideBits(0xffd00002, 3)), "ffd00002");
});
