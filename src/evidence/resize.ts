/**
 * Scripts that call resize_token_embeddings(len(tokenizer)) before they add: where the base has rows that its tokenizer has no token
 * for, they cut them off, and some put something else into the last ones. Told by the tokenizers' files (checkpoint/token-count.ts);
 * where those do not tell, or the diff has another number of rows, the base stays as it is.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { countTokens } from "../checkpoint/token-count.js";
import { quote } from "../formats/quote.js";
import { INPUT_EMBEDDING } from "../known/embeddings.js";
import type { AdditiveRecord } from "../plan/exact.js";
import { resizedRows, withRows } from "../plan/resize.js";
import type { NewRows, Resize, Scheme } from "../scheme/axes.js";
import { PADDED } from "../scheme/presets.js";
import type { Inputs } from "./guards.js";

export interface ResizedBase {
  readonly raw: Checkpoint;
  /** Rows of its embeddings that are left, and what was done, for the user; null if nothing was. */
  readonly kept: number | null;
  readonly note: string | null;
}

/**
 * The base as the scheme's script has it before it adds.
 * @param rows the rule for new ones. @throws {WeightDiffError} IO.
 */
export async function resizeBase(
  { raw, diff, rawConfig, diffConfig }: Pick<Inputs, "raw" | "diff" | "rawConfig" | "diffConfig">,
  { resize }: Pick<Scheme, "resize">,
  rows: NewRows | "verbatim",
): Promise<ResizedBase> {
  const [has, wants] = [vocabularyRows(raw), vocabularyRows(diff)];
  const asItIs = { raw, kept: null, note: null };
  if (resize === undefined || has === null || wants === null || has < wants) {
    return asItIs;
  }
  const [directory, config] = resize.of === "raw" ? [raw.directory, rawConfig] : [diff.directory, diffConfig];
  const count = await countTokens(directory, config?.modelType ?? null, resize.tokens);
  if (count === null || (resize.unlessPadded && count.padding !== false)) {
    return asItIs;
  }
  const added = resize.of === "diff" ? resize.tokens : resize.tokens.filter((token) => !count.knows(token));
  const total = count.tokens + (resize.of === "diff" ? 0 : added.length);
  const kept = resize.overwrites ? total - added.length : Math.min(has, total);
  // Without a token to add, FastChat's first script sets all rows to zero.
  if (total !== wants || kept >= has || kept <= 0 || (added.length === 0 && rows === "zero")) {
    return asItIs;
  }
  const cut = withRows(raw, resizedRows(has, total, kept));
  return cut === null ? asItIs : { raw: cut, kept, note: noteOf(resize, { has, total, kept, added, rows }) };
}

/**
 * Will weight_diff.py have as many rows in the base as the diff has, and none drawn at random? Null where the base's tokenizer does
 * not tell. @throws {WeightDiffError} IO.
 */
export async function fitsWeightDiff({
  raw,
  diff,
  rawConfig,
}: Pick<Inputs, "raw" | "diff" | "rawConfig">): Promise<boolean | null> {
  const [has, wants] = [vocabularyRows(raw), vocabularyRows(diff)];
  const count = await countTokens(raw.directory, rawConfig?.modelType ?? null, PADDED.tokens);
  if (has === null || wants === null || count === null || count.padding === null) {
    return null;
  }
  const added = PADDED.tokens.filter((token) => !count.knows(token)).length;
  return count.padding ? has === wants : count.tokens + added === wants && has >= count.tokens;
}

/** A base with more rows than the diff fits the schemes that cut it, and no other. @throws {WeightDiffError} IO. */
export async function cutToDiff(inputs: Inputs): Promise<Checkpoint> {
  const larger = (vocabularyRows(inputs.raw) ?? 0) > (vocabularyRows(inputs.diff) ?? 0);
  return larger ? (await resizeBase(inputs, { resize: PADDED }, "mean")).raw : inputs.raw;
}

/** The base as a diff of make-diff had it, which says so itself. */
export function resizeAsMade({ raw, diff }: Pick<Inputs, "raw" | "diff">, record: AdditiveRecord): ResizedBase {
  const [has, total] = [vocabularyRows(raw), vocabularyRows(diff)];
  const kept = [...record.values()].flatMap((tensor) => (tensor.rule === "base" ? (tensor.rows ?? []) : []))[0] ?? null;
  const cut =
    has === null || total === null || kept === null || kept >= has
      ? null
      : withRows(raw, resizedRows(has, total, kept));
  return cut === null
    ? { raw, kept: null, note: null }
    : { raw: cut, kept, note: `the diff was made with the first ${kept} of the base's ${has} vocabulary rows` };
}

function noteOf(
  { of }: Resize,
  {
    has,
    total,
    kept,
    added,
    rows,
  }: { has: number; total: number; kept: number; added: readonly string[]; rows: NewRows | "verbatim" },
): string {
  const whose = of === "raw" ? "base's" : "diff's";
  const tokens = of === "raw" ? total - added.length : total;
  const more = added.length === 0 || of === "diff" ? "" : `, ${added.map(quote).join(" and ")} added by the script`;
  const cut = has > total ? `the base's ${has} rows are cut to ${total}` : `the base has ${has} rows`;
  const last = total - kept;
  const becomes =
    last === 0
      ? ""
      : `, and its own last ${last === 1 ? "row is" : `${last} rows are`} replaced by ${rows === "mean" ? `the mean of the ${kept} before` : "zeros"}`;
  return `the ${whose} tokenizer has ${tokens} tokens${more}: as in the script, ${cut}${becomes}`;
}

/** Rows of the input embedding. */
function vocabularyRows({ stateDict }: Checkpoint): number | null {
  return [...stateDict].find(([name]) => INPUT_EMBEDDING.test(name))?.[1].shape[0] ?? null;
}
