/** Prompts, greedy text, figures and the verdict, on a model that says what the test wants. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ANSWER, type GenerateOptions, generate, likeliest } from "../../../src/inference/generate.js";
import { measure, measuredTexts, textsFor } from "../../../src/inference/measure.js";
import type { LanguageModel, Text } from "../../../src/inference/model.js";
import { asked, PROMPT_FORMS, promptFormOf, scriptText } from "../../../src/inference/prompts.js";
import type { TextTokenizer } from "../../../src/inference/tokenizer.js";
import { type Figures, verdictOn } from "../../../src/inference/verdict.js";

const WORDS = ["<end>", " a", " b", "#", "##", "\ufffd", "\ufffd\ufffd", "é"];
/** Each id is a word; two halves make one. */
const text = (ids: readonly number[]): string =>
  ids
    .map((id) => WORDS[id] ?? `[${id}]`)
    .join("")
    .replace("\ufffd\ufffd", "é");
const TOKENIZER: TextTokenizer = {
  path: "tokenizer.json",
  tokens: 8,
  encode: async (given) => [...given].map((letter) => letter.charCodeAt(0) % 8),
  rest: async (ids, at) => text(ids.slice(at)),
  names: async (ids) => ids.map((id) => text([id])),
  close: async () => {},
};

const logits = (id: number, also: readonly number[] = []): Float32Array =>
  Float32Array.from({ length: 8 }, (_, each) => (each === id || also.includes(each) ? 5 : each / 10));

/** Says these ids, one a pass, and keeps what it was given. */
function speaker(ids: readonly number[], positions = 100): { model: LanguageModel; given: Text[] } {
  const given: Text[] = [];
  const model: LanguageModel = {
    ...{ family: "llama", vocabulary: 8, positions, layers: 1, passBytes: 10, notes: [] },
    async pass(texts, onProgress) {
      given.push(...texts);
      onProgress?.(10);
      return texts.map(({ wanted, ids: own }) => ({
        last: wanted === "losses" ? null : logits(ids[given.length] ?? 0),
        losses: wanted === "last" ? null : Float64Array.from(own.slice(1)),
      }));
    },
    close: async () => {},
  };
  return { model, given };
}

async function say(ids: readonly number[], options: Partial<GenerateOptions> = {}, positions = 100) {
  const pieces: string[] = [];
  const { model, given } = speaker(ids, positions);
  const made = await generate(model, {
    ...{ prompt: [1, 2], last: logits(ids[0] ?? 0), tokenizer: TOKENIZER, ends: [0], endText: null, most: 20 },
    ...{ deadline: null, passMs: 0, onText: (piece) => pieces.push(piece), onProgress: () => {} },
    ...options,
  });
  return { ...made, pieces, given };
}

test("takes the likeliest token each time, shows it as it comes, and stops at the end token", async () => {
  const { ids, text: told, stopped, pieces, given, passes } = await say([1, 2, 1, 0]);
  assert.deepEqual([ids, told, stopped, pieces, passes], [[1, 2, 1], " a b a", "end", [" a", " b", " a"], 3]);
  assert.deepEqual(
    given,
    [1, 2, 1].map((id) => ({ key: ANSWER, ids: [id], wanted: "last" })),
  );
});

test("of equal logits the first counts, and any of several ends ends", async () => {
  const { ids, stopped } = await say([7], { last: logits(2, [6]), most: 1 });
  assert.deepEqual([ids, stopped], [[2], "tokens"]);
  assert.equal((await say([2], { ends: [5, 2] })).stopped, "end");
});

test("the first token needs no further pass", async () => {
  assert.equal((await say([1, 2], { most: 1 })).passes, 0);
});

test("holds half a character back until the other half comes, or nothing more", async () => {
  assert.deepEqual((await say([1, 5, 5, 2, 0])).pieces, [" a", "é", " b"]);
  assert.deepEqual((await say([1, 5, 0])).pieces, [" a", "\ufffd"]);
});

