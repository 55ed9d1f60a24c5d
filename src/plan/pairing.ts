/**
 * Which tensor of raw goes with which of the state dict that drives (the diff's in recover, the tuned model's in make-diff),
 * and by which rule. Every name and shape that does not fit is listed at once (DESIGN 4).
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Term } from "../engine/job/job.js";
import { isFloatDtype } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import type { Shape } from "../formats/tensor-info.js";
import { isComputedBuffer, isUnused } from "../known/buffers.js";
import { doesWithoutHead, isHead } from "../known/heads.js";
import { mismatchError, sideName } from "./mismatch.js";
import { copied, inOrder, LAST_NORM, lackOf } from "./one-sided.js";
import {
  type Decision,
  INV_FREQ,
  type NameRules,
  type Outcome,
  type Pair,
  type PairingOptions,
  type Step,
  UNKNOWN_MODELS,
} from "./pair.js";
import { stepNotes } from "./steps.js";

/** Input and output embeddings of the families: the only tensors that may have new rows. */
export const EMBEDDING = /(^|\.)(embed_tokens|lm_head|embed_in|embed_out|wte|word_embeddings)\.weight$/;
export const INPUT_EMBEDDING = /(^|\.)(embed_tokens|embed_in|wte|word_embeddings)\.weight$/;
const OUTPUT_EMBEDDING = /(^|\.)(lm_head|embed_out)\.weight$/;
/** A running mean keeps four floats per column: 4 MiB here. The widest published embedding has 12288 columns. */
const MAX_MEAN_COLUMNS = 1 << 18;

/** How many vocabulary rows the driver has and raw lacks, at most over all embeddings; 0 if none. */
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

/**
 * Pairs every tensor of `driver`, in its order.
 * @returns the pairs, and what a user should know, one sentence each.
 * @throws {WeightDiffError} MISMATCH listing every name and shape that does not fit.
 */
export function pairTensors(
  raw: Checkpoint,
  driver: Checkpoint,
  options: PairingOptions,
): { readonly pairs: readonly Pair[]; readonly notes: readonly string[] } {
  const embedding = [...raw.stateDict].find(([name]) => INPUT_EMBEDDING.test(name))?.[1];
  const base = { ...raw, embedding, lacks: lackOf(raw, [INPUT_EMBEDDING, OUTPUT_EMBEDDING, LAST_NORM]) };
  const outcomes = [
    ...[...inOrder(raw, driver, options)].map(([name, tensor]) =>
      tensor === null ? copied(name, raw, options) : pairTensor(name, tensor, base, options),
    ),
    ...baseOnly(raw, driver, embedding, options),
  ];
  const mismatches = outcomes.filter((outcome) => outcome.kind === "mismatch");
  if (mismatches.length > 0) {
    throw mismatchError(raw, driver, mismatches, options);
  }
  const steps = outcomes.flatMap((outcome) => (outcome.kind !== "mismatch" && outcome.step ? [outcome.step] : []));
  return {
    pairs: outcomes.flatMap((outcome) => (outcome.kind === "paired" ? [outcome.pair] : [])),
    notes: stepNotes(steps, options.role),
  };
}

interface Base extends Pick<Checkpoint, "stateDict"> {
  /** The input embedding. */
  readonly embedding: StoredTensor | undefined;
  /** Would it have a tensor of this name, if it were whole? */
  lacks(name: string): boolean;
}

