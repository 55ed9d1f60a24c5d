/**
 * Chooses the kernel: SIMD if the JavaScript engine has it, scalar otherwise. The environment variable WEIGHT_DIFF_KERNEL=simd|scalar
 * forces one of them. The caller, who has a file system, reads the file.
 */
import { WeightDiffError } from "../errors.js";
import type { Kernel } from "./kernel.js";
import { createScalarKernel } from "./scalar.js";
import { createSimdKernel } from "./simd.js";

/** Where the build puts the compiled assembly. */
export const KERNEL_WASM_URL = new URL("./kernel.wasm", import.meta.url);

const CHOICES = ["simd", "scalar"] as const;
type Choice = (typeof CHOICES)[number];

/** One compilation per thread, however many kernels it makes. */
const modules = {
  own: new WeakMap<Uint8Array, WebAssembly.Module>(),
  shared: new WeakMap<Uint8Array, WebAssembly.Module>(),
};

/** How the module's binary asks for its memory: its name, a memory, and limits with a maximum (https://webassembly.github.io/spec/core/binary/). */
const IMPORTED = Buffer.from("\u0006memory\u0002\u0001", "latin1");
/** The limits of a memory that threads share (https://webassembly.github.io/threads/core/binary/types.html). */
const SHARED_LIMITS = 3;

/**
 * A kernel with at least `bytes` bytes of memory from its `base` on. `wasm`: the bytes of KERNEL_WASM_URL; without them, or
 * without SIMD, the scalar kernel is used. `shared`: its memory is a SharedArrayBuffer.
 * @throws {WeightDiffError} USAGE if WEIGHT_DIFF_KERNEL is unknown or asks for SIMD in vain, LIMIT if memory is short.
 */
export function loadKernel(bytes: number, wasm?: Uint8Array, shared = false): Kernel {
  const forced = forcedChoice();
  const module = forced === "scalar" || wasm === undefined ? undefined : compile(wasm, shared);
  if (module !== undefined) {
    return createSimdKernel(bytes, module, shared);
  }
  if (forced === "simd") {
    throw new WeightDiffError("USAGE", "WEIGHT_DIFF_KERNEL=simd, but this node cannot run the SIMD kernel", "unset it");
  }
  return createScalarKernel(bytes, shared);
}

function forcedChoice(): Choice | undefined {
  const text = process.env.WEIGHT_DIFF_KERNEL;
  if (text === undefined || text === "") {
    return undefined;
  }
  const choice = CHOICES.find((name) => name === text);
  if (choice === undefined) {
    throw new WeightDiffError("USAGE", `WEIGHT_DIFF_KERNEL is "${text}"`, `use ${CHOICES.join(" or ")}, or unset it`);
  }
  return choice;
}

/** undefined where there is no WebAssembly (node --jitless) or no SIMD, which `validate` tells. */
function compile(wasm: Uint8Array, shared: boolean): WebAssembly.Module | undefined {
  if (typeof WebAssembly === "undefined") {
    return undefined;
  }
  const compiled = shared ? modules.shared : modules.own;
  const known = compiled.get(wasm);
  if (known !== undefined) {
    return known;
  }
  const binary = shared ? withSharedMemory(wasm) : wasm;
  if (!WebAssembly.validate(binary)) {
    return undefined;
  }
  const module = new WebAssembly.Module(binary);
  compiled.set(wasm, module);
  return module;
}

/** The same module over a memory that threads share: the two differ in this one byte. */
function withSharedMemory(wasm: Uint8Array): Uint8Array {
  const binary = Buffer.from(wasm);
  const at = binary.indexOf(IMPORTED);
  if (at < 0) {
    throw new TypeError("the kernel does not import a memory with a maximum");
  }
  binary[at + IMPORTED.length - 1] = SHARED_LIMITS;
  return binary;
}
