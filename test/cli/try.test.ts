/** try on the command line, and recover --test_inference: the demo beside the scripts, trained models whole and broken, refusals. */
import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { tryModel } from "../../src/index.js";
import { withFolder, writeFiles } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { readFixture } from "../support/inference.js";
import { mapWeights, readWeights, subtract, writeWeights } from "../support/trained.js";
import { tokenizerOf, trained } from "../support/tried.js";
import { BASE, DIFF, recoverDemo, weightDiff } from "./command.js";

const demo = readFixture("demo.json") as { readonly script: { readonly text: string; readonly completion: string } };
const LAST = /^ {11}this shows that the parts fit together, not that every tensor is right: verify does$/m;

test("answers the demo's prompt with the text of the scripts, token by token", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "demo");
    assert.equal((await recoverDemo("--path_tuned", out, "--quiet")).code, 0);
    const options = ["--raw", demo.script.text, "--max-new-tokens", "100", "--json", "--quiet"];
    const { code, out: printed } = await weightDiff(["try", out, ...options]);
    const report = JSON.parse(printed);
    assert.equal(report.text, demo.script.completion);
    // Its weights are random: it does not speak.
    assert.deepEqual([code, report.verdict, report.known_text.loss.toFixed(4)], [3, "silent", "6.2234"]);
    const told = await weightDiff(["try", out, "--max-new-tokens", "2"]);
    assert.equal(told.code, 3);
    assert.match(told.out, /^ {2}form {5}Tulu: the scheme open-instruct tells the family$/m);
    assert.match(told.out, /^ {2}verdict {2}does not speak: 6\.22 nats a token; parts may be in the wrong place/m);
    assert.match(told.out, LAST);
    assert.ok(told.said.some((line) => /each token is a pass over 533 kB of weights: at 1\.50 GB\/s/.test(line)));
  });
});

test("recover --test_inference True runs what it recovered; False and a dry run do not", async () => {
  await withFolder(async (folder) => {
    const { code, out } = await recoverDemo("--path_tuned", join(folder, "a"), "--test_inference", "True", "--quiet");
    assert.equal(code, 3);
    assert.match(
      out,
      /^recovered 21 tensors [\s\S]*^ {2}verdict {2}does not speak: 6\.22 nats a token, its base 6\.22;/m,
    );
    const json = await recoverDemo("--path_tuned", join(folder, "b"), "--test_inference", "--json", "--quiet");
    const report = JSON.parse(json.out);
    assert.deepEqual([report.outcome, report.test_inference.verdict, json.code], ["recovered", "silent", 3]);
    const off = await recoverDemo("--path_tuned", join(folder, "c"), "--test_inference", "False");
    assert.deepEqual(
      [off.code, off.out.includes("verdict"), off.said.join().includes("test_inference")],
      [0, false, false],
    );
    const none = await recoverDemo("--test_inference", "True");
    assert.equal(none.code, 0);
    assert.ok(none.said.some((line) => line.includes("not run: nothing was written that could be run")));
  });
});

const LLAMA = join(FIXTURES, "trained/llama");

