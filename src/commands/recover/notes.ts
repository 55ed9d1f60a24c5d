/** What recover tells the user before it starts: about the scheme, the plan, and the small files. */
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import type { ModelConfig } from "../../checkpoint/config.js";
import { rowsKept } from "../../evidence/added-tokens.js";
import { unlikeRows } from "../../evidence/vocabulary-rows.js";
import { printable } from "../../formats/quote.js";
import { isVocabularyBias } from "../../known/embeddings.js";
import type { Destination } from "../../make/destination.js";
import { tellSmallFiles } from "../../make/side-notes.js";
import { mostNewRows } from "../../make/tensors.js";
import type { Plan } from "../../plan/plan.js";
import type { Scheme } from "../../scheme/axes.js";
import type { RecoverOptions } from "./options.js";

/** Tells about the plan. @param rows the rule for new rows, the user's or the scheme's. @throws {WeightDiffError} as rowsKept. */
export async function tellPlan(
  plan: Plan,
  raw: Checkpoint,
  diff: Checkpoint,
  { mends }: Scheme,
  rows: Scheme["newRows"],
  { onNote: say = () => {}, onWarning: warn = () => {} }: Pick<RecoverOptions, "onNote" | "onWarning">,
): Promise<void> {
  for (const note of plan.notes) {
    say(...note);
  }
  if (mends !== null) {
    say(mends);
  }
  for (const [name, count] of plan.newRows) {
    say(`${printable(name)}: ${newRowsText(rows, plan, name, count)}`);
  }
  const unlike = unlikeRows(raw, plan, "result");
  if (unlike !== null) {
    warn(unlike);
  }
  const kept = plan.newRows.size === 0 ? await rowsKept(raw, diff) : null;
  if (kept !== null) {
    say(kept);
  }
}

/** Tells about small files that are copied or missing. */
export function tellDestination(
  destination: Destination,
  plan: Plan,
  diffConfig: ModelConfig | null,
  options: RecoverOptions,
): void {
  tellSmallFiles(destination, "the diff", mostNewRows(plan), options);
  if (diffConfig === null) {
    options.onNote?.(
      `the diff has no config.json, so none is written. Loaders need one: take the base's, with the vocab_size ${plan.vocabSize ?? "of the diff"}`,
    );
  }
}

function newRowsText(rule: Scheme["newRows"], plan: Plan, name: string, rows: number): string {
  const shape = shapeOf(plan, name);
  const isBias = isVocabularyBias(name, shape);
  const what = `${rows} new ${isBias ? "value" : "row"}${rows === 1 ? "" : "s"}`;
  return rule === "mean" && !isBias
    ? `${what} = the diff's + the mean of the base's ${(shape[0] ?? 0) - rows}`
    : `${what} as the diff has ${rows === 1 ? "it" : "them"}`;
}

/** The shape of a written tensor, or of one that only counts in the sum. */
function shapeOf({ jobs }: Plan, name: string): readonly number[] {
  const job = jobs.find((each) => each.kind === "tensor" && each.name === name);
  return job?.kind === "tensor" ? job.shape : [];
}
