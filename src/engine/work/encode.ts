/** Codes one tensor: each of the pipeline's windows becomes a coded window, and the index follows the last one. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { writeIndex } from "../../formats/coded/index.js";
import { type Unit, unitOf } from "../../formats/coded/units.js";
import type { Kernel } from "../../kernel/kernel.js";
import { BLOCK, type MemoryPlan } from "../io/memory.js";
import type { TensorJob } from "../job/job.js";
import { operandDtype, operandsOf, widthOf } from "../job/operand.js";
import { bringBase } from "./base.js";
import { operandParts } from "./operand-parts.js";
import { startProof } from "./proof.js";
import type { JobRun } from "./window.js";
import { decodeWindow, encodeWindow, type Plain } from "./windows.js";

/** Starts the job on this worker's kernel. */
export function startEncode(job: TensorJob, kernel: Kernel, areas: MemoryPlan): JobRun {
  const { coder } = areas;
  if (coder === null) {
    throw new TypeError(`job ${job.id}: no memory for a coder`);
  }
  const memory = new Uint8Array(kernel.memory);
  const parts = operandParts(job, memory);
  const unit = unitOf(job.dtype);
  const width = widthOf(job.dtype);
  const start = operandsOf(job).places[0] ?? 0;
  const [term] = job.terms;
  const base = term !== undefined && job.rule === "encode-bits" ? operandDtype(term.operand) : null;
  const proof = job.prove ? startProof(job, kernel, areas) : null;
  const hash = createHash("sha256");
  const windows: { readonly length: number; readonly crc32: number }[] = [];
  let size = 0;
  let unchanged = 0;
  return {
    push(window) {
      const { begin, end, outAt } = window;
      for (let first = begin; first < end; first += BLOCK) {
        const items = Math.min(BLOCK, end - first);
        const [own, raw] = parts.take(window, first, items);
        if (own === undefined) {
          throw new TypeError(`job ${job.id}: nothing to code`);
        }
        proof?.takeOperands(raw === undefined ? new Uint8Array() : parts.bytesOf(1, raw), parts.bytesOf(0, own));
        bringBase(kernel, areas, base === null || raw === undefined ? null : { dtype: base, part: raw }, {
          dtype: job.dtype,
          items,
          target: coder.base + (first - begin) * width,
        });
      }
      if (begin === end) {
        return { at: outAt, bytes: 0, position: 0 };
      }
      const plain = {
        from: coder.base,
        tuned: window.at[start] ?? 0,
        units: ((end - begin) * width) / unit.width,
      };
      const { bytes, unchanged: same } = encodeWindow(kernel, coder, unit, plain, outAt);
      unchanged += same;
      if (job.prove) {
        proveWindow(kernel, areas, unit, plain, { at: outAt, length: bytes }, job.name);
      }
      const coded = memory.subarray(outAt, outAt + bytes);
      windows.push({ length: bytes, crc32: crc32(coded) });
      hash.update(coded);
      const position = size;
      size += bytes;
      if (!window.last) {
        return { at: outAt, bytes, position };
      }
      const tail = writeIndex(windows);
      hash.update(tail);
      size += tail.length;
      return { at: outAt, bytes, position, tail };
    },
    finish(paths) {
      parts.finish(paths);
      const result = { id: job.id, sha256: hash.digest("hex"), size, unchanged, sum: 0, overflow: 0 };
      return proof === null ? result : { ...result, proof: proof.finish() };
    },
  };
}

/** Decodes the window again, block by block. @throws {Error} if it differs from what was coded. That is a bug, and no such diff is written. */
export function proveWindow(
  kernel: Kernel,
  { coder, recoveredBlock }: MemoryPlan,
  unit: Unit,
  { from, tuned, units }: Plain,
  coded: { readonly at: number; readonly length: number },
  tensor: string,
): void {
  if (coder === null) {
    return;
  }
  const memory = Buffer.from(kernel.memory);
  const { width } = unit;
  const decoder = decodeWindow(kernel, coder, unit, { ...coded, units }, { tensor });
  for (let first = 0; first < units; first += BLOCK) {
    const count = Math.min(BLOCK, units - first);
    const own = tuned + first * width;
    decoder.decode(from + first * width, recoveredBlock, count);
    if (memory.compare(memory, recoveredBlock, recoveredBlock + count * width, own, own + count * width) !== 0) {
      throw new Error(`${tensor}: a coded window does not give back what was coded`);
    }
  }
  decoder.end();
}
