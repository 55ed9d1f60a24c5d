/** Every line that try's verdict may have, and why a text ended. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { verdictLine, verdictText } from "../../../../src/cli/output/try-text.js";
import type { TryReport } from "../../../../src/commands/try.js";
import type { VerdictCode } from "../../../../src/inference/verdict.js";

const report = (code: VerdictCode, more: Partial<TryReport> = {}): TryReport => ({
  ...{ path: "m", family: "llama", layers: 32, vocabulary: 32001, tokenizer: "t", next: [], base: null },
  ...{
    prompt: { form: null, reason: { by: "nothing" }, text: "a", ids: [1] },
    text: "x",
    ids: [5, 6],
    stopped: "tokens",
  },
  ...{ guessing: 10.373, known: { loss: 0.612, base: 0.504 }, form: null, gain: null, brokenFrom: null },
  ...{ verdict: { code, failed: false, noGain: false }, passes: 2, bytesRead: 0, seconds: 1, peakBytes: 1 },
  ...more,
});

const LINES: readonly (readonly [TryReport, string])[] = [
  [
    report("broken", { brokenFrom: "model.layers.17.mlp.down_proj" }),
    "broken: no numbers from model.layers.17.mlp.down_proj on",
  ],
  [
    report("guessing", { known: { loss: 10.37, base: null } }),
    "says nothing: 10.37 nats a token, as good as guessing among 32001; so do the weights of a diff without its base",
  ],
  [
    report("silent", { known: { loss: 9.8, base: 0.5 } }),
    "does not speak: 9.80 nats a token, its base 0.50; parts may be in the wrong place (q/k order, shards, tokenizer)",
  ],
  [
    report("silent", { known: { loss: 9.8, base: null } }),
    "does not speak: 9.80 nats a token; parts may be in the wrong place (q/k order, shards, tokenizer)",
  ],
  [
    report("worse-than-base", { known: { loss: 2.4, base: 0.5 } }),
    "speaks worse than its base: 2.40 nats a token against 0.50; a strong tune can do that, damage too: run verify",
  ],
  [report("speaks"), "speaks: 0.61 nats a token on a known text (its base 0.50, guessing 10.37)"],
  [
    report("speaks", { known: { loss: 0.6, base: null } }),
    "speaks: 0.60 nats a token on a known text (guessing 10.37)",
  ],
  [report("unmeasured", { known: null }), "no figure: without a tokenizer there is no known text"],
];

for (const [made, line] of LINES) {
  test(line, () => {
    assert.equal(verdictLine(made), line);
    assert.match(
      verdictText(made),
      /this shows that the parts fit together, not that every tensor is right: verify does/,
    );
  });
}

test("a model that knows its own form no better than its base is told so on a line of its own", () => {
  const verdict = { code: "speaks", failed: false, noGain: true } as const;
  const text = verdictText(report("speaks", { verdict, form: { loss: 5.61, base: 5.606 }, gain: -0.004 }));
  assert.match(
    text,
    /^ {2}answer {3}5\.61 nats a token, its base 5\.61, gain 0\.00: an answer in the family's own form$/m,
  );
  assert.match(
    text,
    /^ {11}but knows its own form no better than the base does \(gain 0\.00\): was the diff made from another base\?$/m,
  );
});

test("says why the text ended, and ids where there is no tokenizer", () => {
  const text = verdictText(report("unmeasured", { text: null, known: null, stopped: "time" }));
  assert.match(text, /^5 6\n\n {2}ended {4}after 2 tokens: the time was up$/m);
});
