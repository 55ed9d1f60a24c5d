/** What a scheme is chosen by, and what comes of it. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import type { RecoverPairingOptions } from "../plan/pair-rules.js";
import type { Scheme } from "../scheme/axes.js";
import type { Facts, ScriptWords } from "../scheme/facts.js";
import { FAMILIES } from "../scheme/families.js";
import type { Family, Variant } from "../scheme/family.js";
import { markOf } from "../scheme/recognise.js";
import type { OwnTensor } from "./own-tensors.js";

export interface Choice {
  readonly scheme: Scheme;
  /** Whose scheme it is; null for one that nobody published. */
  readonly family: Family | null;
  /** Why, in words for the user. */
  readonly reason: string;
}

export interface Evidence {
  readonly diff: Checkpoint;
  /** Of the diff; null without one. */
  readonly config: Pick<ModelConfig, "nameOrPath"> | null;
  /** Bare names of what lies beside the diff. */
  readonly files: readonly string[];
  /** What its added_tokens.json adds. */
  readonly tokens: readonly string[];
  /** Which of its tensors were seen to be the model's own, or differences. */
  readonly own: readonly OwnTensor[];
  /** The base; null where the diff is looked at by itself. */
  readonly raw: Checkpoint | null;
  /** What the configs say that decides which tensors go together. */
  readonly said: PairingFacts;
  /** How many vocabulary rows the diff has and raw lacks, at most over all embeddings. */
  readonly newRows: number;
  /** What the command line has of a script's own words, and which flags it has that change bits; null if there was none. */
  readonly line: (ScriptWords & { readonly variants: readonly Variant[] }) | null;
}

export type PairingFacts = Pick<RecoverPairingOptions, "rawTied" | "diffTied" | "models">;

export function chosen(family: Family, reason: string): Choice {
  return { scheme: family.scheme, family, reason };
}

/** A family that the diff has a mark of, and which, in words. */
export interface Marked {
  readonly family: Family;
  readonly reason: string;
}

export function markedFamilies(evidence: Evidence): readonly Marked[] {
  const { files, tokens, diff, raw, own } = evidence;
  const facts: Facts = {
    ...{ files, tokens, own },
    formats: diff.shards.map(({ header }) => header.format),
    tensors: new Set(diff.stateDict.keys()),
    base: raw === null ? null : new Set(raw.stateDict.keys()),
  };
  return FAMILIES.flatMap((family) => {
    const reason = markOf(family, facts);
    return reason === null ? [] : [{ family, reason }];
  });
}

export function marksText(marks: readonly Marked[]): string {
  return marks.map(({ family, reason }) => `${reason}, as ${family.scheme.name} has it`).join("; ");
}
