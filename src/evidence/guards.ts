/**
 * The guards find mistakes that names and shapes do not show. The option `ignore` switches a guard off by its name. A certain mistake is
 * refused, a likely one gives a warning. not-a-diff.ts, wrong-base.ts, base-precision.ts and bit-census.ts judge; this file has the
 * messages.
 */

import type { Advice, Say } from "../advice.js";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import { WeightDiffError } from "../errors.js";
import { torchName } from "../formats/dtype.js";
import { isFirstLlama, judgePrecision } from "./base-precision.js";
import { type BitVerdict, censusBits, judgeBits } from "./bit-census.js";
import type { Guard } from "./guard-names.js";
import { markOf } from "./identify.js";
import {
  censusNorms,
  hasDiffNorms,
  hasFullNorms,
  hasUntouchedRows,
  likeness,
  type NormCensus,
  normText,
  resembles,
} from "./not-a-diff.js";
import { type SampledPair, samplePairs } from "./sample.js";
import { compareConfigs, mixedUpLlamas } from "./wrong-base.js";

/** Base and diff, opened and not yet paired. */
export interface Inputs {
  readonly raw: Checkpoint;
  readonly diff: Checkpoint;
  readonly rawConfig: ModelConfig | null;
  readonly diffConfig: ModelConfig | null;
  /** Are head and embedding of each side one matrix once loaded? Null, or left out, if nothing tells. */
  readonly rawTied?: boolean | null;
  readonly diffTied?: boolean | null;
}

export interface GuardOptions {
  readonly ignore?: readonly Guard[];
  readonly tuned?: string | null;
  readonly onNote?: Say;
  readonly onWarning?: Say;
}

/**
 * Begins to read what `guardRoles` will look at, where that is at the Hub: it comes together with what is looked at before. What is wrong
 * with it is told then.
 */
export function readAheadOfGuards({ raw, diff }: Inputs): void {
  const away = [raw, diff].some(({ shards }) => shards.some(({ hub }) => hub?.cached === false));
  for (const read of away ? [samplePairs(raw, diff), censusNorms(raw, null), censusNorms(diff, null)] : []) {
    read.catch(() => {});
  }
}

/**
 * Refuses a base that is not a model, and a diff that is not a diff.
 * @returns the sampled values, for `guardBase`.
 * @throws {WeightDiffError} NOT_A_DIFF (base and diff swapped; a full model as the diff), NOT_A_MODEL (a diff as the base), MISMATCH (Llama
 * 2 for LLaMA-1), IO, INPUT_CHANGED.
 */
export async function guardRoles(inputs: Inputs, options: GuardOptions): Promise<readonly SampledPair[]> {
  const { raw, diff, rawConfig, diffConfig } = inputs;
  const [sample, rawNorms, diffNorms] = await Promise.all([
    samplePairs(raw, diff),
    censusNorms(raw, rawConfig ?? diffConfig),
    censusNorms(diff, diffConfig ?? rawConfig),
  ]);
  const marked = markOf(raw) !== null;
  const isDiff = marked ? markOf(diff) === null : hasDiffNorms(rawNorms);
  if (isOn("swapped", options) && isDiff && hasFullNorms(diffNorms, null)) {
    throw swapped(inputs, options, diffNorms);
  }
  if (isOn("not-a-model", options) && marked) {
    refuseDiff("base", raw, null);
  }
  if (isOn("not-a-diff", options)) {
    refuseFullModel(inputs, sample, diffNorms, rawNorms);
  }
  if (isOn("not-a-model", options)) {
    refuseDiff("base", raw, rawNorms);
  }
  if (isOn("wrong-base", options)) {
    refuseOtherLlama(inputs);
  }
  return sample;
}

/**
 * The guards of make-diff and report: both sides must be models, and a rounded base gives a warning.
 * @param inputs with the tuned model as `diff`.
 * @returns the sampled values.
 * @throws {WeightDiffError} NOT_A_MODEL, IO, INPUT_CHANGED.
 */
export async function guardModels(inputs: Inputs, options: GuardOptions): Promise<readonly SampledPair[]> {
  const { raw, diff: tuned, rawConfig, diffConfig: tunedConfig } = inputs;
  if (isOn("not-a-model", options)) {
    refuseDiff("base", raw, await censusNorms(raw, rawConfig));
    refuseDiff("tuned model", tuned, await censusNorms(tuned, tunedConfig), raw.path);
  }
  const sample = await samplePairs(raw, tuned);
  warnPrecision(inputs, sample, options);
  return sample;
}

