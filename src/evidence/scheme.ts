/** The scheme that recover uses: the one that the user names, or else the one that the evidence shows. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { fileNames } from "../checkpoint/side-files.js";
import { addedTokens } from "../checkpoint/tokenizer.js";
import { WeightDiffError } from "../errors.js";
import { DEFAULTS } from "../plan/defaults.js";
import { readOwnTensors } from "../plan/exact.js";
import { countNewRows } from "../plan/new-rows.js";
import { modelKinds } from "../plan/pair.js";
import { namesByScheme } from "../plan/pair-rules.js";
import { isSummed, type NewRows, type Scheme } from "../scheme/axes.js";
import { CUSTOM_DEFAULTS, type CustomAxes, customScheme } from "../scheme/custom.js";
import type { ScriptWords } from "../scheme/facts.js";
import { familyNamed } from "../scheme/families.js";
import { VARIANT_FLAGS, type Variant, variantOf } from "../scheme/family.js";
import type { Inputs } from "./guards.js";
import { findOwnTensors } from "./own-tensors.js";
import { cutToDiff } from "./resize.js";
import { chosen, type Evidence, type SchemeChoice } from "./scheme/choice.js";
import { chooseScheme } from "./scheme/choose.js";

export interface SchemeOptions {
  /** "auto", "custom", or a name in the table of schemes. */
  readonly scheme?: string;
  /** The axes of a custom scheme. Axes that are left out have their defaults. */
  readonly custom?: Partial<CustomAxes>;
  /** Flags of the scheme's script that change the result, spelled as in the script. */
  readonly variants?: readonly Variant[];
  /** The flags of a script on the command line, as evidence for "auto". */
  readonly line?: ScriptWords;
  /** The rule for vocabulary rows that the base lacks; null takes the scheme's. */
  readonly rows?: NewRows | null;
}

/**
 * Decides the scheme. If none could be chosen, returns the error instead of throwing it, since a guard may know better what is wrong.
 * @throws {WeightDiffError} USAGE, FORMAT_INVALID.
 */
export async function decideScheme(options: SchemeOptions, inputs: Inputs): Promise<SchemeChoice | WeightDiffError> {
  const name = options.scheme ?? DEFAULTS.scheme;
  if (name !== "auto") {
    const reason = "as asked for";
    if (name !== "custom") {
      return chosen(familyNamed(name), reason);
    }
    const rows = options.rows == null ? {} : { newRows: options.rows };
    return { scheme: customScheme({ ...CUSTOM_DEFAULTS, ...options.custom, ...rows }), family: null, reason };
  }
  const { diff, rawConfig, diffConfig, rawTied = null, diffTied = null } = inputs;
  const raw = await cutToDiff(inputs);
  const files = await fileNames(diff.directory);
  const tokens = await addedTokens(diff.directory);
  const own = await findOwnTensors(raw, diff);
  try {
    const said = { rawTied, diffTied, models: modelKinds(rawConfig, diffConfig) };
    const newRows = countNewRows(raw, diff);
    const line = lineOf(options);
    return chooseScheme({ raw, diff, said, config: diffConfig, files, tokens, own, newRows, line });
  } catch (error) {
    if (error instanceof WeightDiffError && (error.code === "SCHEME_UNKNOWN" || error.code === "MISMATCH")) {
      return error;
    }
    throw error;
  }
}

/** The flags of the command line. Switches that are set to False are left out, since they do not point to a script. */
function lineOf({ line, variants = [] }: SchemeOptions): Evidence["line"] {
  const off = VARIANT_FLAGS.filter((flag) => !variants.includes(flag)).map((flag) => flag.replaceAll("_", "-"));
  return line === undefined ? null : { ...line, flags: line.flags.filter((flag) => !off.includes(flag)), variants };
}

/**
 * Applies the given flags of the family's script to the choice.
 * @throws {WeightDiffError} USAGE for is_fp16 if the script has no such flag.
 */
export function withFlags(choice: SchemeChoice, { variants = [] }: SchemeOptions): SchemeChoice {
  return variants.reduce((found, flag) => {
    const changed = found.family === null ? null : variantOf(found.family, flag);
    if (changed === null && flag === "is_fp16") {
      throw new WeightDiffError(
        "USAGE",
        `is_fp16: the script of scheme ${found.scheme.name} has no such flag`,
        undefined,
        {
          advice: [
            { to: "follow the script that has it", option: "scheme", value: "knowlm" },
            { to: "round the result", option: "dtype", value: "F16" },
          ],
        },
      );
    }
    return changed === null ? found : chosen(changed, found.reason);
  }, choice);
}

/** The tensors of the diff that the scheme adds, under the base's names. Only these tell a diff from a model. */
export function summedPart(diff: Checkpoint, scheme: Scheme): Checkpoint {
  const { rawName } = namesByScheme(scheme, () => null, diff.stateDict.keys());
  const own = readOwnTensors(diff);
  const part = [...diff.stateDict].flatMap(([name, tensor]) => {
    const theirs = own.has(name) ? null : rawName(name);
    return theirs !== null && scheme.operation !== "subtract" && isSummed(scheme, name)
      ? [[theirs, tensor] as const]
      : [];
  });
  return { ...diff, stateDict: new Map(part) };
}
