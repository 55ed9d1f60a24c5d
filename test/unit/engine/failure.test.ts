/** An error is the same one on the other side of a thread. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { errorOf, failureOf } from "../../../src/engine/failure.js";
import { WeightDiffError } from "../../../src/errors.js";

test("every field of an error comes along, and a crash shows where it came from", () => {
  const error = new WeightDiffError("MISMATCH", "two problems", "mend them", {
    at: { file: "f", tensor: "t" },
    why: "frame",
    advice: [{ to: "go on", option: "mode", value: "force" }],
    problems: ["one", "two"],
  });
  const sent = structuredClone(failureOf(error));
  const back = errorOf(sent, "a worker");
  assert.ok(back instanceof WeightDiffError);
  const fields = ({ code, kind, fact, hint, at, why, advice, problems, message }: WeightDiffError) => [
    ...[code, kind, fact, hint, at, why, advice, problems, message],
  ];
  assert.deepEqual(fields(back), fields(error));
  const crash = errorOf(structuredClone(failureOf(new RangeError("no"))), "a worker");
  assert.ok(!(crash instanceof WeightDiffError));
  assert.match(crash.message, /^a worker failed: RangeError: no\n {4}at /);
  assert.equal(errorOf(failureOf("text"), "a thread").message, "a thread failed: text");
});
