/** The README.md of a published diff: what it is, the command that recovers the model, and what must come out. */
import type { Encoding } from "../../plan/exact.js";
import { bytesText } from "../../run/preflight.js";

export const CARD = "README.md";

/**
 * @param base what to call the base: "org/name" on the Hub if `known`, else the name of its folder.
 * @param files the diff's weight files, with the sha256 of each.
 * @param newRows vocabulary rows that the base does not have. The Python scripts make room for one, and only for a padding token.
 * @param own tensors that the base does not have, stored as they are.
 */
export function modelCard(
  encoding: Encoding,
  base: string,
  known: boolean,
  files: readonly { readonly file: string; readonly size: number; readonly sha256: string }[],
  newRows: number,
  own: readonly string[],
): string {
  const kept =
    own.length === 0
      ? ""
      : ` The base has no ${own.length === 1 ? `\`${own[0]}\`` : `\`${own[0]}\` and ${own.length - 1} more`}: stored as in the fine-tuned model.`;
  const what =
    encoding === "additive"
      ? `Its float32 tensors are the fine-tuned ones minus the base's; new vocabulary rows have the mean of the base's rows taken off.${kept}`
      : "Its tensors are bit patterns of the fine-tuned ones minus the base's, modulo 2^n: the model comes back bit for bit.";
  const script =
    encoding === "exact"
      ? "The Python scripts of 2023 cannot read this encoding."
      : own.length > 0
        ? "The Python scripts of 2023 add a base to every tensor, so they cannot recover this diff."
        : newRows === 1
          ? "The `recover` of Stanford Alpaca's and Open-Instruct's `weight_diff.py` gives the same tensors."
          : `The Python scripts of 2023 add one vocabulary row to a base without a padding token; this diff has ${newRows} new rows, so they may refuse it.`;
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
