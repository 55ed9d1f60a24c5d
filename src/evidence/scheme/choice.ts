/** The evidence for choosing a scheme, and the choice. */
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import type { ModelConfig } from "../../checkpoint/config.js";
import type { RecoverPairingOptions } from "../../plan/pair-rules.js";
import type { Scheme } from "../../scheme/axes.js";
import type { Facts, ScriptWords } from "../../scheme/facts.js";
import { FAMILIES } from "../../scheme/families.js";
import type { Family, Variant } from "../../scheme/family.js";
import { markOf } from "../../scheme/recognise.js";
import type { OwnTensor } from "../own-tensors.js";

export interface SchemeChoice {
  readonly scheme: Scheme;
  /** The family of the scheme; null for a custom scheme. */
  readonly family: Family | null;
  /** The reason for the choice, in words. */
  readonly reason: string;
}

export interface Evidence {
  readonly diff: Checkpoint;
  /** The diff's config; null without one. */
  readonly config: Pick<ModelConfig, "nameOrPath"> | null;
  /** Bare names of the files beside the diff. */
  readonly files: readonly string[];
  /** The tokens in the diff's added_tokens.json. */
  readonly tokens: readonly string[];
  /** Tensors whose values show whether they are the model's own, or differences. */
  readonly own: readonly OwnTensor[];
  /** The base; null if there is none. */
  readonly raw: Checkpoint | null;
  /** What the configs say about pairing. */
  readonly said: PairingFacts;
  /** How many vocabulary rows the diff has and raw lacks, at most over all embeddings. */
  readonly newRows: number;
  /** The command line, if it has flags of a script, and which of them change the result; null without such flags. */
  readonly line: (ScriptWords & { readonly variants: readonly Variant[] }) | null;
}

type PairingFacts = Pick<RecoverPairingOptions, "rawTied" | "diffTied" | "models">;

export function chosen(family: Family, reason: string): SchemeChoice {
  return { scheme: family.scheme, family, reason };
}

/** A family whose mark the diff has, and the mark in words. */
interface Marked {
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
