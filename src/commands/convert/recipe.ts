/** convert's recipe for the run: the small files and the manifest that it writes, and its report. */
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import type { ModelConfig } from "../../checkpoint/config.js";
import { generationConfigText } from "../../checkpoint/layouts/meta/config.js";
import { type MetaTokenizer, TOKENIZER } from "../../checkpoint/meta-tokenizer.js";
import { printable } from "../../formats/quote.js";
import { overflowOf, warnOverflow, writtenTensors } from "../../make/outcome.js";
import type { Recipe } from "../../make/recipe.js";
import { askedRun } from "../../make/request.js";
import { dividedWork, type FinishedTensors, plannedFiles, smallFiles, tensorRecipe } from "../../make/tensors.js";
import { filesOf, sourceOf } from "../../manifest/manifest.js";
import { writeManifest } from "../../manifest/write.js";
import type { ExtraFile } from "../../output/staging.js";
import type { Plan } from "../../plan/plan.js";
import type { ConvertOptions, ConvertReport } from "./options.js";

const GENERATION_CONFIG = "generation_config.json";

/** What convert knows after planning. */
interface ConvertFacts {
  readonly started: number;
  readonly model: Checkpoint;
  readonly config: ModelConfig | null;
  readonly plan: Plan;
  /** The dtype of the output, spelled as in config.json. */
  readonly dtype: string;
  readonly tokenizer: MetaTokenizer | null;
}

export function convertRecipe(facts: ConvertFacts, options: ConvertOptions): Recipe<FinishedTensors, ConvertReport> {
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
    asked: () => askedRun("convert", options),
    async compose(run, _, destination) {
      const small = smallFiles(plan, config, destination);
      const has = (file: string): boolean => small.some((extra) => extra.file === file);
      const extras: readonly ExtraFile[] = [
        ...small,
        ...(has(GENERATION_CONFIG) ? [] : [{ file: GENERATION_CONFIG, text: generationConfigText(plan.vocabSize) }]),
        ...(tokenizer?.files ?? []).filter(({ file }) => !has(file)),
      ];
      const tensors = writtenTensors(plan, run);
      const manifest = () => writeManifest({ scheme: plan.scheme, ...made, tensors, files: filesOf(plan, run.sha256) });
      return { extras, manifest };
    },
    conclude(end) {
      const { files, records } = plannedFiles(plan);
      const report = { files, records, ...dividedWork(end), ...end.figures, output: end.output, dtype };
      if (end.outcome === "planned" || end.outcome === "verified" || end.outcome === "part") {
        const tensors = end.outcome === "verified" ? end.finished : [];
        return { ...report, outcome: end.outcome, tensors, overflow: new Map() };
      }
      const overflow = overflowOf(plan, end.run);
      warnOverflow(overflow, dtype, options);
      return { ...report, outcome: "converted", tensors: writtenTensors(plan, end.run), overflow };
    },
  };
}
