/** Digests one tensor: its bytes in order, and block by block whatever else the job asks about its values. */
import { createHash } from "node:crypto";
import { dtypeBits, elementCount, isFloatDtype } from "../../formats/dtype.js";
import { sumIntegers } from "../../kernel/integers.js";
import type { Kernel } from "../../kernel/kernel.js";
import { BLOCK, type MemoryPlan } from "../io/memory.js";
import type { DigestJob } from "../job/job.js";
import type { ValueCounts } from "../job/result.js";
import { byteSwap } from "./byte-swap.js";
import type { JobRun } from "./window.js";

/** Starts a job that only digests its bytes. Only one run at a time may use the kernel. */
export function startDigest(job: DigestJob, kernel: Kernel, areas: MemoryPlan): JobRun {
  const memory = new Uint8Array(kernel.memory);
  const { dtype } = job.source;
  const hash = job.checksumOnly === true ? null : createHash("sha256");
  const width = dtypeBits(dtype) / 8;
  const bytes = byteSwap(job.source);
  const float = isFloatDtype(dtype) ? dtype : null;
  const counters = new DataView(kernel.memory, areas.sumBlock, 12);
  const counts = { nan: 0, infinite: 0, zero: 0 };
  let integerSum = 0;
  if (job.sum === true && float !== null) {
    kernel.sumBegin(areas.sumState, elementCount(job.source.shape) ?? 0);
  }
  const examine = (at: number, items: number): void => {
    if (job.sum === true && float !== null) {
      kernel.widen(float, at, areas.sumBlock, items);
      kernel.sumPush(areas.sumState, areas.sumBlock, items);
    } else if (job.sum === true) {
      integerSum += sumIntegers(memory.subarray(at, at + items * width), dtype);
    }
    if (job.count === true && float !== null) {
      kernel.countSpecial(float, at, areas.sumBlock, items);
      counts.nan += counters.getUint32(0, true);
      counts.infinite += counters.getUint32(4, true);
      counts.zero += counters.getUint32(8, true);
    }
  };
  return {
    push({ begin, end, at: [beginAt = 0] }) {
      for (let i = begin; i < end; i += BLOCK) {
        const at = beginAt + (i - begin) * width;
        const items = Math.min(BLOCK, end - i);
        const block = memory.subarray(at, at + items * width);
        bytes.take(block);
        hash?.update(block);
        examine(at, items);
      }
      return { at: beginAt, bytes: 0, position: 0 };
    },
    finish(paths) {
      const damage = job.lenient === true ? bytes.damage() : null;
      if (job.lenient !== true) {
        bytes.finish(paths);
      }
      const sum = job.sum !== true ? 0 : float === null ? integerSum : kernel.sumEnd(areas.sumState);
      const counted: ValueCounts | null = job.count === true && float !== null ? counts : null;
      return {
        id: job.id,
        ...(hash === null ? {} : { sha256: hash.digest("hex") }),
        sum,
        overflow: 0,
        ...(counted === null ? {} : { counts: counted }),
        ...(damage === null ? {} : { damage }),
      };
    },
  };
}