function pairTensor(name: string, driver: StoredTensor, raw: Base, options: PairingOptions): Outcome {
  const { names } = options;
  const side = sideName(options.role);
  const rawName = names === undefined ? name : names.rawName(name);
  if (rawName === null && names !== undefined) {
    return kept(name, driver, names, { kind: "kept", name });
  }
  const stored = raw.stateDict.get(rawName ?? name);
  // The output embedding of a base that ties it is its input embedding. An explicit "not tied" is believed.
  const tied =
    stored === undefined && OUTPUT_EMBEDDING.test(name) && options.rawTied !== false ? raw.embedding : undefined;
  const base = stored ?? tied;
  const decided = options.decide(name, driver, base ?? null);
  if (base === undefined) {
    return decided === null
      ? driverOnly(name, driver, raw, options)
      : { kind: "paired", pair: { name, ...decided, driver, raw: null, mean: null } };
  }
  // Kept by itself where the encoding can.
  if (isUnlike(name, driver, base, decided, options)) {
    const alone = options.decide(name, driver, null);
    return alone === null
      ? { kind: "left out", step: { kind: "buffer unlike the base's", name } }
      : { kind: "paired", pair: { name, ...alone, driver, raw: null, mean: null } };
  }
  if (decided === null) {
    return {
      kind: "mismatch",
      of: "dtypes",
      problem: `${quote(name)}: ${base.dtype} in the base (${base.shard.file}) and ${driver.dtype} in the ${side} (${driver.shard.file}): no arithmetic between these`,
    };
  }
  const summed = names?.isSummed(name) !== false;
  const pair = { name, ...decided, driver, raw: { kind: "stored", tensor: base } as const };
  const step = tied !== undefined && summed ? { step: { kind: "tied", name, raw: tied.name } as const } : {};
  // A mask that is stored as it is: recover will "or" it with the base's. Any other copy has nothing to do with the base.
  if (!summed || (decided.rule === "copy" && (driver.dtype !== "BOOL" || base.dtype !== "BOOL"))) {
    return { kind: "paired", pair: { ...pair, raw: null, mean: null }, ...step };
  }
  if (sameShape(driver.shape, base.shape)) {
    return { kind: "paired", pair: { ...pair, mean: null }, ...step };
  }
  const [rawShape, driverShape] = [shapeText(base.shape), shapeText(driver.shape)];
  if (options.keepsHeads === true && isHead(name) && !EMBEDDING.test(name)) {
    const step = { kind: "of another shape", name, raw: rawShape, driver: driverShape } as const;
    return { kind: "paired", pair: asItIs(name, driver), step };
  }
  const wanted = names?.elseVerbatim ?? null;
  if (names !== undefined && wanted !== null && !isGrown(name, driver, base, wanted)) {
    return kept(name, driver, names, { kind: "of another shape", name, raw: rawShape, driver: driverShape });
  }
  const rows = newRowsOf(name, driver, base, options);
  if (typeof rows !== "string" && takesNewRows(decided)) {
    const isMean = decided.blend === undefined ? isPlainSum(decided) : decided.blend.rows === "mean";
    return { kind: "paired", pair: { ...pair, mean: isMean ? rows : null }, ...step };
  }
  return {
    kind: "mismatch",
    of: isGrown(name, driver, base) ? "new rows" : "shapes",
    problem: `${quote(name)}: ${rawShape} in the base (${base.shard.file}), ${driverShape} in the ${side} (${driver.shard.file})${typeof rows === "string" ? rows : ""}`,
  };
}

/** Plain sums and differences of floats: their new rows have to do with the mean of raw's. */
function isPlainSum({ rule }: Decision): boolean {
  return rule === "add" || rule === "subtract";
}

/** Is there a rule for rows that only the driver has? */
function takesNewRows(decision: Decision): boolean {
  const { rule, blend } = decision;
  return isPlainSum(decision) || blend !== undefined || rule === "add-bits" || rule === "subtract-bits";
}

/** The driver's tensor as it is. */
function kept(name: string, driver: StoredTensor, names: NameRules, step: Step): Outcome {
  return { kind: "paired", pair: { name, ...names.keep(name, driver), driver, raw: null, mean: null }, step };
}

/** The driver's bytes, which have nothing to do with the base. */
function asItIs(name: string, driver: StoredTensor): Pair {
  return { name, rule: "copy", dtype: driver.dtype, driver, raw: null, mean: null };
}

/** Buffers that only the driver has are computed or left out; anything else is a problem. */
function driverOnly(name: string, driver: StoredTensor, raw: Base, options: PairingOptions): Outcome {
  const { names } = options;
  const side = sideName(options.role);
  if (INV_FREQ.test(name) && driver.shape.length === 1 && isFloatDtype(driver.dtype)) {
    const decided = options.decide(name, driver, driver);
    const operand = { kind: "inv-freq", count: driver.shape[0] ?? 0, theta: options.ropeTheta } as const;
    if (decided === null) {
      return { kind: "left out" };
    }
    // What the model computes for itself is not rounded: it was never loaded.
    const blend = decided.blend === undefined ? {} : { blend: { ...decided.blend, operands: "F32" } as const };
    const pair = { name, ...decided, ...blend, driver, raw: { kind: "computed", operand }, mean: null } as const;
    return { kind: "paired", pair };
  }
  if (isComputedBuffer(name, driver, options.models?.modelType ?? null)) {
    return { kind: "left out", step: { kind: "buffer of the driver", name } };
  }
  if (options.keepsHeads === true && isHead(name)) {
    return { kind: "paired", pair: asItIs(name, driver), step: { kind: "kept", name } };
  }
  const fate = raw.lacks(names?.rawName(name) ?? name) ? "refuse" : (names?.fate(name) ?? "refuse");
  if (names !== undefined && fate === "keep") {
    return kept(name, driver, names, { kind: "kept", name });
  }
  return fate === "drop"
    ? { kind: "left out", step: { kind: "dropped", name } }
    : {
        kind: "mismatch",
        of: "the driver only",
        problem: `${quote(name)} ${shapeText(driver.shape)} is in the ${side} (${driver.shard.file}) and not in the base`,
      };
}

