/**
 * convert: a LLaMA as Meta released it -> the same model in Hugging Face's format, with the bits of Meta's files. transformers' converter
 * wrote these bits while it still worked in float16; later versions go through bfloat16 (docs/formats.md 2.1, 2.6).
 */
import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.js";
import { configOf } from "../checkpoint/config.js";
import { metaTokenizer } from "../checkpoint/meta-tokenizer.js";
import { WeightDiffError } from "../errors.js";
import type { Hub } from "../hub/place.js";
import { make } from "../make/make.js";
import type { Gathering } from "../make/recipe.js";
import { optionsFor } from "../make/stream-options.js";
import { DEFAULTS } from "../plan/defaults.js";
import { planConvert } from "../plan/plan-convert.js";
import { withHub } from "../run/inputs.js";
import { dtypeText, tellPlan, tellTokenizer } from "./convert/notes.js";
import type { ConvertOptions, ConvertReport } from "./convert/options.js";
import { convertRecipe } from "./convert/recipe.js";

export type { ConvertOptions, ConvertReport } from "./convert/options.js";

/** Converts Meta's files. @throws {WeightDiffError} with any code of errors.ts; FORMAT_UNSUPPORTED if the source is not in Meta's layout. */
export async function convert(options: ConvertOptions, gathering: Gathering | null = null): Promise<ConvertReport> {
  return withHub(options, (opened) => convertWith(opened, gathering));
}

async function convertWith(
  asked: ConvertOptions & { readonly hub: Hub },
  gathering: Gathering | null,
): Promise<ConvertReport> {
  const started = performance.now();
  const options = optionsFor(asked, asked.output);
  const say = options.onNote ?? (() => {});
  const model = await openCheckpoint(options.source, options.hub);
  refuseUnconvertible(model);
  const config = await configOf(model);
  const { dtype: wanted = null, maxShardSize = DEFAULTS.maxShardSize } = options;
  const plan = planConvert(model, { dtype: wanted, maxShardSize });
  const dtype = dtypeText(plan);
  tellPlan(plan, dtype, wanted, say);
  const tokenizer = await metaTokenizer(model, options.hub);
  tellTokenizer(tokenizer, options.source, say);
  return make(convertRecipe({ started, model, config, plan, dtype, tokenizer }, options), options, gathering);
}

/** @throws {WeightDiffError} FORMAT_UNSUPPORTED; NOT_FOUND without params.json, since the config needs values that no other file has. */
function refuseUnconvertible({ unconvertible }: Checkpoint): void {
  if (unconvertible !== null) {
    const { code, fact, hint, file } = unconvertible;
    throw new WeightDiffError(code, fact, hint, { at: { file } });
  }
}
