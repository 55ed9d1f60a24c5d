/** Trained models as `try` takes them: their weights spoiled in the ways that transformers was asked about, their texts in a tokenizer. */
import assert from "node:assert/strict";
import { asked, FORM_ANSWER, FORM_QUESTION, KNOWN_TEXT, PROMPT_FORMS } from "../../src/inference/prompts.js";
import { fromBits, toBits } from "../../src/kernel/bits.js";
import { readFixture } from "./inference.js";
import { mapWeights, type Weights } from "./trained.js";

export interface Losses {
  /** Nats per token of the texts that the base was trained on, and of those of the tune. */
  readonly base: number;
  readonly tune: number;
}

export interface Measured extends Losses {
  readonly prompt?: readonly number[];
  readonly logits_last?: readonly number[];
  readonly greedy?: readonly number[];
}

/** fixtures/inference/trained.json. */
export interface Trained {
  readonly alphabet: string;
  /** 48 letters each. */
  readonly texts: { readonly base: readonly string[]; readonly tune: readonly string[] };
  readonly llama: Readonly<Record<string, Measured>>;
  readonly neox: Readonly<Record<string, Measured>>;
  readonly llama_broken: Readonly<Record<string, Losses>>;
  readonly neox_broken: Readonly<Record<string, Losses>>;
}

export const trained = readFixture("trained.json") as Trained;

/** first + sign * second in F32, value by value. */
export function sum(first: Weights, second: Weights, sign: 1 | -1): Weights {
  return mapWeights(first, (name, bits) => {
    const other = second.get(name)?.bits ?? assert.fail(name);
    return bits.map((value, i) => toBits(fromBits(value) + sign * fromBits(other[i] ?? 0)));
  });
}

/** Rows of q and k as Meta's files have them: neighbours turn together, not the halves of a head. */
export function interleaved(weights: Weights, heads: number): Weights {
  return mapWeights(weights, (name, bits, [rows = 0, columns = 0]) => {
    if (!/[qk]_proj\.weight$/.test(name)) {
      return bits;
    }
    const size = rows / heads;
    const out = bits.slice();
    for (let row = 0; row < rows; row++) {
      const [head, place] = [Math.floor(row / size), row % size];
      const from = head * size + (place % 2) * (size / 2) + Math.floor(place / 2);
      out.set(bits.subarray(from * columns, (from + 1) * columns), row * columns);
    }
    return out;
  });
}

/**
 * A tokenizer of letters that reads one text where `try` measures the known one, and another where it measures an answer: a letter of
 * that for the question, so that all others count.
 */
export function tokenizerOf(known: string, answer = "a"): string {
  const form = PROMPT_FORMS.find(({ name }) => name === "Alpaca") ?? assert.fail("no form");
  const question = asked(form, FORM_QUESTION);
  const replace = (text: string, content: string) => ({ type: "Replace", pattern: { String: text }, content });
  return JSON.stringify({
    normalizer: {
      type: "Sequence",
      normalizers: [
        replace(KNOWN_TEXT, known),
        replace(question + form.lead + FORM_ANSWER, answer),
        replace(question, answer.slice(0, 1)),
      ],
    },
    model: {
      type: "BPE",
      vocab: Object.fromEntries([...trained.alphabet].map((letter, id) => [letter, id])),
      merges: [],
      unk_token: " ",
    },
    decoder: { type: "Fuse" },
  });
}
