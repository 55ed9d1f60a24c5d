/** The README.md of a published diff: what it is, the command that recovers the model, and what the result must be. */
import type { Encoding } from "../../plan/exact.js";
import { bytesText } from "../../run/preflight.js";

export const CARD = "README.md";

/** The report of what changed: a page for a browser, and the picture that the card shows. */
export const REPORT = { page: "report.html", map: "change-map.svg" } as const;

/** The facts in a card. */
export interface CardFacts {
  readonly encoding: Encoding;
  /** The name of the base: "org/name" on the Hub if known, otherwise its folder. */
  readonly base: string;
  readonly known: boolean;
  /** The licence of the fine-tuned model, as lines of a card's front matter; empty if its own card states none. */
  readonly licence: readonly string[];
  /** Does transformers know the architecture, by config.json? */
  readonly transformers: boolean;
  /** What the model needs but the diff does not contain: "tokenizer", "code". */
  readonly lacks: readonly ("tokenizer" | "code")[];
  /** Are rotary_emb.inv_freq buffers in the diff? recover leaves them out unless told to keep them. */
  readonly buffers: boolean;
  /** The files of the diff with their sha256, except card and manifest. */
  readonly files: readonly { readonly file: string; readonly size: number; readonly sha256: string }[];
  /** The number of vocabulary rows that the base lacks. */
  readonly newRows: number;
  /** Tensors that the base lacks, stored unchanged. */
  readonly own: readonly string[];
  /** Tensors from which the base's was subtracted twice. */
  readonly twice: readonly string[];
  /** What the fine-tune changed, in a sentence; null if REPORT's files are not beside the card. */
  readonly change: string | null;
  /** Will the Python scripts have as many rows in the base as the diff has? Null if the base's tokenizer does not tell. */
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

/** The lines of a model card's front matter that state its licence. Lets only plain words through. */
export function licenceOf(card: string): readonly string[] {
  const [, front = ""] = /^\ufeff?---[^\S\n]*\n(.*?)^---\s*$/ms.exec(card.replaceAll("\r\n", "\n")) ?? [];
  return front.split("\n").filter((line) => /^license(_name|_link)?: *[\w./:#-]+$/.test(line));
}

const SAME = "The `recover` of Stanford Alpaca's and Open-Instruct's `weight_diff.py` gives the same tensors";

/** What weight_diff.py makes of the diff: it resizes the base to the length of its tokenizer, with a padding token if it has none. */
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