test("an end text ends the answer, is not shown, and its possible beginning is held back", async () => {
  const { pieces, text: told, stopped } = await say([1, 3, 4, 2], { endText: "###" });
  assert.deepEqual([pieces, told, stopped], [[" a"], " a", "end"]);
  assert.deepEqual((await say([1, 3, 2, 0], { endText: "###" })).pieces, [" a", "# b"]);
});

test("stops where time is up, and where the model has no more positions", async () => {
  const late = await say([1, 2, 1, 0], { deadline: performance.now() - 1 });
  assert.deepEqual([late.ids, late.stopped], [[1], "time"]);
  // The pass over the prompt tells how long the next one would take.
  const long = await say([1, 2, 1, 0], { deadline: performance.now() + 60_000, passMs: 120_000 });
  assert.deepEqual([long.ids, long.stopped, long.passes], [[1], "time", 0]);
  assert.deepEqual(
    [(await say([1, 2, 1, 0], {}, 4)).ids, (await say([1, 2, 1, 0], {}, 4)).stopped],
    [[1, 2], "positions"],
  );
});

test("without a tokenizer the ids are all there is", async () => {
  const { ids, text: told, pieces } = await say([1, 2, 0], { tokenizer: null });
  assert.deepEqual([ids, told, pieces], [[1, 2], "", []]);
});

test("the likeliest tokens have their shares", () => {
  const found = likeliest(Float32Array.from([0, Math.log(3), 0]), 2);
  assert.deepEqual(
    found.map(({ id, probability }) => [id, Number(probability.toFixed(3))]),
    [
      [1, 0.6],
      [0, 0.2],
    ],
  );
  const ids = (logits: readonly number[], count: number) =>
    likeliest(Float32Array.from(logits), count).map(({ id }) => id);
  assert.deepEqual(ids([5, 4, 3, 2, 1, 0], 3), [0, 1, 2]);
  assert.deepEqual(ids([0, 1, 2, 3, 3, 3], 4), [3, 4, 5, 2], "of equal ones the first");
  assert.deepEqual(ids([7, 7], 5), [0, 1], "no more than there are");
});

const NAMES: readonly (readonly [name: string, form: string | null])[] = [
  ["allenai/tulu-7b", "Tulu"],
  ["my-tulu-13b", "Tulu"],
  ["allenai/open-instruct-baize-7b", "Tulu"],
  ["allenai/open-instruct-stanford-alpaca-7b", "Tulu"],
  ["alpaca-7b", "Alpaca"],
  ["lmsys/vicuna-7b-delta-v1.1", "Vicuna v1.1"],
  ["vicuna-13b-v1.5", "Vicuna v1.1"],
  ["vicuna-7b-delta-v0", "Vicuna v0"],
  ["liuhaotian/LLaVA-7b-delta-v0", "Vicuna v1.1"],
  ["OptimalScale/robin-7b-v2-delta", "Robin (LMFlow)"],
  ["koala-7b", "Koala"],
  ["Neutralzz/BiLLa-7B-SFT", "BiLLa"],
  ["OpenAssistant/oasst-sft-6-llama-30b-xor", "OpenAssistant"],
  ["metharme-7b", "Metharme"],
  ["stable-vicuna-13b-delta", null],
  ["llama-7b", null],
  ["gorilla-7b", null],
];
for (const [name, form] of NAMES) {
  test(`${name} is asked ${form === null ? "as nobody in particular" : `as ${form}`}`, () => {
    const found = promptFormOf({ name, scheme: null, template: false });
    assert.deepEqual([found.form?.name ?? null, found.reason.by], [form, form === null ? "nothing" : "name"]);
  });
}

test("a scheme tells the family if only one family uses it; FastChat's does not", () => {
  const of = (scheme: string): string | null =>
    promptFormOf({ name: "out", scheme, template: true }).form?.name ?? null;
  assert.deepEqual(
    ["open-instruct", "alpaca", "alpaca-farm", "llava", "lmflow", "koala", "billa", "oa-xor", "fastchat", "exact"].map(
      of,
    ),
    ["Tulu", "Alpaca", "Alpaca", "Vicuna v1.1", "Robin (LMFlow)", "Koala", "BiLLa", "OpenAssistant", null, null],
  );
  assert.equal(promptFormOf({ name: "out", scheme: "fastchat", template: true }).reason.by, "template");
});

