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

/** A thread compiles the module once, however many kernels it makes. */
const modules = new WeakMap<Uint8Array, WebAssembly.Module>();

/**
 * Makes a kernel with at least `bytes` bytes of memory from its `base` on.
 * @param wasm the bytes of KERNEL_WASM_URL. Without them, or without SIMD, the scalar kernel is used.
 * @throws {WeightDiffError} USAGE if WEIGHT_DIFF_KERNEL is unknown, or asks for SIMD where there is none; LIMIT if memory is short.
 */
export function loadKernel(bytes: number, wasm?: Uint8Array): Kernel {
  const forced = forcedChoice();
  const module = forced === "scalar" || wasm === undefined ? undefined : compile(wasm);
  if (module !== undefined) {
    return createSimdKernel(bytes, module);
  }
  if (forced === "simd") {
    throw new WeightDiffError("USAGE", "WEIGHT_DIFF_KERNEL=simd, but this node cannot run the SIMD kernel", "unset it");
  }
  return createScalarKernel(bytes);
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

/** Undefined if there is no WebAssembly (node --jitless) or no SIMD. `validate` finds out about SIMD. */
function compile(wasm: Uint8Array): WebAssembly.Module | undefined {
  if (typeof WebAssembly === "undefined") {
    return undefined;
  }
  const known = modules.get(wasm);
  if (known !== undefined) {
    return known;
  }
  if (!WebAssembly.validate(wasm)) {
    return undefined;
  }
  const module = new WebAssembly.Module(wasm);
  modules.set(wasm, module);
  return module;
}
