/**
 * Computes one tensor, window by window and in order. A window is cut into blocks. A block stays in the processor's cache while its checksum, addition,
 * sum and digest are computed, one after the other. So digest, checksums, sum and mean row are ready after the last window, and no byte is read again.
 */
import { createHash } from "node:crypto";
import type { Kernel } from "../../kernel/kernel.js";
import { PAGE } from "../io/disk.js";
import { BLOCK, type MemoryPlan } from "../io/memory.js";
import { tracePart } from "../io/trace.js";
import type { TensorJob } from "../job/job.js";
import { operandDtype, widthOf } from "../job/operand.js";
import { blendsInPlace } from "./blend.js";
import { startMeasure } from "./measure.js";
import { operandParts } from "./operand-parts.js";
import { startProof } from "./proof.js";
import type { Part } from "./stage.js";
import { STAGES } from "./stages.js";
import type { SyncJobRun } from "./window.js";

/** Starts the job on this worker's kernel. Only one run at a time may use the kernel. */
export function startTensor(job: TensorJob, kernel: Kernel, areas: MemoryPlan): SyncJobRun {
  const memory = new Uint8Array(kernel.memory);
  const start = job.start.operand;
  const outWidth = widthOf(job.dtype);
  const parts = operandParts(job, memory);
  const proof = job.prove ? startProof(job, kernel, areas) : null;
  const measure = startMeasure(job, kernel, areas);
  // A tensor that is only measured needs no digest.
  const hash = measure !== null && job.output === null ? null : createHash("sha256");
  const startStage = STAGES[job.rule];
  if (startStage === undefined) {
    throw new TypeError(`job ${job.id}: ${job.rule} goes by windows`);
  }
  const stage = startStage(job, kernel, areas, proof);
  const computed = job.rule === "add" || job.rule === "subtract" || job.rule === "convert";
  // The output can overwrite the start if no value changes its width.
  const fits =
    outWidth === widthOf(operandDtype(start)) &&
    (!computed || operandDtype(start) === job.dtype) &&
    // If values are judged, the start is read again.
    job.mustFit !== true &&
    (measure === null || job.rule === "copy") &&
    (job.rule !== "blend" || blendsInPlace(job));
  return {
    push(window, aligned) {
      const startAt = window.at[0] ?? 0;
      const outAt = fits && (!aligned || startAt % PAGE === 0) ? startAt : window.outAt;
      for (let i = 0; i < window.end - window.begin; i += BLOCK) {
        const first = window.begin + i;
        const items = Math.min(BLOCK, window.end - first);
        const [own, ...terms] = parts.take(window, first, items);
        const block = { first, items, start: own as Part, terms, outAt: outAt + i * outWidth };
        proof?.takeOperands(
          terms[0] === undefined ? new Uint8Array() : parts.bytesOf(1, terms[0]),
          parts.bytesOf(0, block.start),
        );
        stage.run(block);
        measure?.take(first, items, block.outAt, [block.start, ...terms]);
        tracePart("digest", () => hash?.update(memory.subarray(block.outAt, block.outAt + items * outWidth)));
      }
      return { at: outAt, bytes: (window.end - window.begin) * outWidth, position: window.begin * outWidth };
    },
    finish(paths) {
      parts.finish(paths);
      const result = { id: job.id, ...(hash === null ? {} : { sha256: hash.digest("hex") }), ...stage.finish() };
      return {
        ...result,
        ...(proof === null ? {} : { proof: proof.finish() }),
        ...(measure === null ? {} : { measured: measure.finish() }),
      };
    },
  };
}
