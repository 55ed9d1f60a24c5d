/** Who published diffs by a scheme: their names, what their diffs are recognised by, and the flags of their script. */
import type { ShardHeader } from "../formats/tensor-info.js";
import type { Scheme } from "./axes.js";
import type { Facts } from "./facts.js";

/** The script, by repository and file, at the commit where it was read. */
export interface Script {
  readonly repo: string;
  readonly file: string;
  readonly commit: string;
}

/** What marks a diff as one of this family, beside the name of its repository. */
export interface Marks {
  /** Files beside the weights that only this family's scripts write. */
  readonly files?: readonly string[];
  /** Patterns of names (see matchesName) of which the diff has at least one, and the base none. */
  readonly tensors?: readonly string[];
  /** The format of its weight files, in which no other family publishes. */
  readonly format?: ShardHeader["format"];
  /** Tokens that its script adds to the tokenizer. */
  readonly tokens?: readonly string[];
  /** Anything else that tells, in words. */
  readonly recognise?: (facts: Facts) => string | null;
}

/** A flag of a script. */
export interface ScriptFlag {
  /** As the script spells it, without its dashes. On a command line `_` and `-` are the same. */
  readonly name: string;
  /** argparse takes any unambiguous beginning of a flag: the shortest one that people use. */
  readonly shortest?: string;
  /** The option of recover that the flag stands for; null if none. */
  readonly means: "raw" | "diff" | "tuned" | "dtype" | null;
  /** Why the flag means nothing here. */
  readonly note?: string;
}

/** The command line of a script, where it differs from weight_diff.py's, whose names this tool has for its own paths. */
export interface CommandLine {
  readonly flags: readonly ScriptFlag[];
  /** Flags that must be there: without them, the command line is another script's. */
  readonly needs?: readonly string[];
  /** How many of its paths are given as plain words, without a flag. */
  readonly words?: number;
}

/** Flags of the scripts that change the result, and what a scheme's name gets for them: knowlm-fp16. */
export const VARIANTS = { is_fp16: "fp16", low_cpu_mem: "low-mem" } as const;
export type Variant = keyof typeof VARIANTS;
export const VARIANT_FLAGS = Object.keys(VARIANTS) as readonly Variant[];

export interface Family {
  readonly scheme: Scheme;
  /** Who published such diffs. */
  readonly who: string;
  readonly summary: string;
  /** The script whose result is reproduced; null for this tool's own encoding. */
  readonly script: Script | null;
  /** Last parts of the names of repositories that are known to be of this family, lower-case; `*` stands for anything. */
  readonly repos: readonly string[];
  readonly marks?: Marks;
  readonly line?: CommandLine;
  /** What each flag of the script changes in the scheme, and the repositories whose diffs were made with it. */
  readonly variants?: Readonly<Partial<Record<Variant, Partial<Scheme> & { readonly repos?: readonly string[] }>>>;
  /** Set on the family as it is with this flag of its script. */
  readonly variant?: Variant;
  /** Never a candidate by dtypes and shapes alone: all diffs of this family have a mark, or the scheme is a second way to treat a diff of another family. */
  readonly byMarkOnly?: true;
}

/** The family's script with the flag; null if it has no such flag. */
export function variantOf(family: Family, flag: Variant): Family | null {
  const changed = family.variants?.[flag];
  if (changed === undefined) {
    return family.variant === flag ? family : null;
  }
  const { scheme, who, summary, script, line, byMarkOnly } = family;
  const { repos = [], ...axes } = changed;
  return {
    scheme: { ...scheme, ...axes, name: `${scheme.name}-${VARIANTS[flag]}` },
    who: `${who}, with --${flag}`,
    ...{ summary, script, repos, variant: flag },
    ...(line === undefined ? {} : { line }),
    ...(byMarkOnly === undefined ? {} : { byMarkOnly }),
  };
}
