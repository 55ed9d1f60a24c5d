/**
 * make-diff: tuned - base -> a diff that can be published. Applies the diff again while it is made, so its maker knows what recover will
 * give. The manifest tells everybody who recovers it what the base and the result must be.
 */
import { readPrivateKey } from "../check/signature/keys.js";
import { signFolder } from "../check/signature.js";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import { guardModels, type Inputs } from "../evidence/guards.js";
import { fitsWeightDiff, resizeForDiff } from "../evidence/resize.js";
import { unlikeRows } from "../evidence/vocabulary-rows.js";
import { printable } from "../formats/quote.js";
import type { Hub } from "../hub/place.js";
import { make } from "../make/make.js";
import { openPair, planOptionsOf } from "../make/open.js";
import type { Gathering } from "../make/recipe.js";
import { optionsFor } from "../make/stream-options.js";
import { DEFAULTS } from "../plan/defaults.js";
import type { Encoding } from "../plan/exact.js";
import type { Plan } from "../plan/plan.js";
import { type DiffPlanOptions, planDiff } from "../plan/plan-diff.js";
import { withHub } from "../run/inputs.js";
import type { MakeDiffOptions, MakeDiffReport } from "./make-diff/options.js";
import { makeDiffRecipe } from "./make-diff/recipe.js";

export type { MakeDiffOptions, MakeDiffReport } from "./make-diff/options.js";

/**
 * Makes the diff.
 * @param gathering the parts to put together, if they are already made.
 * @throws {WeightDiffError} with any code of errors.ts.
 */
export async function makeDiff(options: MakeDiffOptions, gathering: Gathering | null = null): Promise<MakeDiffReport> {
  return withHub(options, (opened) => makeDiffWith(opened, gathering));
}

async function makeDiffWith(
  asked: MakeDiffOptions & { readonly hub: Hub },
  gathering: Gathering | null,
): Promise<MakeDiffReport> {
  const started = performance.now();
  const options = optionsFor(asked, asked.diff);
  // A key that cannot sign is refused before an hour's work.
  const key = options.signKey == null ? null : await readPrivateKey(options.signKey);
  const encoding = encodingAsked(options);
  const opened = await openPair(options.raw, options.tuned, "tuned model", options.hub);
  await guardModels(opened, options);
  const { raw, kept, note } = await resizeForDiff(opened, encoding);
  if (note !== null) {
    options.onNote?.(note);
  }
  const inputs = { ...opened, raw };
  const plan = planDiff(raw, inputs.diff, { ...planOptions(encoding, inputs, options), keptRows: kept });
  const fits = encoding === "additive" ? await fitsWeightDiff(opened) : null;
  tellPlan(plan, encoding, raw, options);
  const report = await make(makeDiffRecipe({ started, inputs, encoding, plan, fits }, options), options, gathering);
  return key === null || report.output === null || report.outcome === "planned" || report.outcome === "part"
    ? report
    : { ...report, signature: await signFolder(report.output, key, options) };
}

/** @throws {WeightDiffError} USAGE if an additive diff is to be compressed. */
function encodingAsked({ encoding, compress = false }: MakeDiffOptions): Encoding {
  if (compress && encoding === "additive") {
    throw new WeightDiffError("USAGE", "an additive diff cannot be compressed: only bit patterns can", undefined, {
      advice: [{ to: "make an exact one", option: "encoding", value: "exact" }],
    });
  }
  return compress ? "compressed" : (encoding ?? DEFAULTS.encoding);
}

function planOptions(encoding: Encoding, inputs: Inputs, options: MakeDiffOptions): DiffPlanOptions {
  return {
    ...planOptionsOf(inputs, options),
    encoding,
    tunedTied: inputs.diffTied ?? null,
  };
}

function tellPlan(
  plan: Plan,
  encoding: Encoding,
  raw: Checkpoint,
  { onNote: say = () => {}, onWarning: warn = () => {} }: MakeDiffOptions,
): void {
  for (const note of plan.notes) {
    say(...note);
  }
  for (const [name, rows] of plan.newRows) {
    say(
      `${printable(name)}: ${rows} new ${rows === 1 ? "row" : "rows"} ${encoding !== "additive" ? `as ${rows === 1 ? "it is" : "they are"}` : "- the mean of the base's"}`,
    );
  }
  const unlike = unlikeRows(raw, plan, "fine-tuned model");
  if (unlike !== null) {
    warn(unlike);
  }
}
