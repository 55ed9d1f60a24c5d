/** make-diff's proof: the diff is applied again while its bytes are in the cache, and elements that do not come back are counted. */
import { createHash, type Hash } from "node:crypto";
import { orBytes } from "../../kernel/integers.js";
import type { Kernel, NarrowDtype } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import type { TensorJob } from "../job/job.js";
import { operandDtype } from "../job/operand.js";
import type { Proof } from "../job/result.js";

/** The digests and counts of make-diff. */
export interface ProofRun {
  /** Takes the block's first term (of the base) and start (tuned) as stored, in little-endian order, before the output overwrites them. */
  takeOperands(raw: Uint8Array, driver: Uint8Array): void;
  /** `items` F32 values each in the areas of tuned and recovered; `driver` as in takeOperands. */
  takeRecovered(items: number, driver: Uint8Array): void;
  finish(): Proof;
}

/** Starts the proof of one tensor. */
export function startProof(job: TensorJob, kernel: Kernel, areas: MemoryPlan): ProofRun {
  const memory = new Uint8Array(kernel.memory);
  const dtype = operandDtype(job.start.operand);
  const raw = job.terms.length === 0 ? null : createHash("sha256");
  const tuned = createHash("sha256");
  // The recovered bytes are hashed separately only if they can differ from the tuned ones: if they are widened, or once an element did not come back.
  const widened = job.rule === "subtract" && dtype !== "F32";
  let recovered: Hash | null = widened ? createHash("sha256") : null;
  const narrow = dtype === "F16" || dtype === "BF16" ? dtype : null;
  const masks = job.rule === "copy" && job.dtype === "BOOL" && raw !== null;
  let inexact = 0;
  return {
    takeOperands(rawBytes, driverBytes) {
      raw?.update(rawBytes);
      if (masks) {
        // recover uses "or", so a mask bit that only the base has stays.
        const together = driverBytes.slice();
        orBytes(together.subarray(0, rawBytes.length), rawBytes);
        inexact += together.filter((byte, i) => byte !== driverBytes[i]).length;
        recovered ??= tuned.copy();
        recovered.update(together);
      }
      if (job.rule !== "subtract" || widened) {
        tuned.update(driverBytes);
      }
    },
    takeRecovered(items, driver) {
      const lost = kernel.countDifferent(areas.recoveredBlock, areas.tunedBlock, items);
      // A number that comes back exactly in F32 is also exact once it is rounded back. A NaN need not be.
      const sure = narrow === null || (lost === 0 && !hasNaN(kernel, areas, narrow, driver));
      inexact += sure ? lost : countLost(kernel, areas, items, narrow, driver, lost);
      if (lost > 0) {
        recovered ??= tuned.copy();
      }
      recovered?.update(memory.subarray(areas.recoveredBlock, areas.recoveredBlock + items * 4));
      if (!widened) {
        tuned.update(memory.subarray(areas.tunedBlock, areas.tunedBlock + items * 4));
      }
    },
    finish() {
      const sha256 = tuned.copy().digest("hex");
      return { raw: raw?.digest("hex") ?? null, tuned: sha256, recovered: recovered?.digest("hex") ?? sha256, inexact };
    },
  };
}

/** How many elements are compared together. */
const NEIGHBOURS = 256;

function hasNaN(kernel: Kernel, { sumBlock }: MemoryPlan, dtype: NarrowDtype, driver: Uint8Array): boolean {
  kernel.countSpecial(dtype, driver.byteOffset, sumBlock, driver.length / 2);
  return new DataView(kernel.memory, sumBlock).getUint32(0, true) > 0;
}

/**
 * Counts the elements of a block that are lost in F32 or once rounded back to the tuned dtype: a NaN that comes back exactly in
 * F32 may not survive the rounding (docs/arithmetic.md 3). `lostWide`: how many are lost in F32.
 */
function countLost(
  kernel: Kernel,
  { recoveredBlock, tunedBlock, sumBlock }: MemoryPlan,
  items: number,
  dtype: NarrowDtype,
  driver: Uint8Array,
  lostWide: number,
): number {
  kernel.narrow(dtype, recoveredBlock, sumBlock, items);
  const rounded = Buffer.from(kernel.memory, sumBlock, items * 2);
  if (rounded.equals(driver)) {
    return lostWide;
  }
  let lost = 0;
  // Few elements are lost, so only groups that have one are checked element by element.
  for (let first = 0; first < items; first += NEIGHBOURS) {
    const end = Math.min(first + NEIGHBOURS, items);
    const same = rounded.compare(driver, 2 * first, 2 * end, 2 * first, 2 * end) === 0;
    for (let i = first; !same && i < end; i++) {
      const kept = rounded[2 * i] === driver[2 * i] && rounded[2 * i + 1] === driver[2 * i + 1];
      lost += kept ? kernel.countDifferent(recoveredBlock + 4 * i, tunedBlock + 4 * i, 1) : 1;
    }
    lost += same ? kernel.countDifferent(recoveredBlock + 4 * first, tunedBlock + 4 * first, end - first) : 0;
  }
  return lost;
}
