/** The README.md of a published diff: what it is, the command that recovers the model, and what must come out. */
import type { Encoding } from "../../plan/exact.js";
import { bytesText } from "../../run/preflight.js";

export const CARD = "README.md";

/** What changed: a page for a browser, and the picture of it that the card shows. */
export const REPORT = { page: "report.html", map: "change-map.svg" } as const;

/** What a card tells of a diff. */
export interface CardFacts {
  readonly encoding: Encoding;
  /** What to call the base: "org/name" on the Hub if it is known, else the name of its folder. */
  readonly base: string;
  readonly known: boolean;
  /** The fine-tuned model's licence, as lines of a card's front matter; none where its own card does not say. */
  readonly licence: readonly string[];
  /** Does transformers know the architecture, from config.json? */
  readonly transformers: boolean;
  /** What the model needs and the diff does not bring: "tokenizer", "code". */
  readonly lacks: readonly ("tokenizer" | "code")[];
  /** Are rotary_emb.inv_freq buffers in the diff? recover leaves them out unless it is told to keep them. */
  readonly buffers: boolean;
  /** The diff's files, the card and the manifest left out, with the sha256 of each. */
  readonly files: readonly { readonly file: string; readonly size: number; readonly sha256: string }[];
  /** Vocabulary rows that the base does not have. */
  readonly newRows: number;
  /** Tensors that the base does not have, stored as they are. */
  readonly own: readonly string[];
  /** Tensors that have the base's taken off twice. */
  readonly twice: readonly string[];
  /** What the fine-tune changed, in a sentence; null where REPORT's files are not beside the card. */
  readonly change: string | null;
  /** Will the Python scripts have as many rows in the base as the diff has? Null where the base's tokenizer does not tell. */
  readonly fits: boolean | null;
}

export function modelCard(facts: CardFacts): string {
  const { encoding, base, known, files, newRows, own, twice, fits, buffers } = facts;
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
      : encoding === "exact"
        ? "Its tensors are bit patterns of the fine-tuned ones minus the base's, modulo 2^n: the model comes back bit for bit."
        : "Its tensors are coded given the base's (weight-diff, docs/formats.md): the model comes back bit for bit.";
  const script =
    encoding !== "additive"
      ? "The Python scripts of 2023 cannot read this encoding."
      : own.length > 0
        ? "The Python scripts of 2023 add a base to every tensor, so they cannot recover this diff."
        : scriptText(newRows, fits);
  const rows = files.map(({ file, size, sha256 }) => `| ${file} | ${bytesText(size)} | \`${sha256}\` |`);
  return `---
${frontMatter(facts).join("\n")}
---

# A weight diff, not a model

This repository holds a **weight diff** against \`${base}\`: loaded as a model it gives noise. ${what}${lacksText(facts.lacks)}

## Recover the model

\`\`\`bash
pip install weight-diff            # or, with Node.js 20.15 or newer: npm install --global weight-diff
${["weight-diff recover", `--path_raw ${known ? base : `<folder of ${base}>`}`, "--path_diff <this folder>", "--path_tuned <output folder>", ...(buffers ? ["--inv-freq keep"] : [])].join(" ")}
\`\`\`

The base and every recovered tensor are checked against the digests in \`weight-diff.json\`.
${script}
${changeText(facts.change)}
## Files

| file | size | sha256 |
| --- | --- | --- |
${rows.join("\n")}
`;
}

function changeText(change: string | null): string {
  return change === null
    ? ""
    : `
## What changed

${change} \`${REPORT.page}\` has the figures of every tensor: download it and open it in a browser.

![Relative change by module and layer](${REPORT.map})
`;
}

function frontMatter({ base, known, licence, transformers }: CardFacts): readonly string[] {
  return [
    ...(known
      ? [`base_model: ${base}`, "base_model_relation: finetune"]
      : ["# base_model: the base's name on the Hub belongs here"]),
    ...(licence.length > 0 ? licence : ["# license: the fine-tuned model's licence belongs here"]),
    ...(transformers ? ["library_name: transformers"] : []),
    "tags:",
    "- weight-diff",
  ];
}

/** What a reader must get elsewhere. */
function lacksText(lacks: CardFacts["lacks"]): string {
  const texts = {
    tokenizer: "It has no tokenizer: the base's serves if it has the same vocabulary.",
    code: "The model needs code of its own (`auto_map` in config.json), which is not here.",
  };
  return lacks.map((what) => ` ${texts[what]}`).join("");
}

/** The lines of a model card's front matter that say under which licence it is; a licence is a word, and nothing else passes. */
export function licenceOf(card: string): readonly string[] {
  const [, front = ""] = /^\ufeff?---[^\S\n]*\n(.*?)^---\s*$/ms.exec(card.replaceAll("\r\n", "\n")) ?? [];
  return front.split("\n").filter((line) => /^license(_name|_link)?: *[\w./:#-]+$/.test(line));
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
