/** The README.md of a published diff: what it is, the command that recovers the model, and what must come out. */
import type { Encoding } from "../../plan/exact.js";
import { bytesText } from "../../run/preflight.js";

export const CARD = "README.md";

/** What a card tells of a diff. */
export interface CardFacts {
  readonly encoding: Encoding;
  /** What to call the base: "org/name" on the Hub if it is known, else the name of its folder. */
  readonly base: string;
  readonly known: boolean;
  /** The diff's weight files, with the sha256 of each. */
  readonly files: readonly { readonly file: string; readonly size: number; readonly sha256: string }[];
  /** Vocabulary rows that the base does not have. */
  readonly newRows: number;
  /** Tensors that the base does not have, stored as they are. */
  readonly own: readonly string[];
  /** Tensors that have the base's taken off twice. */
  readonly twice: readonly string[];
  /** Will the Python scripts have as many rows in the base as the diff has? Null where the base's tokenizer does not tell. */
  readonly fits: boolean | null;
}

export function modelCard({ encoding, base, known, files, newRows, own, twice, fits }: CardFacts): string {
  const kept =
    own.length === 0
      ? ""
      : ` The base has no ${own.length === 1 ? `\`${own[0]}\`` : `\`${own[0]}\` and ${own.length - 1} more`}: stored as in the fine-tuned model.`;
  const tied =
    twice.length === 0
      ? ""
      : ` ${twice.map((name) => `\`${name}\``).join(" and ")} ${twice.length === 1 ? "has" : "have"} the base's taken off twice, as the Python scripts take it off a tied model.`;
  const what =
    encoding === "additive"
      ? `Its float32 tensors are the fine-tuned ones minus the base's; new vocabulary rows have the mean of the base's rows taken off.${tied}${kept}`
      : "Its tensors are bit patterns of the fine-tuned ones minus the base's, modulo 2^n: the model comes back bit for bit.";
  const script =
    encoding === "exact"
      ? "The Python scripts of 2023 cannot read this encoding."
      : own.length > 0
        ? "The Python scripts of 2023 add a base to every tensor, so they cannot recover this diff."
        : scriptText(newRows, fits);
  const rows = files.map(({ file, size, sha256 }) => `| ${file} | ${bytesText(size)} | \`${sha256}\` |`);
  return `---
${known ? `base_model: ${base}` : "# base_model: the base's name on the Hub belongs here"}
tags:
- weight-diff
---

# A weight diff, not a model

This repository holds a **weight diff** against \`${base}\`: loaded as a model it gives noise. ${what}

## Recover the model

\`\`\`bash
weight-diff recover --path_raw <folder of ${base}> --path_diff <this folder> --path_tuned <output folder>
\`\`\`

The base and every recovered tensor are checked against the digests in \`weight-diff.json\`.
${script}

## Files

| file | size | sha256 |
| --- | --- | --- |
${rows.join("\n")}
`;
}

const SAME = "The `recover` of Stanford Alpaca's and Open-Instruct's `weight_diff.py` gives the same tensors";

/** What weight_diff.py makes of it: it brings the base to the length of its tokenizer, with a padding token where it has none. */
function scriptText(newRows: number, fits: boolean | null): string {
  if (fits === true) {
    return `${SAME}.`;
  }
  if (fits === null && newRows <= 1) {
    return `${SAME}, if the base's tokenizer has ${newRows === 1 ? "no" : "a"} padding token: it adds one vocabulary row to a base without.`;
  }
  const so =
    fits === null ? "so they may refuse it" : "and this base's tokenizer makes it another number, so they refuse it";
  return `The Python scripts of 2023 add one vocabulary row to a base without a padding token; this diff has ${newRows} new ${newRows === 1 ? "row" : "rows"}, ${so}.`;
}
