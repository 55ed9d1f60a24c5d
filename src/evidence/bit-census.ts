/**
 * The bit census: a fine-tune that was saved in 16 bits comes back exact in 16 bits only on the base its diff was made with.
 * It needs no manifest. Judged are sampled sums diff + base whose diff is not 0 and which are not 0 themselves: where training
 * changed nothing, or a weight is pruned, any base gives what it holds. Thresholds are from trained models:
 * fixtures/trained/README.md.
 */
import { addBits, isNaNBits, narrowBits, widenBF16, widenF16 } from "../kernel/bits.js";
import type { NarrowDtype } from "../kernel/kernel.js";
import type { SampledPair } from "./sample.js";

/** Of one tensor. */
export interface TensorCensus {
  readonly name: string;
  /** How many sums tell something. */
  readonly elements: number;
  /** How many of them are exact in the dtype. */
  readonly exact: Readonly<Record<NarrowDtype, number>>;
  /** How many of the diff's own values are. */
  readonly exactDiff: Readonly<Record<NarrowDtype, number>>;
}

/** Counts over every sampled pair whose diff is F32. Others are sums of 16-bit numbers and tell nothing. */
export function censusBits(pairs: readonly SampledPair[]): readonly TensorCensus[] {
  return pairs
    .filter(({ diffDtype }) => diffDtype === "F32")
    .map(({ name, windows }) => {
      const exact = { F16: 0, BF16: 0 };
      const exactDiff = { F16: 0, BF16: 0 };
      let elements = 0;
      for (const { raw, diff, again = [] } of windows) {
        for (const [index, bits] of diff.entries()) {
          const sum = again.reduce((met, more) => addBits(met, more[index] ?? 0), addBits(bits, raw[index] ?? 0));
          if (bits << 1 === 0 || sum << 1 === 0 || isNaNBits(sum)) {
            continue;
          }
          elements++;
          for (const dtype of ["F16", "BF16"] as const) {
            exact[dtype] += isExact(dtype, sum) ? 1 : 0;
            exactDiff[dtype] += isExact(dtype, bits) ? 1 : 0;
          }
        }
      }
      return { name, elements, exact, exactDiff };
    });
}

/** Whether rounding to `dtype` and back gives the same F32. */
export function isExact(dtype: NarrowDtype, bits: number): boolean {
  return (dtype === "F16" ? widenF16 : widenBF16)(narrowBits(dtype, bits)) === bits;
}

export type BitVerdict =
  /** Every sum is exact: no other base gives that. */
  | { readonly kind: "right"; readonly dtype: NarrowDtype; readonly elements: number; readonly share: number }
  /** Too many are exact for float32 weights, too few for 16-bit ones. `share` is the larger of the two. */
  | { readonly kind: "suspect"; readonly dtype: NarrowDtype; readonly elements: number; readonly share: number }
  /** Nothing can be said: a float32 fine-tune, or too little to go by. */
  | { readonly kind: "none"; readonly elements: number };

/** Trained: 1 on the own base; at most 0.972 on the base rounded to BF16 (0.999 for ten steps of 1e-6), 0.71 on another. */
const RIGHT = 0.9999;
/** Trained: float32 fine-tunes have at most 0.004 in any tensor; 16-bit ones on a wrong base 0.19 and more in F16. */
const CHANCE = 0.03;
/** Below this a tensor's share means little. */
const MIN_TENSOR_ELEMENTS = 64;
const MIN_ELEMENTS = 1000;

/**
 * Judges by the tensors that are not float32 by their look, if these are at least half: mixed checkpoints keep some in float32.
 * A diff that was itself computed in 16 bits proves nothing when its sums are inexact: that is its own rounding.
 */
export function judgeBits(census: readonly TensorCensus[]): BitVerdict {
  const known = census.filter(({ elements }) => elements >= MIN_TENSOR_ELEMENTS);
  const narrow = known.filter(({ elements, exact }) => Math.max(exact.F16, exact.BF16) > CHANCE * elements);
  const elements = narrow.reduce((sum, tensor) => sum + tensor.elements, 0);
  if (elements < MIN_ELEMENTS || narrow.length * 2 < known.length) {
    return { kind: "none", elements };
  }
  const share = (field: "exact" | "exactDiff", dtype: NarrowDtype): number =>
    narrow.reduce((sum, tensor) => sum + tensor[field][dtype], 0) / elements;
  // A BF16 fine-tune is nearly always exact in F16 too: the narrower claim is the stronger one.
  const right = (["BF16", "F16"] as const).find((dtype) => share("exact", dtype) >= RIGHT);
  if (right !== undefined) {
    return { kind: "right", dtype: right, elements, share: share("exact", right) };
  }
  if (Math.max(share("exactDiff", "F16"), share("exactDiff", "BF16")) >= RIGHT) {
    return { kind: "none", elements };
  }
  const dtype = share("exact", "F16") >= share("exact", "BF16") ? "F16" : "BF16";
  return { kind: "suspect", dtype, elements, share: share("exact", dtype) };
}
