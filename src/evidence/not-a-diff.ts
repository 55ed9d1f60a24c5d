/**
 * Is this a diff, or a full model? Two independent marks tell, before names and shapes are paired. Their thresholds come from trained
 * models (fixtures/trained/README.md has the table):
 *
 * 1. Norm weights of a full model lie on one side of zero, far from it compared to their spread, and are as large as the
 *    base's. A diff's scatter around zero, or shrink; where all of them grew, they grew by a part of what they were.
 *    Strength = median over the norms of mean/deviation, times the median of mean |w| relative to the base's. Where the norms are
 *    positive, trained diffs have a strength of 0.57 at most, full models of LLaMA and GPT-NeoX 1.00 at least, mostly 5 to 10.
 * 2. Matrices of a full model that was tuned from the base point where the base's do: median cosine 0.66 and more, unless
 *    tuned to ruin; a diff's is 0.27 at most, however large the update, and negative under weight decay.
 *
 * A diff has rows of zeros, of tokens that training never met; a full model has none. So such rows outweigh norms that look like a full
 * model's. Norms around zero mean a diff only in families whose models are known to have them near 1. Others (Gemma, Qwen3-Next,
 * Nemotron) store norms as an offset from 1; only the second mark judges them.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import { elementCount } from "../formats/dtype.js";
import { familyByNames, plainNames } from "./architecture.js";
import { cosineOf, median, productsOf, sumOf } from "./products.js";
import { isReadable, readPlaces, type SampledPair, spread, toNumbers } from "./sample.js";

/** Names of norm weights, in the families with RMSNorm or LayerNorm scales. */
export const NORM = /(^|\.)(\w*layernorm|\w*layer_norm|norm|ln_\w+|final_layer_norm)\.weight$/;
/** Enough norms to judge by, and few enough to read at once. */
const MAX_NORMS = 32;
const MAX_NORM_ELEMENTS = 4096;
/** Model types whose norms are scales near 1, like those of LLaMA and GPT-NeoX, on which the thresholds were measured. */
const SCALE_NORMS: ReadonlySet<string> = new Set([
  ...["llama", "llama_with_landmark", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "phi3"],
  ...["llava", "llava_next", "vipllava", "video_llava", "llava_llama", "llava_mistral"],
  "gpt_neox",
]);

/** The threshold of strength relative to the base's norms: between 0.57 and 1.00. */
const RELATIVE_STRENGTH = 0.75;
/** The threshold without a base. The weakest full model has 0.29, the next 0.57; diffs have 0.11 at most, except one with 0.24, whose norms all grew. */
const STRENGTH = 0.18;
/** The steadiness of a freshly initialised norm, whose deviation is 0. */
const MAX_STEADINESS = 10;
/** A full model's norm weights are nearly all positive: 0.81 and more, unless tuned to ruin. If they are not, strength means nothing. */
const POSITIVE_SHARE = 0.75;
/** The threshold of the cosine: between 0.27 and 0.66. */
const COSINE = 0.5;
/** In a shorter sample, the direction is chance. */
const MIN_COSINE_ELEMENTS = 64;
const MIN_ZERO_ELEMENTS = 64;
/** Many full models have one row of zeros: the padding token's. */
const MIN_ZERO_WINDOWS = 2;

export interface NormCensus {
  /** The number of norm tensors that were read. */
  readonly count: number;
  /** Median over the tensors of mean |w|. */
  readonly magnitude: number;
  /** Median over the tensors of the share of values above zero. */
  readonly positive: number;
  /** Median over the tensors of mean / standard deviation, at most 10. */
  readonly steadiness: number;
  /** steadiness x magnitude. */
  readonly strength: number;
  /** Are norms of this family known to be scales near 1? Only then do small ones indicate a diff. */
  readonly scales: boolean;
}

/**
 * Measures norm weights from all parts of the checkpoint; null if it has none that can be judged.
 * @throws {WeightDiffError} IO, INPUT_CHANGED.
 */
