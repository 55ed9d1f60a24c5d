/** Which scheme recover works by: what the user says, else what the evidence says. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { fileNames } from "../checkpoint/side-files.js";
import { addedTokens } from "../checkpoint/tokenizer.js";
import { WeightDiffError } from "../errors.js";
import { namesByScheme } from "../plan/pair-rules.js";
import { countNewRows } from "../plan/pairing.js";
import { isSummed, type NewRows, type Scheme, type Variant, variantOf } from "../scheme/axes.js";
import { CUSTOM_DEFAULTS, type CustomAxes, customScheme } from "../scheme/custom.js";
import { schemeNamed } from "../scheme/scheme.js";
import { type Choice, chooseScheme } from "./choose-scheme.js";
import type { Inputs } from "./guards.js";
import { findOwnTensors } from "./own-tensors.js";

export interface SchemeOptions {
  /** "auto", "custom", or a name in the table of schemes. */
  readonly scheme?: string;
  /** Axes of a custom scheme; those left out have their defaults. */
  readonly custom?: Partial<CustomAxes>;
  /** Flags of the scheme's script. */
  readonly variants?: readonly Variant[];
  /** Rule for vocabulary rows that the base lacks; null takes the scheme's. */
  readonly rows?: NewRows | null;
}

/** The scheme, or why none could be chosen: a guard may know better what is wrong. @throws {WeightDiffError} USAGE, FORMAT_INVALID. */
export async function decideScheme(
  options: SchemeOptions,
  { raw, diff, rawConfig, diffConfig }: Inputs,
): Promise<Choice | WeightDiffError> {
  const name = options.scheme ?? "auto";
  if (name !== "auto") {
    const scheme =
      name === "custom"
        ? customScheme({
            ...CUSTOM_DEFAULTS,
            ...options.custom,
            ...(options.rows == null ? {} : { newRows: options.rows }),
          })
        : schemeNamed(name);
    return { scheme, reason: "as --scheme says" };
  }
  const files = await fileNames(diff.directory);
  const tokens = await addedTokens(diff.directory);
  const own = await findOwnTensors(raw, diff);
  try {
    const ties = { rawTied: rawConfig?.tied ?? null, diffTied: diffConfig?.tied ?? null };
    const newRows = countNewRows(raw, diff);
    return chooseScheme({ raw, diff, ties, config: diffConfig, files, tokens, own, newRows });
  } catch (error) {
    if (error instanceof WeightDiffError && (error.code === "SCHEME_UNKNOWN" || error.code === "MISMATCH")) {
      return error;
    }
    throw error;
  }
}

/** @throws {WeightDiffError} USAGE for --is_fp16 where the script has no such flag. */
export function withFlags(scheme: Scheme, { variants = [] }: SchemeOptions): Scheme {
  return variants.reduce((found, flag) => {
    const changed = variantOf(found, flag);
    if (changed === null && flag === "is_fp16") {
      throw new WeightDiffError(
        "USAGE",
        `--is_fp16: the script of scheme ${scheme.name} has no such flag`,
        "--scheme knowlm has it; --dtype float16 rounds the result of any scheme",
      );
    }
    return changed ?? found;
  }, scheme);
}

/** The part of the diff that is one: what the scheme adds, under the base's names. Guards know diffs from models by it. */
export function summedPart(diff: Checkpoint, scheme: Scheme): Checkpoint {
  const { rawName } = namesByScheme(scheme, null, diff.stateDict.keys());
  const part = [...diff.stateDict].flatMap(([name, tensor]) => {
    const own = rawName(name);
    return own !== null && scheme.operation !== "subtract" && isSummed(scheme, name) ? [[own, tensor] as const] : [];
  });
  return { ...diff, stateDict: new Map(part) };
}
