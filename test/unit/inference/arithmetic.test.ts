/** What is computed between the matrices. Expected values are those of Python's math.erf, and sums that can be done by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { allFinite, attend, erf, gelu, layerNorm, rmsNorm, silu } from "../../../src/inference/arithmetic.js";
import { startLosses } from "../../../src/inference/losses.js";

/** math.erf of Python 3.11. */
const ERF: readonly (readonly [x: number, erf: number])[] = [
  [0, 0.0],
  [1e-300, 1.1283791670955126e-300],
  [1e-9, 1.1283791670955127e-9],
  [0.00390625, 0.004407708702689662],
  [0.0078, 0.008801179015072609],
  [0.0079, 0.008914009978547863],
  [0.1, 0.1124629160182849],
  [0.25, 0.2763263901682369],
  [0.5, 0.5204998778130465],
  [Math.SQRT1_2, 0.682689492137086],
  [0.99, 0.8385080695553698],
  [1, 0.8427007929497149],
  [1.2345, 0.9191623964135658],
  [1.5, 0.9661051464753108],
  [2, 0.9953222650189527],
  [2.5, 0.999593047982555],
  [3, 0.9999779095030014],
  [3.3, 0.9999969422902035],
  [4, 0.9999999845827421],
  [5, 0.9999999999984626],
  [5.9, 0.9999999999999999],
  [5.99609375, 1.0],
  [6, 1.0],
  [7, 1.0],
  [30, 1.0],
];

test("erf is that of Python within 1e-12, for either sign", () => {
  for (const [x, expected] of ERF) {
    assert.ok(Math.abs(erf(x) - expected) < 1e-12, `erf(${x}) is ${erf(x)}, expected ${expected}`);
    assert.ok(Math.abs(erf(-x) + expected) < 1e-12);
  }
  assert.equal(erf(Number.POSITIVE_INFINITY), 1);
  assert.equal(erf(Number.NEGATIVE_INFINITY), -1);
  assert.ok(Number.isNaN(erf(Number.NaN)));
});

test("silu and gelu at their ends", () => {
  assert.equal(silu(0), 0);
  assert.equal(gelu(0), 0);
  for (const value of [40, 500, 1e30]) {
    assert.equal(silu(value), value);
    assert.equal(gelu(value), value);
    assert.ok(Math.abs(silu(-value)) < 1e-15);
    assert.ok(Math.abs(gelu(-value)) === 0);
  }
});

test("norms of a vector in the middle of others, in place too", () => {
  const values = Float32Array.of(9, 3, 4, 9);
  const weight = Float32Array.of(1, 2);
  const target = new Float32Array(4);
  rmsNorm(values, 1, target, 2, weight, 0);
  const scale = Math.sqrt(12.5);
  assert.deepEqual(target, Float32Array.of(0, 0, Math.fround(3 / scale), 2 * Math.fround(4 / scale)));
  layerNorm(values, 1, values, 1, weight, Float32Array.of(10, 20), 0);
  assert.deepEqual(values, Float32Array.of(9, 9, 22, 9));
  rmsNorm(values, 1, values, 1, weight, 1e30);
  assert.ok(Math.abs(values[1] ?? 1) < 1e-10);
});

test("a token sees itself and those before it, at most its window; heads share keys", () => {
  // Two heads of two elements on one of keys: every score is 0, so that the values are averaged.
  const rows = Float32Array.from([0, 1, 2, 3].flatMap((token) => [0, 0, token, 10 * token]));
  const seen = (position: number, window: number | null): Float32Array => {
    const target = new Float32Array(6).fill(-1);
    attend({ heads: 2, keyHeads: 1, size: 2, window }, new Float32Array(4), 0, rows, position, target, 1);
    return target;
  };
  assert.deepEqual(seen(0, null), Float32Array.of(-1, 0, 0, 0, 0, -1));
  assert.deepEqual(seen(3, null), Float32Array.of(-1, 1.5, 15, 1.5, 15, -1));
  assert.deepEqual(seen(3, 2), Float32Array.of(-1, 2.5, 25, 2.5, 25, -1));
  assert.deepEqual(seen(3, 1), Float32Array.of(-1, 3, 30, 3, 30, -1));
  assert.deepEqual(seen(3, 9), seen(3, null));
});

test("scores too large for e^x do no harm", () => {
  const target = new Float32Array(2);
  const rows = Float32Array.of(30, 30, 1, 2, -30, 30, 5, 6);
  attend({ heads: 1, keyHeads: 1, size: 2, window: null }, Float32Array.of(1e6, 0), 0, rows, 1, target, 0);
  assert.deepEqual(target, Float32Array.of(1, 2));
});

test("tells whether all values are finite", () => {
  assert.ok(allFinite(new Float32Array(0)));
  assert.ok(allFinite(Float32Array.of(3e38, -3e38, 0)));
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    assert.ok(!allFinite(Float32Array.of(1, value, 2)));
  }
});

test("losses of logits that come in any pieces, however large they are", () => {
  const ids = [0, 2, 1, 3];
  const logits = [
    [1, 2, 3, 4],
    [1000, 1001, 1002, 900],
    [-1000, -1000, -1000, -1000],
  ];
  const expected = logits.map((row, i) => {
    const most = Math.max(...row);
    return most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0)) - (row[ids[i + 1] ?? 0] ?? 0);
  });
  for (const piece of [1, 2, 3, 4]) {
    const losses = startLosses(ids);
    for (let first = 0; first < 4; first += piece) {
      logits.forEach((row, place) => {
        losses.take(place, first, Float32Array.from(row.slice(first, first + piece)));
      });
    }
    const found = losses.finish();
    assert.equal(found.length, 3);
    found.forEach((value, i) => {
      assert.ok(Math.abs(value - (expected[i] ?? 0)) < 1e-9, `${value}, expected ${expected[i]}`);
    });
  }
  assert.equal(startLosses([5]).finish().length, 0);
});
