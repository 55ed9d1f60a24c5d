/**
 * fixtures/exactness-vectors.json: means, sums and additions on which torch 1.13 and 2.6 agree. The scalar kernel skips the
 * cases that would take it more than some seconds, and says so.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Kernel } from "../../src/kernel/kernel.js";
import { FIXTURES } from "../support/fixtures.js";
import { bothKernels, peek, places, poke, sha256, spread } from "../support/kernels.js";

interface Vectors {
  readonly cases: {
    readonly V: number;
    readonly H: number;
    readonly seed: number;
    readonly lo: number;
    readonly span: number;
    readonly input_sha256: string;
    readonly mean_sha256: string;
    readonly mean_first: readonly string[];
    readonly sum_bits_by_threads: { readonly "1": string };
  }[];
  readonly add_special: { readonly values: readonly string[]; readonly self_major: readonly string[] };
}

const vectors: Vectors = JSON.parse(readFileSync(join(FIXTURES, "exactness-vectors.json"), "utf8"));
const PUSH = 2 ** 18;
const SCALAR_ELEMENTS_AT_MOST = 10e6;

/** F32 words as the vectors write them: big-endian hexadecimal. */
function words(bytes: Uint8Array): readonly string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / 4 }, (_, i) =>
    view
      .getUint32(4 * i, true)
      .toString(16)
      .padStart(8, "0"),
  );
}

function check(kernel: Kernel, vector: Vectors["cases"][number]): void {
  const { V, H, seed, lo, span } = vector;
  const [sumState, meanState, data] = places(kernel, H);
  const input = createHash("sha256");
  kernel.sumBegin(sumState, V * H);
  kernel.meanBegin(meanState, V, H);
  for (let first = 0; first < V * H; first += PUSH) {
    const part = spread(seed, Math.min(PUSH, V * H - first), lo, span, first);
    input.update(part);
    poke(kernel, data, part);
    kernel.sumPush(sumState, data, part.length);
    kernel.meanPush(meanState, data, part.length);
  }
  kernel.meanEnd(meanState, data);
  const mean = peek(kernel, data, 4 * H);
  const sum = new Uint8Array(new Float32Array([kernel.sumEnd(sumState)]).buffer);
  assert.equal(input.digest("hex"), vector.input_sha256, "input");
  assert.deepEqual(words(sum), [vector.sum_bits_by_threads["1"]], "sum");
  assert.deepEqual(words(mean).slice(0, vector.mean_first.length), vector.mean_first, "mean");
  assert.equal(sha256(mean), vector.mean_sha256, "mean");
}

for (const kernel of bothKernels(4 * 2 ** 20)) {
  for (const vector of vectors.cases) {
    const size = vector.V * vector.H;
    const skip =
      kernel.kind === "scalar" && size > SCALAR_ELEMENTS_AT_MOST ? `${size} elements, with SIMD only` : false;
    test(`${kernel.kind}: mean and sum of ${vector.V} x ${vector.H}, exponents from ${vector.lo}`, { skip }, () => {
      check(kernel, vector);
    });
  }

  test(`${kernel.kind}: adds every pair of special values`, () => {
    const { values, self_major } = vectors.add_special;
    const bits = values.map((text) => Number.parseInt(text, 16));
    const self = new Uint32Array(bits.flatMap((value) => bits.map(() => value)));
    const other = new Uint32Array(bits.flatMap(() => bits));
    const target = kernel.base + other.byteLength;
    poke(kernel, kernel.base, other);
    poke(kernel, target, self);
    kernel.add("F32", kernel.base, target, self.length);
    assert.deepEqual(words(peek(kernel, target, self.byteLength)), self_major);
  });
}