/** Has the embedding more rows than raw's (if it is said: so many more), and as many columns? */
function isGrown(name: string, { shape }: StoredTensor, raw: StoredTensor, by: number | null = null): boolean {
  const [rows = 0, columns] = raw.shape;
  const more = (shape[0] ?? 0) - rows;
  return (
    EMBEDDING.test(name) &&
    shape.length === 2 &&
    raw.shape.length === 2 &&
    shape[1] === columns &&
    (by === null ? more > 0 : more === by)
  );
}

/** A computed buffer of both sides with nothing to add: versions of transformers keep it in other dtypes, or made it for more positions. */
function isUnlike(
  name: string,
  driver: StoredTensor,
  raw: StoredTensor,
  decided: Decision | null,
  { models: { modelType } = UNKNOWN_MODELS }: PairingOptions,
): boolean {
  return (
    (decided === null || (!sameShape(driver.shape, raw.shape) && !INV_FREQ.test(name))) &&
    isComputedBuffer(name, driver, modelType) &&
    isComputedBuffer(name, raw, modelType)
  );
}

/** @returns how many rows of how many columns raw has, or why the driver's further rows are not new tokens. */
function newRowsOf(
  name: string,
  driver: StoredTensor,
  raw: StoredTensor,
  options: PairingOptions,
): NonNullable<Term["mean"]> | string {
  const [rows, columns] = raw.shape;
  const [driverRows, driverColumns] = driver.shape;
  const overlap = options.newRows === "overlap";
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
    rows === 0 ||
    columns === 0 ||
    (overlap ? columns > driverColumns : columns !== driverColumns)
  ) {
    return "";
  }
  if (rows > driverRows) {
    return `: the base has ${rows - driverRows} ${rows - driverRows === 1 ? "row" : "rows"} too many`;
  }
  if (options.newRows === "refuse") {
    const why = options.rowsAsked ? "--rows refuse forbids" : "the scheme does not know";
    return `: ${driverRows - rows} new ${driverRows - rows === 1 ? "row" : "rows"}, which ${why}`;
  }
  if (overlap || options.newRows === "zero") {
    return { rows, columns };
  }
  if (driverRows - rows > options.maxNewRows) {
    return `: ${driverRows - rows} new rows; past ${options.maxNewRows} only with --rows mean`;
  }
  if (columns > MAX_MEAN_COLUMNS) {
    return `: rows of ${columns} values, at most ${MAX_MEAN_COLUMNS} can be averaged`;
  }
  return { rows, columns };
}

/** What only the base has. No script misses buffers, or the output embedding of a tied model. */
function baseOnly(
  raw: Checkpoint,
  driver: Checkpoint,
  embedding: StoredTensor | undefined,
  options: PairingOptions,
): readonly Outcome[] {
  const tied = options.driverTied === true || (options.driverTied === null && options.rawTied === true);
  const { names, models = UNKNOWN_MODELS } = options;
  if (names?.baseOnly === "copy") {
    return [];
  }
  const prefix = names?.prefix ?? "";
  const missing = [...raw.stateDict].filter(
    ([name]) => !driver.stateDict.has(prefix + name) && names?.isSummed(prefix + name) !== false,
  );
  const otherHead = [...driver.stateDict.keys()].some((name) => isHead(name) && !raw.stateDict.has(name));
  return missing.map(([name, tensor]): Outcome => {
    if (isComputedBuffer(name, tensor, models.modelType)) {
      return { kind: "left out", step: { kind: "buffer of the base", name } };
    }
    if (isUnused(name, models.modelType)) {
      return { kind: "left out", step: { kind: "unused", name } };
    }
    if (OUTPUT_EMBEDDING.test(name) && (tied || sameBytes(tensor, embedding))) {
      return { kind: "left out" };
    }
    if (isHead(name) && (otherHead || doesWithoutHead(name, models.raw, models.driver))) {
      return { kind: "left out", step: { kind: "head of the base", name } };
    }
    const sought = prefix === "" ? "" : `, as ${quote(prefix + name)},`;
    return {
      kind: "mismatch",
      of: "the base only",
      problem: `${quote(name)} ${shapeText(tensor.shape)} is in the base (${tensor.shard.file}) and${sought} not in the ${sideName(options.role)}`,
    };
  });
}

/** Are both one stored run of bytes? */
function sameBytes(a: StoredTensor, b: StoredTensor | undefined): boolean {
  return a.shard === b?.shard && a.range.begin === b.range.begin && a.range.end === b.range.end;
}

function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, index) => size === b[index]);
}

/** [32001, 4096], as torch prints a size. */
export function shapeText(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}
