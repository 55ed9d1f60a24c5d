/** Who published diffs by a scheme: what they are called, by what their diffs are recognised, and what their script's flags are. */
import type { ShardHeader } from "../formats/tensor-info.js";
import type { Scheme } from "./axes.js";
import type { Facts } from "./facts.js";

/** The file of a script as it was read. */
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
  /** What else tells, in words. */
  readonly recognise?: (facts: Facts) => string | null;
}

/** A flag of a script. */
export interface ScriptFlag {
  /** As the script spells it, without its dashes. On a command line `_` and `-` are the same. */
  readonly name: string;
  /** The shortest beginning that people use for it, as argparse lets them. */
  readonly shortest?: string;
  /** Which option of recover it is in the script's words; null if none. */
  readonly means: "raw" | "diff" | "tuned" | "dtype" | null;
  /** Why it means nothing here. */
  readonly note?: string;
}

/** The command line of a script: what sets it apart from weight_diff.py's, whose paths have the names that this tool's have. */
export interface CommandLine {
  readonly flags: readonly ScriptFlag[];
  /** Without these flags it is another script's. */
  readonly needs?: readonly string[];
  /** How many of its paths are given without a flag. */
  readonly words?: number;
}

/** Flags of the scripts that change bits, and how a scheme is called as it is with the flag: knowlm-fp16. */
export const VARIANTS = { is_fp16: "fp16", low_cpu_mem: "low-mem" } as const;
export type Variant = keyof typeof VARIANTS;
export const VARIANT_FLAGS = Object.keys(VARIANTS) as readonly Variant[];

export interface Family {
  readonly scheme: Scheme;
  /** Whose diffs these are. */
  readonly who: string;
  readonly summary: string;
  /** The script whose result is reproduced; null for this tool's own. */
  readonly script: Script | null;
  /** Last parts of the names of repositories that are known to be of this family, lower-case; `*` stands for anything. */
  readonly repos: readonly string[];
  readonly marks?: Marks;
  readonly line?: CommandLine;
  /** What flags of the script change, and the repositories whose diffs were made with the flag. */
  readonly variants?: Readonly<Partial<Record<Variant, Partial<Scheme> & { readonly repos?: readonly string[] }>>>;
  /** The flag with which this is another family's script. */
  readonly variant?: Variant;
  /** Never a candidate by dtypes and shapes: every diff of the family has a mark, or it is another way to treat such a diff. */
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
