/**
 * The bit census: a fine-tune that was saved in 16 bits is exact in 16 bits again only on the base that its diff was made with. This needs
 * no manifest. The census counts sampled sums of diff and base. A sum also counts as exact if the 16-bit value next to it gives exactly the
 * published difference: a float32 base made the publisher's subtraction round (kernel/fits.ts). The census leaves out sums where the diff or
 * the sum is 0: these are exact on any base, since training changed nothing or a weight was pruned. The thresholds come from trained models
 * (fixtures/trained/README.md).
 */
import { addBits, isNaNBits } from "../kernel/bits.js";
import { fits, isExact } from "../kernel/fits.js";
import type { NarrowDtype } from "../kernel/kernel.js";
import type { SampledPair } from "./sample.js";

/** The counts of one tensor. */
export interface TensorCensus {
  readonly name: string;
  /** The number of sums that were counted. */
  readonly elements: number;
  /** How many of the sums are exact in each dtype. */
  readonly exact: Readonly<Record<NarrowDtype, number>>;
  /** How many values of the diff itself are exact in each dtype. */
  readonly exactDiff: Readonly<Record<NarrowDtype, number>>;
}

/** Counts the sampled pairs whose diff is F32. A 16-bit diff tells nothing. */
export function censusBits(pairs: readonly SampledPair[]): readonly TensorCensus[] {
  return pairs
    .filter(({ diffDtype }) => diffDtype === "F32")
    .map(({ name, windows }) => {
      const exact = { F16: 0, BF16: 0 };
      const exactDiff = { F16: 0, BF16: 0 };
      let elements = 0;
      for (const { raw, diff, again = [] } of windows) {
        // Plain loops, since this takes half of the time before recover's first read.
        for (let index = 0; index < diff.length; index++) {
          const bits = diff[index] ?? 0;
          let sum = addBits(bits, raw[index] ?? 0);
          for (const more of again) {
            sum = addBits(sum, more[index] ?? 0);
          }
          if (bits << 1 === 0 || sum << 1 === 0 || isNaNBits(sum)) {
            continue;
          }
          elements++;
          const bases = [raw[index] ?? 0, ...again.map((more) => more[index] ?? 0)];
          exact.F16 += fits("F16", sum, bits, bases) ? 1 : 0;
          exact.BF16 += fits("BF16", sum, bits, bases) ? 1 : 0;
          exactDiff.F16 += isExact("F16", bits) ? 1 : 0;
          exactDiff.BF16 += isExact("BF16", bits) ? 1 : 0;
        }
      }
      return { name, elements, exact, exactDiff };
    });
}

export type BitVerdict =
  /** Every sum is exact. No other base gives that. */
  | { readonly kind: "right"; readonly dtype: NarrowDtype; readonly elements: number; readonly share: number }
  /** Too many sums are exact for a float32 fine-tune, and too few for a 16-bit one. `share` is the larger of the two shares. */
  | { readonly kind: "suspect"; readonly dtype: NarrowDtype; readonly elements: number; readonly share: number }
  /** Nothing can be said: the fine-tune is float32, or too few sums were counted. */
  | { readonly kind: "none"; readonly elements: number };

/** Measured on trained models: 1 with their own base; at most 0.972 with that base rounded to BF16 (0.999 after ten steps of 1e-6), and 0.71 with another base. */
const RIGHT = 0.9999;
/**
 * Measured on trained models: at most 0.004 in any tensor of a float32 fine-tune; at least 0.19 in F16 for 16-bit fine-tunes with a wrong
 * base.
 */
const CHANCE = 0.03;
/** With fewer sums than this, a tensor's share means little. */
const MIN_TENSOR_ELEMENTS = 64;
const MIN_ELEMENTS = 1000;

/**
 * Judges by the tensors that do not look like float32, if they are at least half of all: mixed checkpoints keep some tensors in float32. If
 * the diff itself was computed in 16 bits, inexact sums prove nothing, since the diff was rounded.
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
  // A BF16 fine-tune is nearly always exact in F16 too, so BF16 is tried first.
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