test("trained models speak, a bare diff guesses, misplaced parts do not speak, NaN is broken", async () => {
  await withFolder(async (folder) => {
    const config = await readFile(join(LLAMA, "base/config.json"), "utf8");
    const [base, gentle] = [await readWeights(join(LLAMA, "base")), await readWeights(join(LLAMA, "gentle-f32"))];
    const tokenizer = tokenizerOf(trained.texts.base[0] ?? "");
    const write = async (name: string, weights: typeof base): Promise<string> => {
      await writeFiles(join(folder, name), { "tokenizer.json": tokenizer });
      await writeWeights(join(folder, name), weights, "F32", config);
      return join(folder, name);
    };
    const made = {
      base: await write("base", base),
      gentle: await write("gentle", gentle),
      diff: await write("diff", subtract(gentle, base)),
      swapped: await write(
        "swapped",
        mapWeights(gentle, (name, bits, [, columns = 1]) =>
          name.includes("embed") ? bits.map((_, i) => bits[(i + columns) % bits.length] ?? 0) : bits,
        ),
      ),
      broken: await write(
        "broken",
        mapWeights(gentle, (name, bits) => (name.includes("1.mlp.down_proj") ? bits.fill(0x7fc00000) : bits)),
      ),
    };
    const run = (path: string, more: object = {}) =>
      tryModel({ path, base: made.base, prompt: "the model", maxNewTokens: 4, threads: 0, ...more });
    const sound = await run(made.gentle);
    assert.equal(sound.verdict.code, "speaks");
    assert.ok((sound.known?.loss ?? 9) < 0.7 && (sound.known?.base ?? 9) < 0.7, JSON.stringify(sound.known));
    assert.equal((await run(made.diff, { ignore: ["not-a-model"] })).verdict.code, "guessing");
    assert.equal((await run(made.swapped)).verdict.code, "silent");
    const broken = await run(made.broken);
    assert.deepEqual([broken.verdict.code, broken.verdict.failed], ["broken", true]);
    assert.match(broken.brokenFrom ?? "", /layers\.1\.mlp\.down_proj/);
    const told = await weightDiff(["try", made.gentle, "--base", made.base, "--raw", "the model", "--quiet"]);
    assert.equal(told.code, 0);
    assert.match(
      told.out,
      /^ {2}verdict {2}speaks: 0\.\d\d nats a token on a known text \(its base 0\.\d\d, guessing 4\.16\)$/m,
    );
    assert.match(told.out, LAST);
    const bare = await weightDiff(["try", made.diff, "--ignore", "not-a-model", "--raw", "a", "--quiet"]);
    assert.deepEqual(
      [
        bare.code,
        /^ {2}verdict {2}says nothing: 4\.16 nats a token, as good as guessing among 64; so do/m.test(bare.out),
      ],
      [3, true],
    );
    const nan = await weightDiff(["try", made.broken, "--raw", "a", "--quiet"]);
    assert.deepEqual(
      [nan.code, /^ {2}verdict {2}broken: no numbers from model\.layers\.1\.mlp\.down_proj\S* on$/m.test(nan.out)],
      [3, true],
    );
  });
});

for (const [what, args, code, message] of [
  ["a diff", [DIFF], 4, /not a model but a diff/],
  ["two prompts", [BASE, "--raw", "a", "--prompt", "b"], 2, /more than one prompt/],
  ["ids that are none", [BASE, "--prompt-ids", "a"], 2, /"a" is not ids such as 1,450,22172/],
  ["ids past the rows", [BASE, "--prompt-ids", "1,9999"], 2, /has the id 9999, but the model's embedding has 512 rows/],
  ["a model without a tokenizer", [join(LLAMA, "base")], 4, /no tokenizer beside the weights/],
  ["no tokens", [BASE, "--max-new-tokens", "0"], 2, /is not a whole number from 1/],
  ["no time", [BASE, "--time-limit", "0"], 2, /is not a number of seconds above 0/],
  [
    "a tokenizer of another model",
    [join(LLAMA, "base"), "--tokenizer", BASE],
    4,
    /ids, but the model's embedding has 64 rows/,
  ],
] as const) {
  test(`refuses ${what}`, async () => {
    const { code: got, said, out } = await weightDiff(["try", ...args, "--quiet"]);
    assert.equal(got, code, said.join("\n"));
    assert.match(said.join("\n"), message);
    assert.equal(out, "");
  });
}

test("ids need no tokenizer, and then nothing is measured", async () => {
  const { code, out, said } = await weightDiff([
    "try",
    join(LLAMA, "base"),
    "--prompt-ids",
    "20,8,5",
    "--max-new-tokens",
    "3",
  ]);
  assert.equal(code, 0);
  assert.match(out, /^ {2}verdict {2}no figure: without a tokenizer there is no known text$/m);
  assert.match(out, LAST);
  assert.ok(said.some((line) => line.includes("no tokenizer: the result is shown as ids")));
});

test("the base's tokenizer serves where the model has none, and sampling is spoken of", async () => {
  await withFolder(async (folder) => {
    for (const file of ["config.json", "model.safetensors"]) {
      await cp(join(LLAMA, "base", file), join(folder, "m", file));
      await cp(join(LLAMA, "base", file), join(folder, "m-base", file));
    }
    // One folder's name is the beginning of the other's.
    await writeFile(join(folder, "m-base/tokenizer.json"), tokenizerOf("a"));
    await writeFile(join(folder, "m/generation_config.json"), '{"do_sample": true}');
    const { said } = await weightDiff(["try", join(folder, "m"), "--base", join(folder, "m-base"), "--raw", "a"]);
    assert.ok(said.some((line) => line.includes("the base's is used")));
    assert.ok(said.some((line) => line.includes("ask for sampling; here the likeliest token is taken")));
  });
});
