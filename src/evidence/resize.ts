/**
 * Scripts that call resize_token_embeddings(len(tokenizer)) before they add. If the base has rows for which its tokenizer has no token, the
 * scripts cut these rows off, and some put other values into the last rows. The tokenizer files tell (checkpoint/token-count.ts). If they
 * do not, or if the script would refuse the pair, the base stays unchanged.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { countTokens } from "../checkpoint/token-count.js";
import { EMBEDDING, INPUT_EMBEDDING } from "../known/embeddings.js";
import type { AdditiveRecord, Encoding } from "../plan/exact.js";
import { hasVocabularyRows, resizedRows, withRows } from "../plan/resize.js";
import type { NewRows, Resize, Scheme } from "../scheme/axes.js";
import { familyNamed } from "../scheme/families.js";
import type { Inputs } from "./guards.js";

export interface ResizedBase {
  readonly raw: Checkpoint;
  /** The scheme, adapted to this base. */
  readonly scheme: Scheme;
  /** Rows of its embeddings that were kept; null if nothing was cut. */
  readonly kept: number | null;
  /** A note for the user about what was done. */
  readonly note: string | null;
}

type Models = Pick<Inputs, "raw" | "diff" | "rawConfig" | "diffConfig">;

/** The base's embedding after the script has resized it. */
interface Table {
  /** Rows in the base's files, and after resizing. */
  readonly has: number;
  readonly total: number;
  /** The number of leading rows that stay the base's. */
  readonly kept: number;
  /** Tokens of the tokenizer, and tokens that the script adds to it. */
  readonly tokens: number;
  readonly added: number;
  /** Rows that the script draws at random, since the base lacks them, and does not fill afterwards. */
  readonly drawn: number;
}

/** The scheme whose script recovers additive diffs. */
const WEIGHT_DIFF = familyNamed("open-instruct").scheme;
const EXACT = familyNamed("exact").scheme;

/** The base as the scheme's script has it before it adds. @param rows the rule for new rows. @throws {WeightDiffError} IO. */
export async function resizeBase(
  inputs: Models,
  scheme: Scheme,
  rows: NewRows | "verbatim" = scheme.newRows,
): Promise<ResizedBase> {
  const { raw, diff } = inputs;
  const { resize } = scheme;
  const wants = vocabularyRows(diff);
  const table = resize === undefined || wants === null ? null : await tableOf(inputs, resize, rows);
  const asItIs = { raw, scheme, kept: null, note: null };
  if (resize === undefined || wants === null || table === null) {
    return asItIs;
  }
  const { has, total, kept } = table;
  if (total !== wants) {
    return scheme.elseVerbatim === undefined ? asItIs : { ...asItIs, ...leftAlone(scheme, diff, table, wants) };
  }
  const grown = { ...scheme, elseVerbatim: { unlessNewRows: Math.max(0, wants - has) } };
  const known = scheme.elseVerbatim === undefined ? scheme : grown;
  const cut = kept < has ? withRows(raw, resizedRows(has, total, kept)) : null;
  return cut === null
    ? { ...asItIs, scheme: known, note: table.drawn > 0 ? drawnText(resize, table, rows) : null }
    : { raw: cut, scheme: known, kept, note: noteOf(resize, table, rows) };
}

/** Null if the tokenizer's files do not tell. @throws {WeightDiffError} IO. */
async function tableOf(
  { raw, diff, rawConfig, diffConfig }: Models,
  { of, tokens, unlessPadded, overwrites }: Resize,
  rows: NewRows | "verbatim",
): Promise<Table | null> {
  const has = vocabularyRows(raw);
  const [directory, config] = of === "raw" ? [raw.directory, rawConfig] : [diff.directory, diffConfig];
  const count = has === null ? null : await countTokens(directory, config?.modelType ?? null, tokens);
  if (has === null || count === null || (unlessPadded && count.padding === null)) {
    return null;
  }
  if (unlessPadded && count.padding === true) {
    return { has, total: has, kept: has, tokens: count.tokens, added: 0, drawn: 0 };
  }
  const added = of === "raw" ? tokens.filter((token) => !count.knows(token)).length : 0;
  const total = count.tokens + added;
  const filled = of === "raw" ? added : tokens.length;
  if (count.tokens === 0 || total <= filled) {
    return null; // there are no rows to take the mean of
  }
  // If no token is added, FastChat's first script sets rows[-0:] to zero, which is all of them.
  const kept = !overwrites ? Math.min(has, total) : filled === 0 && rows === "zero" ? 0 : total - filled;
  return { has, total, kept, tokens: count.tokens, added, drawn: Math.max(0, kept - has) };
}

/** If its base then has another number of rows than the diff, the script leaves the diff's tensors unchanged. */
function leftAlone(
  scheme: Scheme,
  diff: Checkpoint,
  { total }: Table,
  wants: number,
): Pick<ResizedBase, "scheme" | "note"> {
  const names = [...diff.stateDict].flatMap(([name, { shape }]) => (hasVocabularyRows(name, shape) ? [name] : []));
  return {
    scheme: { ...scheme, verbatim: [...scheme.verbatim, ...names] },
    note: `in the script the base has ${total} vocabulary rows and the diff ${wants}: it leaves the diff's embeddings as they are`,
  };
}

