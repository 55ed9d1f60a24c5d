/** Below cli/ nobody names a flag: errors, warnings and notes name options, and cli/output/advice.ts says how the running command spells them. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FLAGS } from "../../src/cli/flags/table.js";
import { ROOT } from "../support/fixtures.js";

/** Who may write one all the same, and why. */
const EXCEPT: Readonly<Record<string, string>> = {
  "commands/make-diff/card.ts": "the card beside a diff tells its readers a command line",
  "scheme/custom.ts": "the name of a custom scheme, as manifests have it",
  "check/signature.ts": "a flag of another program: hf download",
  "hub/find.ts": "a flag of another program: hf download",
  "kernel/memory.ts": "a flag of another program: node",
};

const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => file.endsWith(".ts") && !file.startsWith("cli/"))
  .map((file) => ({ file, code: withoutComments(readFileSync(join(ROOT, "src", file), "utf8")) }));

/** Strings may hold "//", as in an address: only what stands at the beginning of a line, or after a space, begins a comment. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/ .*$/gm, "$1");
}

const flagsIn = (code: string): readonly string[] => code.match(/(?<![\w-])--[a-z][\w-]*/gi) ?? [];

test("finds a flag in a string, and none in a comment, an address or a decrement", () => {
  const line = "`run it again with --resume`; // or --force\n/** --json */ i--; 'https://x/models--org--name'";
  assert.deepEqual(flagsIn(withoutComments(line)), ["--resume"]);
  assert.ok(files.length > 200, String(files.length));
});

test("no string below cli/ names a flag", () => {
  const wrong = files.flatMap(({ file, code }) => flagsIn(code).map((flag) => `${file}: ${flag}`));
  const files_ = new Set(wrong.map((line) => line.split(": ")[0] ?? ""));
  assert.deepEqual(
    wrong.filter((line) => EXCEPT[line.split(": ")[0] ?? ""] === undefined),
    [],
  );
  assert.deepEqual(
    Object.keys(EXCEPT).filter((file) => !files_.has(file)),
    [],
    "no exception without a flag",
  );
});

/** Advice as the source writes it: { to: "…", option: "mode", value: "resume" }. */
const ADVICE = /\bto: [^{}]*?\boption: "([\w.]+)"(?:, value: ("\w[\w-]*"|true|false|null))?/g;
const advice = files.flatMap(({ file, code }) =>
  [...code.matchAll(ADVICE)].map(([, option = "", value]) => ({
    file,
    option,
    value: value === undefined ? undefined : (JSON.parse(value) as string | boolean | null),
  })),
);

test("finds the advice", () => {
  assert.ok(advice.length > 30, String(advice.length));
  assert.ok(advice.some(({ option, value }) => option === "hub.cache" && value === null));
  assert.ok(advice.some(({ option, value }) => option === "scheme" && value === "llava"));
});

test("every advised option has a flag that sets it to the advised value", () => {
  const spelled = (value: unknown): unknown =>
    ({ F32: "float32", F16: "float16", BF16: "bfloat16" })[String(value)] ?? value;
  const wrong = advice.filter(
    ({ option, value }) =>
      !FLAGS.some(
        ({ option: own, hidden, sets, schema }) =>
          own === option &&
          hidden !== true &&
          (value === undefined || sets === value || schema?.safeParse(spelled(value)).success === true),
      ),
  );
  assert.deepEqual(wrong, []);
});
