/** Decodes one tensor from coded windows. Each window is checked completely, its CRC-32 first, before its values are written. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { WeightDiffError } from "../../errors.js";
import { unitOf } from "../../formats/coded/units.js";
import { elementCount, isFloatDtype } from "../../formats/dtype.js";
import { quote } from "../../formats/quote.js";
import type { Kernel } from "../../kernel/kernel.js";
import { BLOCK, type MemoryPlan } from "../io/memory.js";
import type { TensorJob } from "../job/job.js";
import { operandDtype, operandsOf, widthOf } from "../job/operand.js";
import { bringBase } from "./base.js";
import { startMeasure } from "./measure.js";
import { operandParts } from "./operand-parts.js";
import type { JobRun } from "./window.js";
import { decodeWindow } from "./windows.js";

/** Starts the job on this worker's kernel. @param paths of the inputs, for messages. */
export function startDecode(job: TensorJob, kernel: Kernel, areas: MemoryPlan, paths: readonly string[]): JobRun {
  const { coder } = areas;
  const { operand } = job.start;
  if (coder === null || operand.kind !== "coded") {
    throw new TypeError(`job ${job.id}: nothing to decode, or no memory for it`);
  }
  const memory = new Uint8Array(kernel.memory);
  const parts = operandParts(job, memory);
  const unit = unitOf(job.dtype);
  const width = widthOf(job.dtype);
  const [term] = job.terms;
  const base = term !== undefined && job.rule === "decode-bits" ? operandDtype(term.operand) : null;
  const summed = isFloatDtype(job.dtype) ? job.dtype : null;
  const place = { file: paths[operand.input] ?? "input", tensor: operand.name };
  const start = operandsOf(job).places[0] ?? 0;
  const measure = startMeasure(job, kernel, areas);
  // A tensor that is only measured needs no digest.
  const hash = measure !== null && job.output === null ? null : createHash("sha256");
  if (summed !== null) {
    kernel.sumBegin(areas.sumState, elementCount(job.shape) ?? 0);
  }
  return {
    push(window) {
      const { begin, end, outAt, coded } = window;
      const output = { at: outAt, bytes: (end - begin) * width, position: begin * width };
      if (begin === end || coded === undefined) {
        return output;
      }
      const at = window.at[start] ?? 0;
      if (crc32(memory.subarray(at, at + coded.length)) !== coded.crc32) {
        throw new WeightDiffError(
          "CRC_MISMATCH",
          `tensor ${quote(operand.name)} is damaged: a coded window does not have its CRC-32`,
          "the file was corrupted on its way or on the disk: fetch it again",
          { at: place },
        );
      }
      const units = ((end - begin) * width) / unit.width;
      const decoder = decodeWindow(kernel, coder, unit, { at, length: coded.length, units }, place);
      for (let first = begin; first < end; first += BLOCK) {
        const items = Math.min(BLOCK, end - first);
        const taken = parts.take(window, first, items);
        const raw = taken[1];
        const target = outAt + (first - begin) * width;
        // A base that already has the right form is not copied.
        const ready = base === job.dtype && raw?.stored === items;
        const from = ready ? raw.at : coder.base;
        if (!ready) {
          bringBase(kernel, areas, base === null || raw === undefined ? null : { dtype: base, part: raw }, {
            dtype: job.dtype,
            items,
            target: coder.base,
          });
        }
        decoder.decode(from, target, (items * width) / unit.width);
        hash?.update(memory.subarray(target, target + items * width));
        measure?.take(first, items, target, taken);
        if (summed !== null) {
          kernel.widen(summed, target, areas.sumBlock, items);
          kernel.sumPush(areas.sumState, areas.sumBlock, items);
        }
      }
      decoder.end();
      return output;
    },
    finish(all) {
      parts.finish(all);
      const sum = summed === null ? 0 : kernel.sumEnd(areas.sumState);
      const measured = measure === null ? {} : { measured: measure.finish() };
      return { id: job.id, ...(hash === null ? {} : { sha256: hash.digest("hex") }), sum, overflow: 0, ...measured };
    },
  };
}
