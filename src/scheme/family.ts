/** Who published diffs by a scheme: their names, how their diffs are recognised, and the flags of their script. */
import { torchName } from "../formats/dtype.js";
import type { ShardHeader } from "../formats/tensor-info.js";
import type { Scheme } from "./axes.js";
import type { Facts } from "./facts.js";

/** The script: repository, file, and the commit at which it was read. */
export interface Script {
  readonly repo: string;
  readonly file: string;
  readonly commit: string;
}

/** What marks a diff as one of this family, besides the name of its repository. */
export interface Marks {
  /** Files beside the weights that only this family's scripts write. */
  readonly files?: readonly string[];
  /** Patterns of tensor names (see matchesName). The diff has a match that the base lacks. */
  readonly tensors?: readonly string[];
  /** The format of its weight files. No other family publishes in it. */
  readonly format?: ShardHeader["format"];
  /** Tokens that the family's script adds to the tokenizer. */
  readonly tokens?: readonly string[];
  /** Any other evidence, in words; null if there is none. */
  readonly recognise?: (facts: Facts) => string | null;
}

/** A flag of a script. */
export interface ScriptFlag {
  /** As the script spells it, without dashes. On a command line, `_` and `-` are the same. */
  readonly name: string;
  /** argparse accepts any unambiguous beginning of a flag. This is the shortest one that people use. */
  readonly shortest?: string;
  /** The option of recover that the flag sets; null if none. */
  readonly means: "raw" | "diff" | "tuned" | "dtype" | null;
  /** Why the flag has no effect here. */
  readonly note?: string;
}

/** The command line of a script, if it differs from that of weight_diff.py. This tool uses weight_diff.py's names for its own paths. */
export interface CommandLine {
  readonly flags: readonly ScriptFlag[];
  /** Flags that this script requires: a command line without them belongs to another script. */
  readonly needs?: readonly string[];
  /** How many paths the script takes as plain words, without a flag. */
  readonly words?: number;
}

/** Flags of the scripts that change the result, and what they add to a scheme's name, as in knowlm-fp16. */
const VARIANTS = { is_fp16: "fp16", low_cpu_mem: "low-mem" } as const;
export type Variant = keyof typeof VARIANTS;
export const VARIANT_FLAGS = Object.keys(VARIANTS) as readonly Variant[];

export interface Family {
  readonly scheme: Scheme;
  /** Who published such diffs. */
  readonly who: string;
  readonly summary: string;
  /** The script whose result is reproduced; null for the encodings of this tool. */
  readonly script: Script | null;
  /** Last parts of the names of this family's repositories, in lower case. `*` stands for any text. */
  readonly repos: readonly string[];
  readonly marks?: Marks;
  readonly line?: CommandLine;
  /** What each flag of the script changes in the scheme, and the repositories whose diffs were made with the flag. */
  readonly variants?: Readonly<Partial<Record<Variant, Partial<Scheme> & { readonly repos?: readonly string[] }>>>;
  /** Set on a family with this flag of its script. */
  readonly variant?: Variant;
  /**
   * Not a candidate by dtypes and shapes alone: all diffs of this family have a mark, or the scheme is a second way to treat the diffs of
   * another family.
   */
  readonly byMarkOnly?: true;
}

/** The family with this flag of its script; null if the script has no such flag. */
export function variantOf(family: Family, flag: Variant): Family | null {
  const changed = family.variants?.[flag];
  if (changed === undefined) {
    return family.variant === flag ? family : null;
  }
  const { scheme, who, script, line, byMarkOnly } = family;
  const { repos = [], ...axes } = changed;
  const { arithmetic = scheme.arithmetic } = axes;
  const dtypes = arithmetic === "stored" ? "the files' own dtypes" : torchName(arithmetic);
  return {
    scheme: { ...scheme, ...axes, name: `${scheme.name}-${VARIANTS[flag]}` },
    who: `${who}, with --${flag}`,
    summary: `as ${scheme.name}, in ${dtypes}`,
    ...{ script, repos, variant: flag },
    ...(line === undefined ? {} : { line }),
    ...(byMarkOnly === undefined ? {} : { byMarkOnly }),
  };
}
