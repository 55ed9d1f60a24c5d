/** What try says of models that were recovered wrongly, through the command line: figures of transformers, words, exit codes. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { withFolder, writeFiles } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { meanOf, near } from "../support/inference.js";
import { readWeights, type Weights, writeWeights } from "../support/trained.js";
import { interleaved, type Losses, sum, tokenizerOf, trained } from "../support/tried.js";
import { weightDiff } from "./command.js";

const LLAMA = join(FIXTURES, "trained/llama");
const read = (name: string): Promise<Weights> => readWeights(join(LLAMA, name));

interface Said {
  readonly known_text: { readonly loss: number; readonly base_loss: number };
  readonly answer: Said["known_text"];
  readonly gain: number;
  readonly verdict: string;
  readonly no_gain: boolean;
  readonly form: null;
}

interface Case {
  readonly what: string;
  readonly model: Losses;
  readonly make: (read: Readonly<Record<"base" | "other" | "gentle", Weights>>) => Weights;
  readonly base: "base" | "other";
  readonly code: number;
  readonly verdict: string;
  readonly noGain: boolean;
  /** Of the first text. */
  readonly words: RegExp;
}

const broken = trained.llama_broken as Readonly<Record<string, Losses>>;
const losses = (name: string): Losses => trained.llama[name] ?? broken[name] ?? assert.fail(name);

const CASES: readonly Case[] = [
  {
    what: "a tuned model beside its base speaks, and knows its own form",
    model: losses("gentle-f32"),
    make: ({ gentle }) => gentle,
    ...{ base: "base", code: 0, verdict: "speaks", noGain: false },
    words:
      /^ {2}answer {3}2\.\d\d nats a token, its base 5\.\d\d, gain 2\.\d\d: .*\n {2}verdict {2}speaks: 0\.\d\d nats a token on a known text \(its base 0\.\d\d, guessing 4\.16\)\n {11}this shows/m,
  },
  {
    what: "a diff on another base speaks as well as that one, and has no gain",
    model: losses("wrong base: other + (gentle - base)"),
    make: ({ base, other, gentle }) => sum(other, sum(gentle, base, -1), 1),
    ...{ base: "other", code: 0, verdict: "speaks", noGain: true },
    words:
      /^ {2}verdict {2}speaks: 0\.\d\d nats .*\n {11}but knows its own form no better than the base does \(gain 0\.0\d\): was the diff made from another base\?\n/m,
  },
  {
    what: "a diff applied twice speaks, and has a gain: what it says is true, and no more is said",
    model: losses("diff applied twice"),
    make: ({ base, gentle }) => sum(gentle, sum(gentle, base, -1), 1),
    ...{ base: "base", code: 0, verdict: "speaks", noGain: false },
    words:
      /^ {2}verdict {2}speaks: [01]\.\d\d nats .*\n {11}this shows that the parts fit together, not that every tensor is right/m,
  },
  {
    what: "q and k in Meta's order speak worse than the base",
    model: losses("q and k in Meta's order"),
    make: ({ gentle }) => interleaved(gentle, 4),
    ...{ base: "base", code: 0, verdict: "worse-than-base", noGain: false },
    words:
      /^ {2}verdict {2}speaks worse than its base: [123]\.\d\d nats a token against 0\.\d\d; a strong tune can do that, damage too: run verify$/m,
  },
];

for (const { what, model, make, base, code, verdict, noGain, words } of CASES) {
  test(what, async () => {
    await withFolder(async (folder) => {
      const config = await readFile(join(LLAMA, "base/config.json"), "utf8");
      const weights = { base: await read("base"), other: await read("other"), gentle: await read("gentle-f32") };
      // The folder's name tells the family, and with it the form.
      const path = await writeWeights(join(folder, "alpaca-toy"), make(weights), "F32", config);
      const args = ["try", path, "--base", join(LLAMA, base), "--raw", "a", "--max-new-tokens", "1", "--quiet"];
      const said: Said[] = [];
      for (const [place, known] of trained.texts.base.entries()) {
        await writeFiles(path, { "tokenizer.json": tokenizerOf(known, trained.texts.tune[place]) });
        const { code: got, out } = await weightDiff([...args, "--json"]);
        assert.equal(got, code);
        said.push(JSON.parse(out));
      }
      const mean = (figure: (report: Said) => number): number => meanOf(said.map(figure));
      const ofBase = losses(base);
      near(
        [mean((each) => each.known_text.loss), mean((each) => each.answer.loss)],
        [model.base, model.tune],
        1e-5,
        "the model's",
      );
      near(
        [mean((each) => each.known_text.base_loss), mean((each) => each.answer.base_loss)],
        [ofBase.base, ofBase.tune],
        1e-5,
        "the base's",
      );
      near([mean((each) => each.gain)], [ofBase.tune - model.tune], 2e-5, "gain");
      assert.deepEqual([said[0]?.verdict, said[0]?.no_gain, said[0]?.form], [verdict, noGain, null]);
      await writeFiles(path, { "tokenizer.json": tokenizerOf(trained.texts.base[0] ?? "", trained.texts.tune[0]) });
      const told = await weightDiff(args);
      assert.equal(told.code, code);
      assert.match(told.out, words);
    });
  });
}
