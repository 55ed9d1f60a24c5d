/** Errors as the user reads them, and as scripts do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Explained, explain, glance } from "../../../src/cli/explain.js";
import { WeightDiffError } from "../../../src/errors.js";

/** What stderr and stdout get. */
function told(error: unknown, about: Partial<Explained> = {}) {
  const { write } = process.stderr;
  let [said, out] = ["", ""];
  process.stderr.write = (text: string | Uint8Array) => {
    said += String(text);
    return true;
  };
  try {
    const code = explain(
      error,
      { command: "recover", asJson: false, events: false, writes: true, streams: false, ...about },
      { write: (text) => (out += text), lost: null, finish: async () => null },
    );
    return { code, said, out };
  } finally {
    process.stderr.write = write;
  }
}

test("says what is wrong, then what to do", () => {
  const advice = [{ to: "continue", option: "mode", value: "resume", afterwards: true }] as const;
  const error = new WeightDiffError("DISK_FULL", "no room", "free some space", { at: { file: "out" }, advice });
  assert.deepEqual(told(error), {
    code: 5,
    said: "weight-diff: error: out: no room\nweight-diff: hint: free some space, then continue with --resume\n",
    out: "",
  });
  assert.equal(told(error, { writes: false }).said.split("\n")[1], "weight-diff: hint: free some space");
  assert.equal(told(error, { command: "push" }).said.split("\n")[1], "weight-diff: hint: free some space");
});

test("tells a program with one line of JSON on stderr, and with the usual document", () => {
  const error = new WeightDiffError("TRUNCATED", "ends\u0007 early", undefined, { at: { file: "a.bin" } });
  const { said, out } = told(error, { events: true, asJson: true });
  assert.deepEqual(JSON.parse(said), { event: "error", ...JSON.parse(out).error });
  assert.deepEqual([said.endsWith("\n"), said.trimEnd().split("\n").length], [true, 1]);
  assert.ok(glance(["recover", "--events"]).events);
  assert.ok(!glance(["recover", "--", "--events"]).events);
});

test("prints the same as a document, with the place", () => {
  const error = new WeightDiffError("TRUNCATED", "ends early", undefined, { at: { file: "a.bin", tensor: "x" } });
  assert.deepEqual(JSON.parse(told(error, { asJson: true }).out), {
    error: { code: "TRUNCATED", message: "a.bin: ends early", hint: null, at: { file: "a.bin", tensor: "x" } },
  });
});

test("reports an unforeseen error as a bug, with its stack on stderr, and as a document too", () => {
  const { code, said, out } = told(new TypeError("x is not a function"), { asJson: true });
  assert.equal(code, 1);
  assert.match(said, /^weight-diff: error: this is a bug in weight-diff: TypeError: x is not a function\n {4}at /);
  assert.match(said, /^weight-diff: hint: please report it with the command that you ran$/m);
  assert.deepEqual(JSON.parse(out), {
    error: {
      code: "BUG",
      message: "this is a bug in weight-diff: x is not a function",
      hint: "please report it with the command that you ran",
      at: null,
    },
  });
});

test("text out of a file cannot drive the terminal, nor be taken for another message", () => {
  const { said } = told(
    new WeightDiffError(
      "FORMAT_INVALID",
      "dtype \u001b[2J\u009b31m\u202e\r\nweight-diff: error: all is well\n::error::x",
    ),
  );
  assert.equal(
    said,
    "weight-diff: error: dtype \\u001b[2J\\u009b31m\\u202e\\u000d\n  weight-diff: error: all is well\n  : :error::x\n",
  );
});

test("sees in a wrong command line whether JSON was asked for", () => {
  for (const line of ["recover --json", "verify x --format json", "verify x --format=json", "nosuch --json --bogus"]) {
    assert.ok(glance(line.split(" ")).asJson, line);
  }
  for (const line of ["recover", "verify x --format text", "recover -- --json", "verify --format"]) {
    assert.ok(!glance(line.split(" ")).asJson, line);
  }
});
