/**
 * Speed of each kernel function, run by hand: `node dist/test/bench/kernel.js [scalar]`. Bytes are those read and written of the
 * tensors' own sizes, the target once for reading and once for writing: an add of F16 into F32 counts 10 per element.
 * "cache": blocks of 64Ki elements; "window": 1Mi elements, whose bytes leave the second-level cache.
 */
import { readFileSync } from "node:fs";
import type { FloatDtype } from "../../src/formats/dtype.js";
import type { Kernel } from "../../src/kernel/kernel.js";
import { KERNEL_WASM_URL } from "../../src/kernel/load.js";
import { createScalarKernel } from "../../src/kernel/scalar.js";
import { createSimdKernel } from "../../src/kernel/simd.js";

const WINDOW = 2 ** 20;
const MIB = 2 ** 20;
const COLUMNS = 4096;
const SUM_ROOM = 16_384;

/** Byte positions. */
type Places = readonly [source: number, target: number];

interface Task {
  readonly name: string;
  /** What source and target hold at first. */
  readonly from: FloatDtype;
  readonly to: FloatDtype;
  readonly bytesPerElement: number;
  run(kernel: Kernel, places: Places, count: number): void;
}

const TASKS: readonly Task[] = [
  { name: "widen F16", from: "F16", to: "F32", bytesPerElement: 6, run: (k, p, n) => k.widen("F16", ...p, n) },
  { name: "widen BF16", from: "BF16", to: "F32", bytesPerElement: 6, run: (k, p, n) => k.widen("BF16", ...p, n) },
  { name: "widen F64", from: "F64", to: "F32", bytesPerElement: 12, run: (k, p, n) => k.widen("F64", ...p, n) },
  { name: "add F16", from: "F16", to: "F32", bytesPerElement: 10, run: (k, p, n) => k.add("F16", ...p, n) },
  { name: "add BF16", from: "BF16", to: "F32", bytesPerElement: 10, run: (k, p, n) => k.add("BF16", ...p, n) },
  { name: "add F32", from: "F32", to: "F32", bytesPerElement: 12, run: (k, p, n) => k.add("F32", ...p, n) },
  { name: "subtract F32", from: "F32", to: "F32", bytesPerElement: 12, run: (k, p, n) => k.subtract("F32", ...p, n) },
  { name: "narrow F16", from: "F32", to: "F16", bytesPerElement: 6, run: (k, p, n) => k.narrow("F16", ...p, n) },
  { name: "narrow BF16", from: "F32", to: "BF16", bytesPerElement: 6, run: (k, p, n) => k.narrow("BF16", ...p, n) },
  { name: "addNarrow F16", from: "F16", to: "F16", bytesPerElement: 6, run: (k, p, n) => k.addNarrow("F16", ...p, n) },
  {
    name: "addNarrow BF16",
    from: "BF16",
    to: "BF16",
    bytesPerElement: 6,
    run: (k, p, n) => k.addNarrow("BF16", ...p, n),
  },
  { name: "sumPush", from: "F32", to: "F32", bytesPerElement: 4, run: (k, [at], n) => k.sumPush(k.base, at, n) },
  {
    name: "meanPush",
    from: "F32",
    to: "F32",
    bytesPerElement: 4,
    run: (k, [at], n) => k.meanPush(k.base + SUM_ROOM, at, n),
  },
];

/** Weights as a model has them: a bell curve (the sum of four dice) of width 0.02, of which 0.2 % are F16 subnormals. */
function fill(kernel: Kernel, dtype: FloatDtype, at: number): void {
  const values = new DataView(kernel.memory);
  const random = (): number => Math.random() - 0.5;
  for (let i = 0; i < WINDOW; i++) {
    const value = (random() + random() + random() + random()) * 0.035;
    if (dtype === "F64") {
      values.setFloat64(at + 8 * i, value, true);
    } else {
      values.setFloat32(at + 4 * i, value, true);
    }
  }
  if (dtype === "F16" || dtype === "BF16") {
    kernel.narrow(dtype, at, at, WINDOW);
  }
}

/** Best of several runs, GB/s. */
function measure(task: Task, kernel: Kernel, places: Places, count: number, seconds: number): number {
  let best = 0;
  const end = performance.now() + seconds * 1000;
  do {
    const loops = Math.ceil((4 * WINDOW) / count);
    const start = performance.now();
    for (let i = 0; i < loops; i++) {
      task.run(kernel, places, count);
    }
    best = Math.max(best, (loops * count * task.bytesPerElement) / (performance.now() - start) / 1e6);
  } while (performance.now() < end);
  return best;
}

/** `scale` makes the blocks smaller and the wait shorter for a slow kernel. */
function bench(kernel: Kernel, scale: number): void {
  const places: Places = [kernel.base + MIB, kernel.base + 17 * MIB];
  kernel.sumBegin(kernel.base, 2 ** 40);
  kernel.meanBegin(kernel.base + SUM_ROOM, 2 ** 30, COLUMNS);
  for (const task of TASKS) {
    fill(kernel, task.from, places[0]);
    fill(kernel, task.to, places[1]);
    const [cache, window] = [2 ** 16, WINDOW].map((count) =>
      measure(task, kernel, places, count / scale, 0.3)
        .toFixed(2)
        .padStart(7),
    );
    console.log(`${kernel.kind.padEnd(6)}  ${task.name.padEnd(15)} ${cache}  ${window}`);
  }
}

console.log("kernel  function          cache   window   (GB/s)");
bench(createSimdKernel(40 * MIB, new WebAssembly.Module(readFileSync(KERNEL_WASM_URL))), 1);
if (process.argv[2] === "scalar") {
  bench(createScalarKernel(40 * MIB), 8);
}
