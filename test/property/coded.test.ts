/** Coded windows: both kernels give the same bytes, what is coded comes back, and no bytes do anything else than come back or be refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import "../support/seed.js";
import { WeightDiffError } from "../../src/errors.js";
import { unitOf } from "../../src/formats/coded/units.js";
import { MODE } from "../../src/formats/coded/window.js";
import { DTYPES } from "../../src/formats/dtype.js";
import { decoded, encoded, type WindowBench, windowBenches } from "../support/coded.js";
import { hashed, sha256 } from "../support/kernels.js";

const [simd, scalar] = windowBenches();
const RUNS = { numRuns: 150, interruptAfterTimeLimit: 30_000 } as const;

/** How a tuned tensor differs from its base. */
const CHANGES = ["none", "few", "near", "other", "constant"] as const;

interface Pair {
  readonly dtype: (typeof DTYPES)[number];
  readonly base: Uint8Array;
  readonly tuned: Uint8Array;
}

const pairs = fc
  .record({
    dtype: fc.constantFrom(...DTYPES),
    units: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 6000 })),
    seed: fc.nat(),
    change: fc.constantFrom(...CHANGES),
    spread: fc.integer({ min: 0, max: 31 }),
  })
  .map(({ dtype, units, seed, change, spread }): Pair => {
    const { width } = unitOf(dtype);
    const noise = hashed(seed, units);
    const more = hashed(seed + 1, units);
    const mask = 2 ** (8 * width) - 1;
    // Few exponents, as weights have them, or any bits at all.
    const base = noise.map((bits) => (seed % 3 === 0 ? bits : bits & 0x8fff8fff) & mask);
    const step = (i: number): number => ((more[i] ?? 0) >>> spread) * ((more[i] ?? 0) & 1 ? 1 : -1);
    const tuned = base.map((bits, i) => {
      switch (change) {
        case "none":
          return bits;
        case "few":
          return (more[i] ?? 0) % 50 === 0 ? bits ^ 1 : bits;
        case "near":
          return (bits + step(i)) & mask;
        case "other":
          return (more[i] ?? 0) & mask;
        default:
          return seed & mask;
      }
    });
    return { dtype, base: bytesOf(base, width), tuned: bytesOf(tuned, width) };
  });

function bytesOf(units: Uint32Array, width: number): Uint8Array {
  return Uint8Array.from(
    { length: units.length * width },
    (_, i) => (units[Math.floor(i / width)] ?? 0) >>> (8 * (i % width)),
  );
}

test("both kernels code units alike, and get them back", () => {
  fc.assert(
    fc.property(pairs, fc.constantFrom(8, 64, 1024, 65_536), ({ dtype, base, tuned }, piece) => {
      const unit = unitOf(dtype);
      const window = encoded(simd, unit, base, tuned);
      assert.ok(window.length <= tuned.length + 1);
      assert.deepEqual(encoded(scalar, unit, base, tuned), window);
      for (const bench of [simd, scalar]) {
        assert.deepEqual(decoded(bench, unit, base, window, piece), tuned);
      }
    }),
    RUNS,
  );
});

test("a changed window is refused or gives other units, on both kernels alike", () => {
  const outcome = (bench: WindowBench, pair: Pair, window: Uint8Array): string => {
    try {
      return Buffer.from(decoded(bench, unitOf(pair.dtype), pair.base, window)).toString("hex");
    } catch (error) {
      assert.ok(error instanceof WeightDiffError && error.code === "FORMAT_INVALID", String(error));
      return "refused";
    }
  };
  const change = fc.record({ at: fc.nat(), to: fc.nat(255), cut: fc.nat(40), more: fc.uint8Array({ maxLength: 40 }) });
  fc.assert(
    fc.property(pairs, change, ({ dtype, base, tuned }, { at, to, cut, more }) => {
      const window = encoded(simd, unitOf(dtype), base, tuned);
      const shorter = window.slice(0, Math.max(1, window.length - (at % 3 === 0 ? cut : 0)));
      shorter[at % shorter.length] = to;
      const hostile = at % 5 === 0 ? Uint8Array.from([...shorter, ...more]) : shorter;
      const pair = { dtype, base, tuned };
      assert.equal(outcome(simd, pair, hostile), outcome(scalar, pair, hostile));
    }),
    { ...RUNS, numRuns: 400 },
  );
});

test("a whole window of each mode comes back", () => {
  const units = 1 << 19;
  const unit = unitOf("BF16");
  const base = bytesOf(
    hashed(1, units).map((bits) => bits & 0xbfff),
    2,
  );
  const noise = hashed(2, units);
  const near = bytesOf(
    hashed(1, units).map((bits, i) => ((bits & 0xbfff) + ((noise[i] ?? 0) & 31)) & 0xffff),
    2,
  );
  const weights = bytesOf(
    noise.map((bits) => (bits & 0x807f) | (0x3c00 + (bits & 0x300))),
    2,
  );
  const any = bytesOf(noise, 2);
  for (const [mode, tuned] of [
    [MODE.base, base],
    [MODE.given, near],
    [MODE.alone, weights],
    [MODE.stored, any],
  ] as const) {
    const window = encoded(simd, unit, base, tuned);
    assert.equal(window[0], mode);
    assert.deepEqual(decoded(simd, unit, base, window), tuned);
  }
});

test("what is next to nothing costs next to nothing: one in a hundred changed is below 1.3 % of the units", () => {
  const units = 1 << 19;
  const base = hashed(3, units).map((bits) => (bits & 0x807f) | (0x3c00 - (Math.clz32(bits >>> 8) - 8) * 128));
  const noise = hashed(4, units);
  const tuned = base.map((bits, i) => ((noise[i] ?? 0) % 100 === 0 ? bits + 1 : bits));
  const window = encoded(simd, unitOf("BF16"), bytesOf(base, 2), bytesOf(tuned, 2));
  assert.ok(window.length < 0.013 * 2 * units, String(window.length));
});

test("the same units give the same windows as ever: modes, clusters, tables, lanes, words and extra bits", () => {
  const digests = [12, 9, 6, 3].map((spread) => {
    const units = 100_003;
    const noise = hashed(5, units);
    const more = hashed(6, units);
    const base = noise.map((bits) => (bits & 0x807f) | ((125 - Math.clz32(Math.imul(bits, 0x9e3779b1))) << 7));
    const tuned = base.map(
      (bits, i) => bits + ((((more[i] ?? 0) & 1 ? 1 : -1) << 16) >> Math.min(16, spread + Math.clz32(more[i] ?? 0))),
    );
    const window = encoded(
      simd,
      unitOf("BF16"),
      bytesOf(base, 2),
      bytesOf(
        tuned.map((bits) => bits & 0xffff),
        2,
      ),
    );
    return [window.length, sha256(window).slice(0, 16)];
  });
  assert.deepEqual(digests, [
    [39_088, "08485758885cf818"],
    [69_798, "a085acc6f37807eb"],
    [106_446, "ce4e798c17140f50"],
    [143_878, "363de9363f4ba085"],
  ]);
});