test("each prompt ends as the family's does", () => {
  const end = Object.fromEntries(PROMPT_FORMS.map((form) => [form.name, asked(form, "X").slice(-20)]));
  assert.equal(asked(PROMPT_FORMS[0] ?? null, "X"), "<|user|>\nX\n<|assistant|>\n");
  assert.equal(end.Alpaca?.endsWith("\nX\n\n### Response:"), true);
  assert.equal(end["Vicuna v1.1"]?.endsWith("USER: X ASSISTANT:"), true);
  assert.equal(end.BiLLa?.endsWith(": X\nAssistant: "), true);
  assert.equal(asked(null, "X"), "X");
});

test("the script's text for Alpaca has Windows line ends; other schemes have no text", () => {
  assert.match(
    scriptText("alpaca") ?? "",
    /request\.\r\n\r\n### Instruction:\r\nList three .*easier\.\r\n\r\n### Response:$/,
  );
  assert.equal(scriptText("open-instruct"), null);
});

test("only the answer and its end are counted, and a text with ids past the rows is not sent", async () => {
  const [tulu = null] = PROMPT_FORMS;
  const texts = await measuredTexts(TOKENIZER, tulu, 6, 1000);
  const question = asked(tulu, "What is the capital of France?").length;
  assert.equal(texts.form?.answer, question);
  assert.equal(texts.form?.ids.at(-1), 6);
  const { model, given } = speaker([]);
  const found = await measure(model, texts, [{ key: ANSWER, ids: [1], wanted: "last" }], () => {});
  const answer = texts.form?.ids.slice(question) ?? [];
  // This model's loss of an id is the id.
  assert.equal(found.form, answer.reduce((sum, id) => sum + id, 0) / answer.length);
  assert.deepEqual(
    given.map(({ key, wanted }) => [key, wanted]),
    [
      [ANSWER, "last"],
      [null, "losses"],
      [null, "losses"],
    ],
  );
  assert.deepEqual(textsFor(texts, { vocabulary: 3 }), { known: null, form: null });
  assert.deepEqual(await measuredTexts(null, tulu, 6, 1000), { known: null, form: null });
  // A model of few positions measures a part of the known text, and no answer that is cut.
  const short = await measuredTexts(TOKENIZER, tulu, 6, 9);
  assert.deepEqual([short.known?.length, short.form], [9, null]);
});

const GUESSING = Math.log(32000);
const verdicts: readonly (readonly [
  figures: Partial<Figures>,
  broken: boolean,
  code: string,
  failed: boolean,
  noGain: boolean,
])[] = [
  [{ loss: 0.6 }, false, "speaks", false, false],
  [{ loss: 0.6, baseLoss: 0.5, gain: 2 }, false, "speaks", false, false],
  [{ loss: 0.6, baseLoss: 0.5, gain: 0.05 }, false, "speaks", false, true],
  [{ loss: 2.4, baseLoss: 0.5, gain: 0.05 }, false, "worse-than-base", false, true],
  [{ loss: 3.51, baseLoss: 0.5, gain: 0 }, false, "silent", true, false],
  [{ loss: GUESSING - 0.9 }, false, "silent", true, false],
  [{ loss: 20 }, false, "silent", true, false],
  [{ loss: GUESSING + 0.009 }, false, "guessing", true, false],
  [{ loss: GUESSING - 0.009, baseLoss: 0.5 }, false, "guessing", true, false],
  [{ loss: 0.6 }, true, "broken", true, false],
  [{}, true, "broken", true, false],
  [{}, false, "unmeasured", false, false],
];
for (const [figures, broken, code, failed, noGain] of verdicts) {
  test(`${JSON.stringify(figures)}${broken ? " and values that are no numbers" : ""}: ${code}`, () => {
    const all = { guessing: GUESSING, loss: null, baseLoss: null, gain: null, ...figures };
    assert.deepEqual(verdictOn(all, broken), { code, failed, noGain });
  });
}
