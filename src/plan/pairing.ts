/**
 * Pairs each tensor of the driver (the diff in recover, the tuned model in make-diff) with a tensor of raw, and decides the rule. Lists
 * every name and shape that does not fit.
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Rule } from "../engine/job/job.js";
import { isFloatDtype } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { sameShape, shapeText } from "../formats/tensor-info.js";
import { isComputedBuffer, isUnused } from "../known/buffers.js";
import { COMMON_EMBEDDING, EMBEDDING, INPUT_EMBEDDING, OUTPUT_EMBEDDING } from "../known/embeddings.js";
import { doesWithoutHead, isHead } from "../known/heads.js";
import { isLanguageModel } from "../known/language-models.js";
import { mismatchError, sideName } from "./mismatch.js";
import { isGrown, newRowsOf } from "./new-rows.js";
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
import { aliasesIn, type LoadedSide, loadedSide, loadedTensor, meetingOf, twinsOf } from "./ties.js";

/** Pairs every tensor of `driver`, in order. @throws {WeightDiffError} MISMATCH, listing every name and shape that does not fit. */
export function pairTensors(raw: Checkpoint, driver: Checkpoint, options: PairingOptions): Pairing {
  const sides = loadedSides(raw, driver, options);
  const outcomes = [
    ...[...inOrder(sides.raw, sides.driver, options)].map(([name, tensor]) =>
      tensor === null
        ? copied(name, sides.raw, options)
        : asMet(pairTensor(name, tensor, sides, options), sides, options),
    ),
    ...baseOnly(sides, options),
  ];
  const mismatches = outcomes.filter((outcome) => outcome.kind === "mismatch");
  if (mismatches.length > 0) {
    throw mismatchError(raw, driver, mismatches, options);
  }
  const steps = outcomes.flatMap((outcome) => (outcome.kind !== "mismatch" && outcome.step ? [outcome.step] : []));
  const pairs = outcomes.flatMap((outcome) => (outcome.kind === "paired" ? [outcome.pair] : []));
  // The script saves the side that it adds into.
  const saved = pairs.some(({ intoRaw }) => intoRaw === true) ? sides.raw : sides.driver;
  return {
    pairs,
    notes: stepNotes(steps, options.role),
    twins: twinsOf(saved),
    tied: saved === sides.raw && saved.tied !== sides.driver.tied ? saved.tied : null,
  };
}

/** The pairs, and notes for the user, one sentence each. */
interface Pairing {
  readonly pairs: readonly Pair[];
  readonly notes: readonly string[];
  /** Twins as in a plan. */
  readonly twins: ReadonlyMap<string, string>;
  readonly tied: boolean | null;
}

interface Sides {
  readonly raw: LoadedSide;
  readonly driver: LoadedSide;
  /** Would a complete base have a tensor of this name? */
  lacks(name: string): boolean;
}

/** Both sides as the script has them in memory. */
function loadedSides(
  raw: Checkpoint,
  driver: Checkpoint,
  { role, rawTied, driverTied, models = UNKNOWN_MODELS, names }: PairingOptions,
): Sides {
  const facts = (tied: boolean | null, architecture: string | null) => ({
    tied,
    languageModel: isLanguageModel(models.modelType, architecture),
  });
  const loading = names?.loading ?? "models";
  return {
    raw: loadedSide(raw, facts(rawTied, models.raw), loading),
    // make-diff's output is loaded from files that store each tensor separately.
    driver: loadedSide(driver, facts(driverTied, models.driver), loading, role === "tuned"),
    // A tied model is complete without a head.
    lacks: lackOf(raw, [INPUT_EMBEDDING, LAST_NORM, ...(rawTied && driverTied ? [] : [OUTPUT_EMBEDDING])]),
  };
}

