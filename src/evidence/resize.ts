/**
 * Scripts that call resize_token_embeddings(len(tokenizer)) before they add: where the base has rows that its tokenizer has no token
 * for, they cut them off, and some put something else into the last ones. Told by the tokenizers' files (checkpoint/token-count.ts);
 * where those do not tell, or the script would refuse the pair, the base stays as it is.
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
  /** The scheme as it is with this base. */
  readonly scheme: Scheme;
  /** Rows of its embeddings that are left; null if nothing was cut. */
  readonly kept: number | null;
  /** What was done, for the user. */
  readonly note: string | null;
}

type Models = Pick<Inputs, "raw" | "diff" | "rawConfig" | "diffConfig">;

/** The base's table of embeddings once the script has resized it. */
interface Table {
  /** Rows in the base's files, and in the script. */
  readonly has: number;
  readonly total: number;
  /** The first rows, which are the base's own as far as it has them. */
  readonly kept: number;
  /** Tokens of the tokenizer, and those that the script adds to it. */
  readonly tokens: number;
  readonly added: number;
  /** The script draws rows that the base lacks at random, and some of them are not filled afterwards. */
  readonly drawn: number;
}

/** The scheme by whose script an additive diff can be recovered. */
const WEIGHT_DIFF = familyNamed("open-instruct").scheme;
const EXACT = familyNamed("exact").scheme;

/**
 * The base as the scheme's script has it before it adds.
 * @param rows the rule for new ones. @throws {WeightDiffError} IO.
 */
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

/** Null where the tokenizer's files do not tell. @throws {WeightDiffError} IO. */
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
    return null; // no mean of nothing
  }
  // Without a token to add, FastChat's first script sets the rows from -0 on to zero: all of them.
  const kept = !overwrites ? Math.min(has, total) : filled === 0 && rows === "zero" ? 0 : total - filled;
  return { has, total, kept, tokens: count.tokens, added, drawn: Math.max(0, kept - has) };
}

/** Where its base still has another number of rows, the script leaves the diff's tensors as they are. */
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
 * Will weight_diff.py have as many rows in the base as the diff has, and none drawn at random? Null where the base's tokenizer does
 * not tell. @throws {WeightDiffError} IO.
 */
export async function fitsWeightDiff(inputs: Models): Promise<boolean | null> {
  const { resize, newRows } = WEIGHT_DIFF;
  const wants = vocabularyRows(inputs.diff);
  const table = resize === undefined || wants === null ? null : await tableOf(inputs, resize, newRows);
  return table === null ? null : table.total === wants && table.drawn === 0;
}

/**
 * The base that make-diff takes off: for an additive diff as the scripts' recover will have it, for an exact one without the rows that
 * the tuned model does not have, if its tokenizer has no tokens for them. @throws {WeightDiffError} IO.
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

/** The base without the rows that an exact diff, which says itself what it is, does not have. */
export function cutForExact(inputs: Pick<Inputs, "raw" | "diff">, scheme: Scheme): ResizedBase {
  return cutToFewer(inputs, scheme, "was");
}

function cutToFewer({ raw, diff }: Pick<Inputs, "raw" | "diff">, scheme: Scheme, made: "is" | "was"): ResizedBase {
  const [has, wants] = [vocabularyRows(raw), vocabularyRows(diff)];
  return has === null || wants === null || wants >= has
    ? { raw, scheme, kept: null, note: null }
    : cutTo({ raw, scheme }, { has, total: wants, kept: wants }, made);
}

/** A base with more rows than the diff fits the schemes that cut it, and no other. @throws {WeightDiffError} IO. */
export async function cutToDiff(inputs: Inputs): Promise<Checkpoint> {
  const larger = (vocabularyRows(inputs.raw) ?? 0) > (vocabularyRows(inputs.diff) ?? 0);
  return larger ? (await resizeBase(inputs, WEIGHT_DIFF)).raw : inputs.raw;
}

/** The base as a diff of make-diff had it, which says so itself. */
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
