import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, test } from "node:test";
import { WeightDiffError } from "../../../src/errors.js";
import { KERNEL_WASM_URL, loadKernel } from "../../../src/kernel/load.js";

const wasm = readFileSync(KERNEL_WASM_URL);
const CALLER_BYTES = 100_000;

const before = process.env.WEIGHT_DIFF_KERNEL;
const force = (kind: string | undefined): void => {
  if (kind === undefined) {
    delete process.env.WEIGHT_DIFF_KERNEL;
  } else {
    process.env.WEIGHT_DIFF_KERNEL = kind;
  }
};
afterEach(() => force(before));

test("takes SIMD where it is, scalar where its bytes are missing or no such module", () => {
  force(undefined);
  assert.equal(loadKernel(CALLER_BYTES, wasm).kind, "simd");
  assert.equal(loadKernel(CALLER_BYTES).kind, "scalar");
  assert.equal(loadKernel(CALLER_BYTES, wasm.subarray(0, 1000)).kind, "scalar");
  assert.equal(loadKernel(CALLER_BYTES, new Uint8Array(0)).kind, "scalar");
});

test("obeys WEIGHT_DIFF_KERNEL, and refuses a kernel that it cannot run", () => {
  const usage = (error: unknown): boolean => error instanceof WeightDiffError && error.code === "USAGE";
  force("scalar");
  assert.equal(loadKernel(CALLER_BYTES, wasm).kind, "scalar");
  force("simd");
  assert.equal(loadKernel(CALLER_BYTES, wasm).kind, "simd");
  assert.throws(() => loadKernel(CALLER_BYTES), usage);
  force("gpu");
  assert.throws(() => loadKernel(CALLER_BYTES, wasm), usage);
});

test("gives the caller the bytes asked for, from a base that is a multiple of 4096", () => {
  for (const kind of ["simd", "scalar"]) {
    force(kind);
    for (const bytes of [1, 65536, CALLER_BYTES]) {
      const kernel = loadKernel(bytes, wasm);
      assert.equal(kernel.base % 4096, 0);
      assert.ok(kernel.memory.byteLength - kernel.base >= bytes, kind);
    }
  }
});

test("gives every kernel its own memory", () => {
  const [one, other] = [loadKernel(CALLER_BYTES, wasm), loadKernel(CALLER_BYTES, wasm)];
  new Uint8Array(one.memory)[one.base] = 7;
  assert.equal(new Uint8Array(other.memory)[other.base], 0);
});

test("refuses a block that the system cannot give with a WeightDiffError", () => {
  for (const kind of ["simd", "scalar"]) {
    force(kind);
    assert.throws(
      () => loadKernel(2 ** 40, wasm),
      (error) => error instanceof WeightDiffError && error.code === "LIMIT",
    );
  }
});
