/** An error's advice, in flags. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hintText } from "../../../src/cli/advice.js";
import { type Advice, WeightDiffError } from "../../../src/errors.js";

const hintOf = (hint: string | undefined, ...advice: Advice[]): string | undefined =>
  hintText(new WeightDiffError("IO", "x", hint, { advice }));

test("says an option's value with its flag", () => {
  assert.equal(
    hintOf("get the base", { to: "go on all the same", option: "ignore", value: "wrong-base" }),
    "get the base, or go on all the same with --ignore wrong-base",
  );
});

test("says a value that has a flag of its own with that", () => {
  assert.equal(
    hintOf(
      undefined,
      { to: "continue it", option: "mode", value: "resume" },
      { to: "start over", option: "mode", value: "force" },
    ),
    "continue it with --resume, or start over with --force",
  );
  assert.equal(
    hintOf("x", { to: "read without a copy", option: "hub.cache", value: null }),
    "x, or read without a copy with --no-cache",
  );
});

test("says what to do once the hint is followed", () => {
  const resume: Advice = { to: "continue", option: "mode", value: "resume", afterwards: true };
  assert.equal(hintOf("free some space", resume), "free some space, then continue with --resume");
  assert.equal(hintOf(undefined, resume), "continue with --resume");
});

test("says nothing of an option that has no flag, and nothing where there is nothing to say", () => {
  assert.equal(hintOf("check the disk", { to: "wait longer", option: "idleMs" }), "check the disk");
  assert.equal(hintOf(undefined), undefined);
});