/**
 * After resizing in weight_diff.py, will the base have as many rows as the diff, with none drawn at random? Null if the base's tokenizer
 * does not tell.
 * @throws {WeightDiffError} IO.
 */
export async function fitsWeightDiff(inputs: Models): Promise<boolean | null> {
  const { resize, newRows } = WEIGHT_DIFF;
  const wants = vocabularyRows(inputs.diff);
  const table = resize === undefined || wants === null ? null : await tableOf(inputs, resize, newRows);
  return table === null ? null : table.total === wants && table.drawn === 0;
}

/**
 * The base that make-diff subtracts. For an additive diff, it is the base as the scripts' recover will have it. For an exact diff, it lacks
 * the rows that the tuned model lacks, if the base's tokenizer has no tokens for them.
 * @throws {WeightDiffError} IO.
 */
export async function resizeForDiff(inputs: Models, encoding: Encoding): Promise<ResizedBase> {
  if (encoding === "additive") {
    return resizeBase(inputs, WEIGHT_DIFF);
  }
  const { raw, diff: tuned, rawConfig } = inputs;
  const count = await countTokens(raw.directory, rawConfig?.modelType ?? null, []);
  const known = count !== null && count.tokens <= (vocabularyRows(tuned) ?? 0);
  return known ? cutToFewer(inputs, EXACT, "is") : { raw, scheme: EXACT, kept: null, note: null };
}

/** For an exact diff: the base without the rows that the diff does not have. */
export function cutForExact(inputs: Pick<Inputs, "raw" | "diff">, scheme: Scheme): ResizedBase {
  return cutToFewer(inputs, scheme, "was");
}

function cutToFewer({ raw, diff }: Pick<Inputs, "raw" | "diff">, scheme: Scheme, made: "is" | "was"): ResizedBase {
  const [has, wants] = [vocabularyRows(raw), vocabularyRows(diff)];
  return has === null || wants === null || wants >= has
    ? { raw, scheme, kept: null, note: null }
    : cutTo({ raw, scheme }, { has, total: wants, kept: wants }, made);
}

/** If the base has more rows than the diff, only schemes that cut them fit. @throws {WeightDiffError} IO. */
export async function cutToDiff(inputs: Inputs): Promise<Checkpoint> {
  const larger = (vocabularyRows(inputs.raw) ?? 0) > (vocabularyRows(inputs.diff) ?? 0);
  return larger ? (await resizeBase(inputs, WEIGHT_DIFF)).raw : inputs.raw;
}

/** The base as it was when make-diff made the diff, which states how. */
export function resizeAsMade(
  { raw, diff }: Pick<Inputs, "raw" | "diff">,
  scheme: Scheme,
  record: AdditiveRecord,
): ResizedBase {
  const [has, total] = [vocabularyRows(raw), vocabularyRows(diff)];
  const kept = [...record.values()].flatMap((tensor) => (tensor.rule === "base" ? (tensor.rows ?? []) : []))[0] ?? null;
  return has === null || total === null || kept === null || kept >= has
    ? { raw, scheme, kept: null, note: null }
    : cutTo({ raw, scheme }, { has, total, kept }, "was");
}

function cutTo(
  { raw, scheme }: Pick<ResizedBase, "raw" | "scheme">,
  { has, total, kept }: Pick<Table, "has" | "total" | "kept">,
  made: "is" | "was",
): ResizedBase {
  const cut = withRows(raw, resizedRows(has, total, kept));
  return cut === null
    ? { raw, scheme, kept: null, note: null }
    : {
        raw: cut,
        scheme,
        kept,
        note: `the diff ${made} made with the first ${kept} of the base's ${has} vocabulary rows`,
      };
}

function noteOf(resize: Resize, table: Table, rows: NewRows | "verbatim"): string {
  const { has, total, kept } = table;
  const cut = has > total ? `the base's ${has} rows are cut to ${total}` : `the base has ${has} rows`;
  const own = Math.min(has, total) - kept;
  const filling = rows === "mean" ? `the mean of the ${kept} before` : "zeros";
  const last = kept === 0 ? "all of them are" : `its own last ${own === 1 ? "row is" : `${own} rows are`}`;
  const becomes = own === 0 ? "" : `, and ${last} replaced by ${filling}`;
  return `${countText(resize, table)}: as in the script, ${cut}${becomes}`;
}

function drawnText(resize: Resize, table: Table, rows: NewRows | "verbatim"): string {
  const { has, drawn } = table;
  const which = drawn === 1 ? `row ${has}` : `rows ${has} to ${has + drawn - 1}`;
  const here = rows === "mean" ? "the mean of the base's" : "zero";
  return `${countText(resize, table)}, and the base has ${has} rows: the script draws ${which} at random, here ${drawn === 1 ? "it is" : "they are"} ${here}`;
}

function countText({ of }: Resize, { tokens, added }: Table): string {
  const more = added === 0 ? "" : `, and the script adds ${added}`;
  return `the ${of === "raw" ? "base's" : "diff's"} tokenizer has ${tokens} tokens${more}`;
}

/** Rows of the input embedding, or of the head that stands for it. */
function vocabularyRows({ stateDict }: Checkpoint): number | null {
  const found = (pattern: RegExp): number | undefined =>
    [...stateDict].find(([name]) => pattern.test(name))?.[1].shape[0];
  return found(INPUT_EMBEDDING) ?? found(EMBEDDING) ?? null;
}
