/**
 * Vocabulary rows that only the driver has: how many there are, and whether the rule of the scheme takes them. Only embeddings gain rows,
 * as tokenizers gain tokens. A script that takes any shape applies one rule to all its matrices.
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Term } from "../engine/job/job.js";
import { EMBEDDING, isVocabularyBias } from "../known/embeddings.js";
import type { PairingOptions } from "./pair.js";

/** A running mean keeps four floats for each column: 4 MiB here. The widest published embedding has 12288 columns. */
const MAX_MEAN_COLUMNS = 1 << 18;

/** How many vocabulary rows the driver has and raw lacks, at most over all embeddings; 0 if there are none. */
export function countNewRows(raw: Checkpoint, driver: Checkpoint): number {
  let most = 0;
  for (const [name, tensor] of driver.stateDict) {
    const [rows, columns] = raw.stateDict.get(name)?.shape ?? [];
    if (rows !== undefined && EMBEDDING.test(name) && tensor.shape.length === 2 && tensor.shape[1] === columns) {
      most = Math.max(most, (tensor.shape[0] ?? 0) - rows);
    }
  }
  return most;
}

/** The rows of a tensor. In a bias of the output head, [V] or [1, V], each value is one. */
export function rowsOf(name: string, { shape }: Pick<StoredTensor, "shape">): number {
  return shape.at(isVocabularyBias(name, shape) ? -1 : 0) ?? 0;
}

/** The rows and columns of a tensor with a row for each token. Null for other tensors. */
function vocabularyOf(name: string, tensor: StoredTensor): NonNullable<Term["mean"]> | null {
  const { shape } = tensor;
  const columns = isVocabularyBias(name, shape) ? 1 : EMBEDDING.test(name) && shape.length === 2 ? shape[1] : undefined;
  return columns === undefined ? null : { rows: rowsOf(name, tensor), columns };
}

/** Has the tensor a row for each token, and more rows than raw's? @param by the exact number of further rows; null for any number. */
export function isGrown(name: string, driver: StoredTensor, raw: StoredTensor, by: number | null = null): boolean {
  const [own, base] = [vocabularyOf(name, driver), vocabularyOf(name, raw)];
  const more = own?.columns === base?.columns ? (own?.rows ?? 0) - (base?.rows ?? 0) : 0;
  return driver.shape.length === raw.shape.length && (by === null ? more > 0 : more === by);
}

/**
 * Does the rule give new values of a head's bias a zero? Scripts that resize the base do so, whatever they put into its embeddings:
 * resize_token_embeddings makes a new bias of zeros (modeling_utils.py 4.28.1, `_get_resized_lm_head`; modeling_bart.py,
 * `_resize_final_logits_bias`).
 */
export function hasZeroBias(rule: PairingOptions["newRows"]): boolean {
  return rule === "mean" || rule === "zero";
}

/**
 * @returns how many rows and columns raw has. If the further rows are refused, the reason in words for the end of a message; "" if they are
 * not new rows.
 */
export function newRowsOf(
  name: string,
  driver: StoredTensor,
  raw: StoredTensor,
  options: PairingOptions,
): NonNullable<Term["mean"]> | string {
  const [rows, columns] = raw.shape;
  const [driverRows, driverColumns] = driver.shape;
  const overlap = options.newRows === "overlap";
  if (isVocabularyBias(name, driver.shape) && isGrown(name, driver, raw) && hasZeroBias(options.newRows)) {
    return { rows: rowsOf(name, raw), columns: 1 };
  }
  if (
    (!EMBEDDING.test(name) && options.names?.anyShape !== true) ||
    raw.shape.length !== 2 ||
    driver.shape.length !== 2
  ) {
    return "";
  }
  if (
    rows === undefined ||
    columns === undefined ||
    driverRows === undefined ||
    driverColumns === undefined ||
    (rows === 0 && options.newRows !== "zero") ||
    columns === 0 ||
    (overlap ? columns > driverColumns : columns !== driverColumns)
  ) {
    return "";
  }
  if (rows > driverRows) {
    return `: the base has ${rows - driverRows} ${rows - driverRows === 1 ? "row" : "rows"} too many`;
  }
  if (options.newRows === "refuse") {
    const why = options.rowsAsked ? "you asked to refuse" : "the scheme does not know";
    return `: ${driverRows - rows} new ${driverRows - rows === 1 ? "row" : "rows"}, which ${why}`;
  }
  if (overlap || options.newRows === "zero") {
    return { rows, columns };
  }
  if (driverRows - rows > options.maxNewRows) {
    return `: ${driverRows - rows} new rows; more than ${options.maxNewRows} must be asked for`;
  }
  if (columns > MAX_MEAN_COLUMNS) {
    return `: rows of ${columns} values, at most ${MAX_MEAN_COLUMNS} can be averaged`;
  }
  return { rows, columns };
}