function isOn(guard: Guard, { ignore }: GuardOptions): boolean {
  return ignore?.includes(guard) !== true;
}

function warn(guard: Guard, text: string, options: GuardOptions): void {
  if (isOn(guard, options)) {
    options.onWarning?.(text, [{ to: "silence this", option: "ignore", value: guard }]);
  }
}

/** Tells a user who knows better how to overrule the guard. */
function overrule(guard: Guard, what: string): Advice {
  return { to: `if you are sure that it is ${what}, go on`, option: "ignore", value: guard };
}

/**
 * Refuses a diff where a model must be, by its maker's mark or by its norm weights.
 * @throws {WeightDiffError} NOT_A_MODEL.
 */
export function refuseDiff(
  role: "base" | "tuned model",
  checkpoint: Checkpoint,
  norms: NormCensus | null,
  base = "BASE",
): void {
  const { path } = checkpoint;
  const evidence = markOf(checkpoint) ?? (norms !== null && hasDiffNorms(norms) ? scatterText(norms) : null);
  if (evidence !== null) {
    const sure = overrule("not-a-model", "a model");
    throw new WeightDiffError(
      "NOT_A_MODEL",
      `${role} ${path}: not a model but a diff: ${evidence}`,
      role === "base" ? "give the base model that the diff's card names" : undefined,
      { advice: role === "base" ? [sure] : [recoverFirst(base, path), sure] },
    );
  }
}

function scatterText({ count, magnitude }: NormCensus): string {
  return `its ${count} norm weights scatter around 0 with a mean size of ${magnitude.toPrecision(3)} (a model's lie on one side, far from it)`;
}

/** The command that recovers a model from a diff. */
export function recoverFirst(raw: string, diff: string): Advice {
  return { to: "recover the tuned model from it", command: "recover", options: { raw, diff, tuned: "OUT" } };
}

function swapped({ raw, diff }: Inputs, { tuned }: GuardOptions, norms: NormCensus | null): WeightDiffError {
  const out = tuned === undefined || tuned === null ? {} : { tuned };
  const options = { raw: diff.path, diff: raw.path, ...out };
  return new WeightDiffError(
    "NOT_A_DIFF",
    `base and diff are swapped: ${raw.path}, given as the base, is the diff; ${diff.path}, given as the diff, is a model${norms === null ? "" : `: ${normText(norms)}`}`,
    undefined,
    { advice: [{ to: "give them the other way round", command: "recover", options }] },
  );
}

function refuseFullModel(
  { raw, diff }: Inputs,
  sample: readonly SampledPair[],
  norms: NormCensus | null,
  rawNorms: NormCensus | null,
): void {
  const cosine = likeness(sample);
  const sure = overrule("not-a-diff", "a diff");
  const windows = sample.flatMap((pair) => pair.windows);
  if (
    windows.some((window) => window.raw.some((bits) => bits << 1 !== 0)) &&
    windows.every((window) => sameBits(window.raw, window.diff))
  ) {
    const values = windows.reduce((sum, window) => sum + window.diff.length, 0);
    throw new WeightDiffError(
      "NOT_A_DIFF",
      `diff ${diff.path}: not a diff: all ${values} sampled values are the same as in the base ${raw.path}; adding both would double the weights`,
      "give the published diff",
      { advice: [sure] },
    );
  }
  if (cosine !== null && resembles(cosine)) {
    throw new WeightDiffError(
      "NOT_A_DIFF",
      `diff ${diff.path}: not a diff but a full model, tuned from the base: its matrices point where the base's do (cosine ${cosine.toFixed(2)}, a diff's is near 0)${norms !== null && hasFullNorms(norms, rawNorms) ? `, and ${normText(norms)}` : ""}; adding the base would destroy it`,
      "it needs no recovering: simply use it as it is",
      {
        advice: [
          {
            to: "make a diff of it",
            command: "make-diff",
            options: { raw: raw.path, tuned: diff.path, diff: "OUT" },
          },
          sure,
        ],
      },
    );
  }
  if (norms?.scales === true && hasFullNorms(norms, rawNorms) && !hasUntouchedRows(sample)) {
    throw new WeightDiffError(
      "NOT_A_DIFF",
      `diff ${diff.path}: not a diff but a full model: ${normText(norms)}; adding a base would destroy it`,
      "simply use it as it is",
      { advice: [sure] },
    );
  }
}

