/**
 * The smallest of float16, bfloat16 and float32 that holds the output of a plan, judged by samples: a few places in up to 32 matrices and
 * 32 other tensors. The run then proves it for every value (engine/work/fit.ts).
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Place } from "../checkpoint/elements.js";
import type { ComputeDtype, Operand, TensorJob } from "../engine/job/job.js";
import { elementCount, isFloatDtype } from "../formats/dtype.js";
import { addBits, subtractBits } from "../kernel/bits.js";
import { fits } from "../kernel/fits.js";
import type { NarrowDtype } from "../kernel/kernel.js";
import { INV_FREQ } from "../plan/pair.js";
import type { Plan } from "../plan/plan.js";
import { readPlaces, spread } from "./sample.js";
import { tensorFinder } from "./stored-tensor.js";

export interface SmallestDtype {
  readonly dtype: ComputeDtype;
  /** The number of sampled values. */
  readonly sampled: number;
  /** How many of them each dtype cannot hold. */
  readonly misfits: Readonly<Record<NarrowDtype, number>>;
}

/** A BF16 value is nearly always exact in F16 too, so BF16 is tried first. */
const ASKED = ["BF16", "F16"] as const satisfies readonly NarrowDtype[];
const MATRICES = { most: 32, places: 2, elements: 1024 };
const OTHERS = { most: 32, places: 1, elements: 512 };
/** If elements do not lie next to each other, each one needs a read of its own. */
const SCATTERED = 16;

interface Wanted {
  readonly job: TensorJob;
  /** The operands of the sum: the start, then the terms. One operand is a copy. */
  readonly operands: readonly StoredTensor[];
}

/** @param plan the plan, in F32. @param own tensors that keep their own dtype. @throws {WeightDiffError} IO, INPUT_CHANGED, TRUNCATED. */
export async function smallestDtype(
  plan: Pick<Plan, "inputs" | "jobs">,
  sides: readonly Checkpoint[],
  own: ReadonlySet<string>,
): Promise<SmallestDtype> {
  const finders = sides.map((side) => tensorFinder(plan, side));
  const find = (operand: Operand): StoredTensor | undefined => finders.flatMap((inSide) => inSide(operand) ?? []).at(0);
  const wanted = plan.jobs.flatMap((job): readonly Wanted[] => {
    if (job.kind !== "tensor" || job.dtype !== "F32" || own.has(job.name) || INV_FREQ.test(job.name) || !isSum(job)) {
      return [];
    }
    const operands = [job.start, ...job.terms].map(({ operand }) => find(operand));
    return operands.every((tensor): tensor is StoredTensor => tensor !== undefined && isLegible(tensor, job))
      ? [{ job, operands }]
      : [];
  });
  const isMatrix = ({ job }: Wanted): boolean => job.shape.length === 2;
  const chosen = [
    ...spread(wanted.filter(isMatrix), () => false, MATRICES.most).map((one) => ({ ...one, ...MATRICES })),
    ...spread(
      wanted.filter((one) => !isMatrix(one)),
      () => false,
      OTHERS.most,
    ).map((one) => ({ ...one, ...OTHERS })),
  ];
  const places = chosen.map((one) => placesOf(one));
  const values = await readPlaces(places.flat(2));
  const misfits = { F16: 0, BF16: 0 };
  let sampled = 0;
  let next = 0;
  for (const [index, { job, operands }] of chosen.entries()) {
    for (const _ of places[index] ?? []) {
      const [start = new Uint32Array(), ...terms] = values.slice(next, next + operands.length);
      next += operands.length;
      start.forEach((bits, k) => {
        const bases = terms.map((term) => term[k] ?? 0);
        const value = valueIn(job, bits, bases);
        sampled++;
        for (const dtype of ASKED) {
          misfits[dtype] += fits(dtype, value, job.rule === "add" ? bits : null, bases) ? 0 : 1;
        }
      });
    }
  }
  const dtype = sampled === 0 ? "F32" : (ASKED.find((narrow) => misfits[narrow] === 0) ?? "F32");
  return { dtype, sampled, misfits };
}

/** Is the tensor computed in plain F32, or copied? */
function isSum({ rule, blend }: TensorJob): boolean {
  return (
    rule === "add" || rule === "copy" || rule === "convert" || (blend?.operands === "F32" && blend.result === "F32")
  );
}

function valueIn({ blend }: TensorJob, start: number, terms: readonly number[]): number {
  return terms.reduce(
    (sum, term) => (blend?.operation === "subtract" ? subtractBits(sum, term) : addBits(term, sum)),
    start,
  );
}

/** Does the tensor hold floats, in rows of the output's length? */
function isLegible({ dtype, shape, coded, bigEndian }: StoredTensor, job: TensorJob): boolean {
  return (
    isFloatDtype(dtype) &&
    coded !== true &&
    bigEndian !== true &&
    shape.length === job.shape.length &&
    shape.every((length, axis) => axis === 0 || length === job.shape[axis])
  );
}

/** For each place, the same elements of every operand. */
function placesOf({ operands, places, elements }: Wanted & typeof MATRICES): readonly (readonly Place[])[] {
  const scattered = operands.some(({ strides, pieces }) => strides !== undefined || pieces !== undefined);
  const total = Math.min(...operands.map(({ shape }) => elementCount(shape) ?? 0));
  const count = Math.min(scattered ? SCATTERED : elements, total);
  // From the first row to the last, at equal distances.
  const distance = places === 1 ? 0 : Math.floor((total - count) / (places - 1));
  return Array.from({ length: count === 0 ? 0 : distance === 0 ? 1 : places }, (_, index) =>
    operands.map((tensor) => ({ tensor, first: index * distance, count })),
  );
}