function pairTensor(name: string, driver: StoredTensor, sides: Sides, options: PairingOptions): Outcome {
  const { names } = options;
  const side = sideName(options.role);
  const rawName = names === undefined ? name : names.rawName(name);
  if (rawName === null && names !== undefined) {
    return kept(name, driver, names, { kind: "kept", name });
  }
  const base = loadedTensor(sides.raw, rawName ?? name);
  const standsIn = base !== undefined && !sides.raw.stateDict.has(rawName ?? name);
  const decided = options.decide(name, driver, base ?? null);
  if (base === undefined) {
    return decided === null
      ? driverOnly(name, driver, sides, options)
      : { kind: "paired", pair: { name, ...decided, driver, raw: null, mean: null } };
  }
  // Kept without a counterpart, if the encoding can hold it so.
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
  if (standsIn && summed && decided.intoRaw === true) {
    return { kind: "left out", step: { kind: "met in the base", name, raw: base.name } };
  }
  const step = standsIn && summed ? { step: { kind: "tied", name, raw: base.name } as const } : {};
  // A mask is stored unchanged, and recover will "or" it with the base's. Other copies do not involve the base.
  if (!summed || isAlone(decided) || (decided.rule === "copy" && (driver.dtype !== "BOOL" || base.dtype !== "BOOL"))) {
    return { kind: "paired", pair: { ...pair, raw: null, mean: null }, ...step };
  }
  if (sameShape(driver.shape, base.shape)) {
    return { kind: "paired", pair: { ...pair, mean: null }, ...step };
  }
  const [rawShape, driverShape] = [shapeText(base.shape), shapeText(driver.shape)];
  if (options.keepsHeads === true && isHead(name) && !EMBEDDING.test(name)) {
    const step = { kind: "of another shape", name, raw: rawShape, driver: driverShape } as const;
    return { kind: "paired", pair: asItIs(name, driver, options), step };
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

/** Completes the pair: a script that has a tied matrix under two names adds to it twice. */
function asMet(outcome: Outcome, { raw, driver }: Sides, { names, met }: PairingOptions): Outcome {
  const pair = outcome.kind === "paired" ? outcome.pair : null;
  if (pair?.raw?.kind !== "stored" || (!isPlainSum(pair) && pair.blend === undefined)) {
    return outcome;
  }
  const { name, mean, intoRaw = false } = pair;
  const prefix = names?.prefix ?? "";
  const partner = intoRaw ? pair.driver : pair.raw.tensor;
  const isSummed = (own: string): boolean => names?.isSummed(intoRaw ? prefix + own : own) !== false;
  const how = {
    dtype: pair.blend?.operands ?? "F32",
    partner,
    isSummed,
    times: met === undefined ? null : (met.get(name) ?? 1),
  };
  const terms = intoRaw ? meetingOf(raw, driver, name.slice(prefix.length), how) : meetingOf(driver, raw, name, how);
  const [first, ...more] = terms;
  const other = more.find(({ shape }) => !sameShape(shape, partner.shape));
  if (first === undefined || more.length === 0) {
    return outcome;
  }
  if (other !== undefined || !sameShape(first.shape, partner.shape)) {
    const [one, two] = [first, other ?? partner].map((tensor) => `${quote(tensor.name)} ${shapeText(tensor.shape)}`);
    const problem = `${quote(name)} is tied to two tensors of different shapes: ${one}, ${two}`;
    return { kind: "mismatch", problem, of: "shapes" };
  }
  const side = intoRaw ? { driver: first } : { raw: { kind: "stored", tensor: first } as const };
  const again = more.map((tensor) => ({ tensor, mean: intoRaw ? null : mean }));
  const kind = intoRaw ? "base met twice" : "met twice";
  const listed = [...new Set(terms.map((tensor) => quote(tensor.name)))].join(", then ");
  return { kind: "paired", pair: { ...pair, ...side, again }, step: { kind, name, raw: listed } };
}

/** Is this a plain sum or difference of floats? Those use the mean of raw's rows for new rows. */
function isPlainSum({ rule }: Decision): boolean {
  return rule === "add" || rule === "subtract";
}

/** Is there a rule for rows that only the driver has? */
function takesNewRows(decision: Decision): boolean {
  const { rule, blend } = decision;
  return isPlainSum(decision) || blend !== undefined || BITS.has(rule);
}

/** Rules for bit patterns. Their new rows are the driver's. */
const BITS: ReadonlySet<Rule> = new Set(["add-bits", "subtract-bits", "encode-bits", "decode-bits"]);

function isAlone({ rule }: Decision): boolean {
  return rule === "encode-alone" || rule === "decode-alone";
}

/** Keeps the driver's tensor unchanged. */
function kept(name: string, driver: StoredTensor, names: NameRules, step: Step): Outcome {
  return { kind: "paired", pair: { name, ...names.keep(name, driver), driver, raw: null, mean: null }, step };
}

/** Keeps the driver's bytes, without the base. */
function asItIs(name: string, driver: StoredTensor, { decide }: PairingOptions): Pair {
  const alone = decide(name, driver, null) ?? { rule: "copy" as const, dtype: driver.dtype };
  return { name, ...alone, driver, raw: null, mean: null };
}

/** For buffers that only the driver has, decides whether to compute or to drop them. Anything else is a problem. */
function driverOnly(name: string, driver: StoredTensor, { lacks }: Sides, options: PairingOptions): Outcome {
  const { names } = options;
  const side = sideName(options.role);
  if (INV_FREQ.test(name) && driver.shape.length === 1 && isFloatDtype(driver.dtype)) {
    const decided = options.decide(name, driver, driver);
    const operand = { kind: "inv-freq", count: driver.shape[0] ?? 0, theta: options.ropeTheta } as const;
    if (decided === null) {
      return { kind: "left out" };
    }
    // The model computes this buffer and never loads it, so it is not rounded.
    const blend = decided.blend === undefined ? {} : { blend: { ...decided.blend, operands: "F32" } as const };
    const pair = { name, ...decided, ...blend, driver, raw: { kind: "computed", operand }, mean: null } as const;
    return { kind: "paired", pair };
  }
  if (isComputedBuffer(name, driver, options.models?.modelType ?? null)) {
    return { kind: "left out", step: { kind: "buffer of the driver", name } };
  }
  if (options.keepsHeads === true && isHead(name)) {
    return { kind: "paired", pair: asItIs(name, driver, options), step: { kind: "kept", name } };
  }
  const fate = lacks(names?.rawName(name) ?? name) ? "refuse" : (names?.fate(name) ?? "refuse");
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

/**
 * Is this a buffer that models compute and that both sides have, in dtypes or shapes without common arithmetic? Versions of transformers
 * differ in its dtype and length.
 */
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

/** Judges names that only the base has. A script does not need computed buffers, nor both names of a tied matrix. */
function baseOnly(sides: Sides, options: PairingOptions): readonly Outcome[] {
  const { raw, driver } = sides;
  const { names, models = UNKNOWN_MODELS } = options;
  if (names?.baseOnly === "copy") {
    return [];
  }
  const prefix = names?.prefix ?? "";
  const isTied = driver.tied === true || (driver.tied === null && raw.tied === true);
  const missing = [...raw.stateDict].filter(
    ([name]) => !driver.stateDict.has(prefix + name) && names?.isSummed(prefix + name) !== false,
  );
  const isAlias = aliasesIn(raw, (name) => driver.stateDict.has(prefix + name));
  const otherHead = [...driver.stateDict.keys()].some((name) => isHead(name) && !raw.stateDict.has(name));
  return missing.map(([name, tensor]): Outcome => {
    if (isComputedBuffer(name, tensor, models.modelType)) {
      return { kind: "left out", step: { kind: "buffer of the base", name } };
    }
    if (isUnused(name, models.modelType)) {
      return { kind: "left out", step: { kind: "unused", name } };
    }
    if (loadedTensor(driver, prefix + name) !== undefined && (isTied || COMMON_EMBEDDING.test(prefix + name))) {
      return { kind: "left out" };
    }
    if ((name === raw.output && raw.shared) || isAlias(tensor)) {
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