function refuseOtherLlama({ raw, diff, rawConfig, diffConfig }: Inputs): void {
  const mixed = mixedUpLlamas(rawConfig, diffConfig);
  if (mixed !== null) {
    throw new WeightDiffError(
      "MISMATCH",
      `base ${raw.path} is ${mixed.raw}, and diff ${diff.path} was made for ${mixed.diff}: ${differences(rawConfig, diffConfig)}; both have the same names and shapes, their sum would be noise`,
      `give the ${mixed.diff} base of the same size`,
      { advice: [{ to: "if a config.json is wrong, go on", option: "ignore", value: "wrong-base" }] },
    );
  }
}

/**
 * Tells what the sampled values and the configs show about the base. Without a manifest, nothing else does.
 * @param sampled values of both sides, and their sums if the scheme adds float32 numbers; in other schemes the bits tell nothing.
 */
export function guardBase(
  inputs: Inputs,
  sampled: { readonly values: readonly SampledPair[]; readonly sums: readonly SampledPair[] },
  options: GuardOptions,
): BitVerdict {
  const { raw, diff, rawConfig, diffConfig } = inputs;
  const verdict: BitVerdict = judgeBits(censusBits(sampled.sums));
  const differing = differences(rawConfig, diffConfig);
  if (differing !== "") {
    warn(
      "wrong-base",
      `the configs of base ${raw.path} and diff ${diff.path} differ in what a fine-tune keeps: ${differing}: is this the base that the diff's card names?`,
      options,
    );
  }
  if (verdict.kind === "right") {
    if (isOn("bit-census", options)) {
      options.onNote?.(
        `the base is the one the diff was made with: ${percent(verdict.share)} of ${verdict.elements} sampled sums are exact in ${torchName(verdict.dtype)}, as the tuned model was saved`,
      );
    }
    // The base with which the diff was made has the right precision.
    return verdict;
  }
  warnPrecision(inputs, sampled.values, options);
  if (verdict.kind === "suspect") {
    warn(
      "bit-census",
      `wrong base, or the right one rounded: ${percent(verdict.share)} of ${verdict.elements} sampled sums are exact in ${torchName(verdict.dtype)}. With the base that the diff was made with, all would be exact; if the fine-tune was saved in float32, none would be. The result is probably NOT the tuned model: check the base ${raw.path} against the diff's card`,
      options,
    );
  }
  return verdict;
}

function warnPrecision(inputs: Inputs, sample: readonly SampledPair[], options: GuardOptions): void {
  const { raw, rawConfig, diffConfig } = inputs;
  if (!isFirstLlama(raw, rawConfig, diffConfig)) {
    return;
  }
  const precision = judgePrecision(sample);
  if (precision.kind === "fine") {
    return;
  }
  const what =
    precision.kind === "stored"
      ? "is stored in bfloat16"
      : `holds bfloat16 values in ${torchName(precision.dtype)}: all ${precision.elements} sampled ones, where one in eight would be by chance`;
  warn(
    "base-precision",
    `base ${raw.path} ${what}, but LLaMA-1 was released in float16: its weights were rounded when it was converted. A diff made with the released ones does NOT give the tuned model on it. Give Meta's own files (consolidated.*.pth) as the base, or take a float16 upload such as huggyllama's`,
    options,
  );
}

/** Gives "rms_norm_eps 1e-05 in the base, 1e-06 in the diff; …", or "". */
function differences(raw: ModelConfig | null, diff: ModelConfig | null): string {
  return compareConfigs(raw, diff)
    .map(
      ({ key, raw: ours, diff: theirs }) => `${key} ${valueText(ours)} in the base, ${valueText(theirs)} in the diff`,
    )
    .join("; ");
}

/** As Python writes numbers in config.json, for example 1e-05. */
function valueText(value: string | number): string {
  return typeof value === "number" && Math.abs(value) < 1e-4
    ? value.toExponential().replace(/e-(\d)$/, "e-0$1")
    : String(value);
}

/** In per cent. Only a share of exactly 1 gives 100. */
function percent(share: number): string {
  return `${share === 1 ? "100" : (Math.floor(share * 10_000) / 100).toFixed(2)} %`;
}

function sameBits(a: Uint32Array, b: Uint32Array): boolean {
  return a.length === b.length && a.every((bits, index) => bits === b[index]);
}
