/**
 * convert: a LLaMA as Meta released it -> the same model in Hugging Face's format, with the bits of Meta's files. That is what
 * transformers' converter wrote while it still worked in float16; later ones go through bfloat16 (docs/formats.md 2.1, 2.6).
 */
import type { Say } from "../advice.js";
import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.js";
import { configOf, type ModelConfig } from "../checkpoint/config.js";
import { generationConfigText } from "../checkpoint/layouts/meta/config.js";
import { type MetaTokenizer, metaTokenizer, TOKENIZER } from "../checkpoint/meta-tokenizer.js";
import { operandDtype } from "../engine/job/operand.js";
import { WeightDiffError } from "../errors.js";
import { type Dtype, torchName } from "../formats/dtype.js";
import { printable } from "../formats/quote.js";
import type { Hub } from "../hub/place.js";
import { type MakingOptions, type MakingReport, make, type Recipe } from "../make/make.js";
import { overflowOf, warnOverflow, writtenTensors } from "../make/outcome.js";
import { type FinishedTensors, plannedFiles, smallFiles, tensorRecipe } from "../make/tensors.js";
import { type ConvertManifest, filesOf, sourceOf } from "../manifest/manifest.js";
import { writeManifest } from "../manifest/write.js";
import type { ExtraFile } from "../output/staging.js";
import { DEFAULTS } from "../plan/defaults.js";
import type { Plan } from "../plan/plan.js";
import { planConvert } from "../plan/plan-convert.js";
import { withHub } from "../run/inputs.js";

const GENERATION_CONFIG = "generation_config.json";

export interface ConvertOptions extends Omit<MakingOptions, "invFreq" | "rows" | "ignore"> {
  /** Meta's directory, with params.json and consolidated.NN.pth, or the name of a Hub repository with that layout. */
  readonly source: string;
  /** The folder for the model. */
  readonly output: string;
  /** The dtype of the tensors that are written; by default each keeps the one it is stored in. */
  readonly dtype?: "F32" | "F16" | "BF16" | null;
}

export interface ConvertReport extends Omit<MakingReport, "newRows"> {
  /** The dtypes that are written, as config.json spells them: "float16". */
  readonly dtype: string;
  /** "planned": a dry run. "verified": the output was complete already. */
  readonly outcome: "converted" | "planned" | "verified";
  readonly tensors: ConvertManifest["tensors"];
  /** How many finite values of a tensor the output dtype cannot hold; only tensors that have some. */
  readonly overflow: ReadonlyMap<string, number>;
}

/** Converts Meta's files. @throws {WeightDiffError} with any code of errors.ts; FORMAT_UNSUPPORTED if the source is not in Meta's layout. */
export async function convert(options: ConvertOptions): Promise<ConvertReport> {
  return withHub(options, convertWith);
}

async function convertWith(options: ConvertOptions & { readonly hub: Hub }): Promise<ConvertReport> {
  const started = performance.now();
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
  return make(convertRecipe({ started, model, config, plan, dtype, tokenizer }, options), options);
}

interface ConvertFacts {
  readonly started: number;
  readonly model: Checkpoint;
  readonly config: ModelConfig | null;
  readonly plan: Plan;
  /** The output's dtype, as config.json spells it. */
  readonly dtype: string;
  readonly tokenizer: MetaTokenizer | null;
}

function convertRecipe(facts: ConvertFacts, options: ConvertOptions): Recipe<FinishedTensors, ConvertReport> {
  const { started, model, config, plan, dtype, tokenizer } = facts;
  const made = { operation: "convert", dtype, raw: sourceOf(model) } as const;
  return {
    ...tensorRecipe(plan, { raw: model, driver: model, apart: [TOKENIZER] }, made, options),
    started,
    output: options.output,
    identity: { "the command": "convert", "the dtype": dtype },
    tell({ side }) {
      if (side.left.length > 0) {
        options.onNote?.(`not copied: ${side.left.map(printable).join(", ")}`);
      }
    },
    async compose(run, _, destination) {
      const small = smallFiles(plan, config, destination);
      const has = (file: string): boolean => small.some((extra) => extra.file === file);
      const extras: readonly ExtraFile[] = [
        ...small,
        ...(has(GENERATION_CONFIG) ? [] : [{ file: GENERATION_CONFIG, text: generationConfigText(plan.vocabSize) }]),
        ...(tokenizer?.files ?? []).filter(({ file }) => !has(file)),
      ];
      const tensors = writtenTensors(plan, run);
      const manifest = () => writeManifest({ scheme: plan.scheme, ...made, tensors, files: filesOf(plan) });
      return { extras, manifest };
    },
    conclude(end) {
      const { files, records } = plannedFiles(plan);
      const report = { files, records, ...end.figures, output: end.output, dtype };
      if (end.outcome === "planned" || end.outcome === "verified") {
        const tensors = end.outcome === "verified" ? end.finished : [];
        return { ...report, outcome: end.outcome, tensors, overflow: new Map() };
      }
      const overflow = overflowOf(plan, end.run);
      warnOverflow(overflow, dtype, options);
      return { ...report, outcome: "converted", tensors: writtenTensors(plan, end.run), overflow };
    },
  };
}

function tellTokenizer(tokenizer: MetaTokenizer | null, source: string, say: Say): void {
  if (tokenizer === null) {
    say(`no ${TOKENIZER} in ${source} or beside it: copy it into the output yourself`);
  } else if (!tokenizer.sentencepiece) {
    say(
      `${TOKENIZER} is not sentencepiece's, as LLaMA's and Llama 2's are: take the publisher's tokenizer.json and tokenizer_config.json for it`,
    );
  }
}

function tellPlan(plan: Plan, dtype: string, wanted: ConvertOptions["dtype"], say: Say): void {
  for (const note of plan.notes) {
    say(...note);
  }
  const rounded = [
    ...new Set(
      plan.jobs.flatMap((job) =>
        job.kind === "tensor" && job.rule === "convert" ? [operandDtype(job.start.operand)] : [],
      ),
    ),
  ];
  if (rounded.length > 0 && wanted !== "F32") {
    say(`${rounded.map(torchText).join(" and ")} values are rounded once to ${dtype}`);
  }
}

/** @throws {WeightDiffError} FORMAT_UNSUPPORTED; NOT_FOUND without params.json, since the config needs values that nothing else has. */
function refuseUnconvertible({ unconvertible }: Checkpoint): void {
  if (unconvertible !== null) {
    const { code, fact, hint, file } = unconvertible;
    throw new WeightDiffError(code, fact, hint, { at: { file } });
  }
}

function torchText(dtype: Dtype): string {
  return torchName(dtype) ?? dtype;
}

/** The dtypes of the output, in words. */
function dtypeText(plan: Plan): string {
  const dtypes = plan.jobs.flatMap((job) => (job.kind === "tensor" ? [job.dtype] : []));
  return [...new Set(dtypes)].map(torchText).join(" and ");
}
