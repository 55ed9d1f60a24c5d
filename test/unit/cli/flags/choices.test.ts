/** What a flag takes, read from its schema. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import { choicesOf, kindOf } from "../../../../src/cli/flags/choices.js";
import type { Flag } from "../../../../src/cli/flags/flag.js";
import { FLAGS } from "../../../../src/cli/flags/table.js";
import { dtype, oneOf, size, someOf, text } from "../../../../src/cli/flags/values.js";

const row = (more: Partial<Flag>): Flag => ({ name: "x", commands: [], group: "run", help: "", option: "x", ...more });

for (const [what, schema, choices] of [
  ["one of a list", oneOf(["a", "b"]), ["a", "b"]],
  ["several of a list", someOf(["a", "b"]), ["a", "b"]],
  ["names that stand for others", dtype, ["float32", "fp32", "float16", "fp16", "bfloat16", "bf16"]],
  ["any text", text, []],
  ["a size", size, []],
  ["what is checked by a function", z.custom(), []],
] as const) {
  test(`${what}: ${choices.length === 0 ? "no choices" : choices.join(" ")}`, () => {
    assert.deepEqual(choicesOf(row({ takes: "X", schema })), choices);
    assert.equal(kindOf(row({ takes: "X", schema })), choices.length === 0 ? "text" : "choice");
  });
}

test("a row of the table may name its own choices", () => {
  assert.deepEqual(choicesOf(row({ takes: "X", schema: text, choices: ["c"] })), ["c"]);
});

test("a flag without a value is a switch, with N a number, with FILE a path", () => {
  assert.deepEqual(
    ["N", "FILE", undefined].map((takes) => kindOf(row(takes === undefined ? {} : { takes }))),
    ["number", "path", "switch"],
  );
});

test("every choice of every flag is one that the flag takes", () => {
  for (const flag of FLAGS.filter(({ hidden }) => hidden !== true)) {
    for (const word of choicesOf(flag)) {
      assert.ok(flag.schema?.safeParse(word).success, `--${flag.name} ${word}`);
    }
  }
});