export async function censusNorms(checkpoint: Checkpoint, config: ModelConfig | null): Promise<NormCensus | null> {
  const norms = [...checkpoint.stateDict.values()].filter(
    (tensor) => NORM.test(tensor.name) && tensor.shape.length === 1 && isReadable(tensor),
  );
  const places = spread(norms, () => false, MAX_NORMS).map((tensor) => ({
    tensor,
    first: 0,
    count: Math.min(elementCount(tensor.shape) ?? 0, MAX_NORM_ELEMENTS),
  }));
  const type = config?.modelType ?? null;
  const scales = type === null ? familyByNames(plainNames(checkpoint.stateDict)) !== null : SCALE_NORMS.has(type);
  return summarise((await readPlaces(places)).map(toNumbers), scales);
}

/** The census of norm weights, with one array for each tensor; null without any. */
export function summarise(norms: readonly Float32Array[], scales: boolean): NormCensus | null {
  const rows = norms
    .filter((values) => values.length > 0 && values.every((value) => Number.isFinite(value)))
    .map((values) => {
      const mean = average(values);
      const deviation = Math.sqrt(average(values.map((value) => (value - mean) ** 2)));
      // 0/0: a norm that training did not change.
      const steadiness = mean === 0 ? 0 : Math.max(-MAX_STEADINESS, Math.min(mean / deviation, MAX_STEADINESS));
      const positive = values.filter((value) => value > 0).length / values.length;
      return { magnitude: average(values.map(Math.abs)), positive, steadiness };
    });
  if (rows.length === 0) {
    return null;
  }
  const magnitude = median(rows.map((row) => row.magnitude));
  const steadiness = median(rows.map((row) => row.steadiness));
  return {
    count: rows.length,
    magnitude,
    positive: median(rows.map((row) => row.positive)),
    steadiness,
    strength: steadiness * magnitude,
    scales,
  };
}

/** Median over the matrices of the cosine between base and diff; null if there is none to compare. */
export function likeness(pairs: readonly SampledPair[]): number | null {
  const cosines = pairs.flatMap(({ windows }) => {
    const elements = windows.reduce((sum, { diff }) => sum + diff.length, 0);
    const cosine = cosineOf(sumOf(windows.map(({ raw, diff }) => productsOf(toNumbers(diff), toNumbers(raw)))));
    return elements >= MIN_COSINE_ELEMENTS && Number.isFinite(cosine) ? [cosine] : [];
  });
  return cosines.length === 0 ? null : median(cosines);
}

/** Is the diff zero over whole windows in which the base is not? */
export function hasUntouchedRows(pairs: readonly SampledPair[]): boolean {
  const isZero = (bits: number): boolean => bits << 1 === 0;
  const untouched = pairs
    .flatMap(({ windows }) => windows)
    .filter(({ raw, diff }) => diff.length >= MIN_ZERO_ELEMENTS && diff.every(isZero) && !raw.every(isZero));
  return untouched.length >= MIN_ZERO_WINDOWS;
}

/** Are these the norms of a full model? @param base the census of the base; null if unknown. */
export function hasFullNorms(census: NormCensus | null, base: NormCensus | null): boolean {
  if (census === null || census.positive <= POSITIVE_SHARE) {
    return false;
  }
  return base === null ? census.strength >= STRENGTH : census.strength >= RELATIVE_STRENGTH * base.magnitude;
}

/** Are these norms a diff's? True only if no trained model of the family has such norms. */
export function hasDiffNorms(census: NormCensus | null): boolean {
  return census?.scales === true && census.strength < STRENGTH;
}

/** Do the diff's matrices resemble those of the base? */
export function resembles(cosine: number | null): boolean {
  return cosine !== null && cosine >= COSINE;
}

/** What was measured on a full model, in words. */
export function normText({ count, magnitude, positive }: NormCensus): string {
  return `its ${count} norm weights have a mean size of ${magnitude.toPrecision(3)}, and ${(100 * positive).toFixed(0)} % of their values are positive (a diff's scatter around 0)`;
}

function average(values: Float32Array): number {
  let sum = 0;
  for (const value of values) {
    sum += value;
  }
  return sum / values.length;
}
