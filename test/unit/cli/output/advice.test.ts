/** An error's advice, in flags. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Advice } from "../../../../src/advice.js";
import type { CommandName } from "../../../../src/cli/flags/flag.js";
import { adviceAfter, hintText } from "../../../../src/cli/output/advice.js";
import { WeightDiffError } from "../../../../src/errors.js";

function hintOf(command: CommandName | null, hint: string | undefined, ...advice: Advice[]): string | undefined {
  return hintText(new WeightDiffError("IO", "x", hint, { advice }), command);
}

test("says an option's value with its flag", () => {
  assert.equal(
    hintOf("recover", "get the base", { to: "go on all the same", option: "ignore", value: "wrong-base" }),
    "get the base, or go on all the same with --ignore wrong-base",
  );
  assert.equal(
    hintOf("recover", "free 3 GB", { to: "write half of it", option: "dtype", value: "BF16" }),
    "free 3 GB, or write half of it with --dtype bfloat16",
  );
});

test("spells a value that has its own flag as that flag", () => {
  assert.equal(
    hintOf(
      "convert",
      undefined,
      { to: "continue it", option: "mode", value: "resume" },
      { to: "start over", option: "mode", value: "force" },
    ),
    "continue it with --resume, or start over with --force",
  );
  assert.equal(
    hintOf("verify", "x", { to: "read without a copy", option: "hub.cache", value: null }),
    "x, or read without a copy with --no-cache",
  );
});

test("says what to do once the hint is followed", () => {
  const resume: Advice = { to: "continue", option: "mode", value: "resume", afterwards: true };
  assert.equal(hintOf("recover", "free some space", resume), "free some space, then continue with --resume");
  assert.equal(hintOf("xor", undefined, resume), "continue with --resume");
  assert.equal(hintOf("verify", "free some space", resume), "free some space");
});

test("leaves out flags that the command lacks: on a full disk, make-diff does not advise --dtype", () => {
  const advice: Advice = { to: "write half of it", option: "dtype", value: "BF16" };
  assert.equal(hintOf("make-diff", "free some space", advice), "free some space");
  assert.equal(hintOf(null, "free some space", advice), "free some space, or write half of it with --dtype bfloat16");
});

test("without an output nothing is continued or replaced", () => {
  const resume: Advice = { to: "continue", option: "mode", value: "resume", afterwards: true };
  const error = new WeightDiffError("DISK_FULL", "x", "free some space", { advice: [resume] });
  assert.equal(hintText(error, "recover", true), "free some space, then continue with --resume");
  assert.equal(hintText(error, "recover", false), "free some space");
});

test("leaves out options without a flag, and the whole advice if nothing remains", () => {
  assert.equal(hintOf("push", "check the disk", { to: "wait longer", option: "idleMs" }), "check the disk");
  assert.equal(hintOf("push", undefined), undefined);
});

test("lists the possible values, each on its own line", () => {
  const among = [
    { value: "alpaca", means: "adds in float32" },
    { value: "fastchat", means: "adds in float16" },
  ];
  const advice: Advice = { to: "say which script made it", option: "scheme", among };
  const lines =
    "say which script made it:\n  --scheme alpaca  (adds in float32)\n  --scheme fastchat  (adds in float16)";
  assert.equal(hintOf("recover", undefined, advice), lines);
  assert.equal(hintOf("inspect", "ask its maker", advice), "ask its maker");
});

test("spells another command as it is typed, whichever command is running", () => {
  const options = { raw: "llama 7b", tuned: "it's mine", diff: "OUT" };
  const advice: Advice = { to: "make a diff of it", command: "make-diff", options };
  assert.equal(
    hintOf("verify", "use it as it is", advice),
    "use it as it is, or make a diff of it: weight-diff make-diff --path_raw 'llama 7b' --path_tuned 'it'\\''s mine' --path_diff OUT",
  );
  assert.equal(
    hintOf("push", undefined, { to: "list it", command: "verify", options: { path: "a b" } }),
    "list it: weight-diff verify 'a b'",
  );
});

test("a note has its advice in brackets, where the command has the flag", () => {
  const advice: Advice[] = [
    { to: "write them", option: "invFreq", value: "keep" },
    { to: "silence this", option: "ignore", value: "swapped" },
  ];
  const both = "x (write them with --inv-freq keep, or silence this with --ignore swapped)";
  assert.equal(adviceAfter("x", advice, "make-diff"), both);
  assert.equal(adviceAfter("x", advice, "xor"), "x (silence this with --ignore swapped)");
  assert.equal(adviceAfter("x", advice, "verify"), "x");
  assert.equal(adviceAfter("x", [], "recover"), "x");
});
