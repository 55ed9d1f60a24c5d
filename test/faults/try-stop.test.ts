/** What ends try while its text comes: signals, a reader who leaves, a full disk under stdout. What is printed stays, and no file does. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { tryModel } from "../../src/index.js";
import { shell } from "../cli/command.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { tokenizerOf } from "../support/tried.js";
import { type Ended, start } from "./program.js";

/** A pass takes some milliseconds: these take as many seconds as nobody waits. */
const MOST = 2000;
const ASKED = ["--raw", "the", "--max-new-tokens", String(MOST)];

let release: () => void = () => {};
let folder: string;
let model: string;
let temporary: string;

before(async () => {
  // The folder lives until all tests have run.
  await new Promise<void>((ready, fail) => {
    void withFolder(async (place) => {
      folder = place;
      model = join(place, "model");
      temporary = join(place, "tmp");
      await mkdir(temporary);
      await cp(join(FIXTURES, "trained/llama/base"), model, { recursive: true });
      await writeFile(join(model, "tokenizer.json"), tokenizerOf("a"));
      await new Promise<void>((done) => {
        release = done;
        ready();
      });
    }).catch(fail);
  });
});
after(() => release());

/** Sends the signal once some letters of the answer are out. */
async function stopped(signal: NodeJS.Signals, ...more: readonly string[]): Promise<Ended> {
  const program = start(["try", model, ...ASKED, ...more], undefined, { TMPDIR: temporary });
  let out = "";
  await new Promise<void>((done) => {
    program.child.stdout?.on("data", (text: string) => {
      out += text;
      if ((out.split("\n\n")[1] ?? "").length >= 5) {
        done();
      }
    });
    void program.ended.then(() => done());
  });
  program.child.kill(signal);
  return program.ended;
}

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  for (const threads of ["1", "2"].slice(signal === "SIGINT" ? 0 : 1)) {
    test(`${signal} with ${threads} threads: ${code}, the text so far, and no file`, async () => {
      const ended = await stopped(signal, "--threads", threads);
      assert.deepEqual([ended.code, ended.signal], [code, null], ended.stderr);
      assert.deepEqual(ended.stderr.trimEnd().split("\n").slice(-1), ["weight-diff: error: interrupted"]);
      const [head = "", text = "", ...rest] = ended.stdout.split("\n\n");
      assert.match(head, /^ {2}next {5}/m);
      assert.deepEqual(rest, []);
      // It ends its line, and is the beginning of what would have come.
      const answer = text.slice(0, -1);
      assert.equal(text.at(-1), "\n");
      assert.ok(answer.length >= 5 && answer.length < MOST, String(answer.length));
      const whole = await tryModel({ path: model, text: "the", maxNewTokens: answer.length + 1, threads: 0 });
      assert.ok(whole.text?.startsWith(answer), `${answer} of ${whole.text}`);
      assert.deepEqual(await readdir(temporary), []);
    });
  }
}

test("not even SIGKILL leaves a file", async () => {
  assert.equal((await stopped("SIGKILL")).signal, "SIGKILL");
  assert.deepEqual(await readdir(temporary), []);
});

test("a signal before the first pass is done prints nothing", async () => {
  const program = start(["try", model, ...ASKED], undefined, { TMPDIR: temporary });
  await new Promise<void>((done) => {
    program.child.stderr?.on("data", (text: string) => /each token is a pass/.test(text) && done());
    void program.ended.then(() => done());
  });
  program.child.kill("SIGINT");
  const { code, stdout } = await program.ended;
  assert.equal(code, 130);
  // It may have come so far in the meantime.
  assert.ok(stdout === "" || stdout.includes("  next     "), stdout);
  assert.deepEqual(await readdir(temporary), []);
});

/** How many passes were begun when it ended, by its last event of progress. */
async function passes(events: string): Promise<number> {
  const told = (await readFile(events, "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === "progress");
  // The first tells of one pass alone.
  return told.length === 0 ? 0 : told.at(-1).done / told[0].total;
}

for (const [who, reader, code] of [
  ["a reader who takes one line", "| head -1 > /dev/null", 0],
  ["a reader who takes nothing", "| true", 0],
  ["a full disk", "> /dev/full", 5],
] as const) {
  test(`${who} ends it at once with ${code}`, {
    skip: reader.includes("full") && !existsSync("/dev/full"),
  }, async () => {
    const events = join(folder, "events");
    const line = `export TMPDIR="${temporary}"; "$@" --events 2> ${events} ${reader}; echo "\${PIPESTATUS[0]}"`;
    const { text } = shell(line, ["try", model, ...ASKED]);
    assert.equal(text, `${code}\n`);
    assert.ok((await passes(events)) < MOST / 2, "it went on for nobody");
    const said = await readFile(events, "utf8");
    assert.equal(said.includes('"error"'), code !== 0, said);
    assert.deepEqual(await readdir(temporary), []);
  });
}
