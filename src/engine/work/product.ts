/** Multiplies rows of matrices with the inputs of a step's tokens. Whole rows come in windows; a few at a time are widened and multiplied. */
import { isFloatDtype } from "../../formats/dtype.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import { type ExchangeMemory, stepBegun } from "../job/exchange.js";
import type { ProductJob } from "../job/job.js";
import { widthOf } from "../job/operand.js";
import { byteSwap } from "./byte-swap.js";
import type { JobRun } from "./window.js";

/** Starts the products of one worker. Its jobs of one step share the inputs, which are copied once. */
export function startProducts(
  kernel: Kernel,
  areas: MemoryPlan,
  exchange: ExchangeMemory,
  aborted: () => boolean,
): (job: ProductJob) => JobRun {
  const room = areas.product;
  if (room === null) {
    throw new TypeError("no memory for products");
  }
  const memory = new Uint8Array(kernel.memory);
  const inputs = new Float32Array(exchange.inputs);
  const outputs = new Float32Array(exchange.outputs);
  let brought = -1;
  const bring = (step: number, values: number): void => {
    if (brought !== step) {
      new Float32Array(kernel.memory, room.inputs, values).set(inputs.subarray(0, values));
      brought = step;
    }
  };
  return (job) => {
    const { dtype, shape } = job.source;
    const columns = shape[1] ?? 0;
    const width = widthOf(dtype);
    const order = byteSwap(job.source);
    const counters = new DataView(kernel.memory, areas.sumBlock, 12);
    const counts = { nan: 0, infinite: 0, zero: 0 };
    if (!isFloatDtype(dtype)) {
      throw new TypeError(`job ${job.id}: ${dtype} is not multiplied`);
    }
    const count = (at: number, values: number): void => {
      kernel.countSpecial(dtype, at, areas.sumBlock, values);
      counts.nan += counters.getUint32(0, true);
      counts.infinite += counters.getUint32(4, true);
      counts.zero += counters.getUint32(8, true);
    };
    return {
      async push({ begin, end, at: [at = 0] }) {
        const nothing = { at, bytes: 0, position: 0 };
        const tokens = await stepBegun(exchange, job.step, aborted);
        if (tokens === 0) {
          return nothing;
        }
        bring(job.step, tokens * columns);
        order.take(memory.subarray(at, at + (end - begin) * width));
        if (job.count) {
          count(at, end - begin);
        }
        const rows = (end - begin) / columns;
        const some = Math.floor(room.values / columns);
        for (let row = 0; row < rows; row += some) {
          const now = Math.min(some, rows - row);
          const from = at + row * columns * width;
          // The loops need values that are aligned to their width.
          const ready = dtype === "F32" && from % 4 === 0;
          if (!ready) {
            kernel.widen(dtype, from, room.weights, now * columns);
          }
          kernel.multiply({
            ...{ weights: ready ? from : room.weights, rows: now, columns },
            ...{ inputs: room.inputs, tokens, outputs: room.outputs + 4 * row, stride: rows },
          });
        }
        const made = new Float32Array(kernel.memory, room.outputs, tokens * rows);
        for (let token = 0; token < tokens; token++) {
          outputs.set(
            made.subarray(token * rows, (token + 1) * rows),
            token * job.stride + job.first + begin / columns,
          );
        }
        return nothing;
      },
      finish: () => ({ id: job.id, sum: 0, overflow: 0, ...(job.count ? { counts } : {}) }),
    };
  };
}
