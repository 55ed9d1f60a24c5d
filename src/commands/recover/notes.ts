/** What recover tells the user before it starts: about the scheme, the plan, and the small files. */
import type { Say } from "../../advice.js";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import type { ModelConfig } from "../../checkpoint/config.js";
import { rowsKept } from "../../evidence/added-tokens.js";
import { printable } from "../../formats/quote.js";
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
  say: Say,
): Promise<void> {
  for (const note of plan.notes) {
    say(...note);
  }
  if (mends !== null) {
    say(mends);
  }
  for (const [name, count] of plan.newRows) {
    say(`${printable(name)}: ${count} new ${count === 1 ? "row" : "rows"} ${newRowsText(rows, raw, name, count)}`);
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

function newRowsText(rule: Scheme["newRows"], raw: Checkpoint, name: string, rows: number): string {
  return rule === "mean"
    ? `= the diff's + the mean of the base's ${rawRows(raw, name)}`
    : `as the diff has ${rows === 1 ? "it" : "them"}`;
}

/** Rows of the base's tensor for this one. Its name may have a prefix. */
function rawRows(raw: Checkpoint, name: string): number {
  const found = [...raw.stateDict].find(([own]) => name === own || name.endsWith(`.${own}`));
  return found?.[1].shape[0] ?? 0;
}
