/** One command from flags to exit code: signals, notes, output. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { obey } from "../../../src/cli/command-line.js";
import type { During } from "../../../src/cli/commands/story.js";
import type { Stories } from "../../../src/cli/run-command.js";

/** What a command line does whose story is `tell`: exit code, stdout, stderr. */
async function play(
  line: string,
  tell: (during: During, print: (text: string) => void) => Promise<number>,
): Promise<{ readonly code: number; readonly out: string; readonly said: readonly string[] }> {
  const run = (_: unknown, during: During, print: (text: string) => void) => tell(during, print);
  const stories = new Proxy({}, { get: () => async () => ({ run }) }) as Stories;
  const { write } = process.stderr;
  let [out, said] = ["", ""];
  process.stderr.write = (text: string | Uint8Array) => {
    said += String(text);
    return true;
  };
  try {
    const code = await obey(
      line.split(" "),
      { write: (text) => (out += text), lost: null, finish: async () => null },
      stories,
    );
    return { code, out, said: said.split("\n").slice(0, -1) };
  } finally {
    process.stderr.write = write;
  }
}

const RECOVER = "recover --path_raw b --path_diff d";

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  const interrupt = async ({ signal: stop }: During): Promise<number> => {
    process.emit(signal, signal);
    stop.throwIfAborted();
    return 0;
  };
  for (const [line, lines] of [
    [
      `${RECOVER} --path_tuned o`,
      ["weight-diff: error: interrupted: what is finished stays", "weight-diff: hint: continue with --resume"],
    ],
    [RECOVER, ["weight-diff: error: interrupted"]],
    [`${RECOVER} --path_tuned o --dry-run`, ["weight-diff: error: interrupted"]],
    ["verify x", ["weight-diff: error: interrupted"]],
    ["inspect x", ["weight-diff: error: interrupted"]],
    ["push x a/b", ["weight-diff: error: interrupted"]],
  ] as const) {
    test(`${signal} during ${line} speaks of --resume only where there is something to resume`, async () => {
      const listeners = process.listenerCount(signal);
      assert.deepEqual(await play(line, interrupt), { code, out: "", said: lines });
      assert.equal(process.listenerCount(signal), listeners);
    });
  }
}

test("notes and warnings go to stderr, a warning once, the result to stdout, and the exit code is the story's", async () => {
  const tell = async (during: During, print: (text: string) => void): Promise<number> => {
    during.onNote("a note");
    during.onWarning("mind this");
    during.onWarning("mind this");
    print("the result\n");
    return 3;
  };
  assert.deepEqual(await play(`${RECOVER} --device cuda`, tell), {
    code: 3,
    out: "the result\n",
    said: [
      "weight-diff: --device: everything is computed on the CPU, with the bits that torch gives on a CPU",
      "weight-diff: a note",
      "weight-diff: warning: mind this",
    ],
  });
  assert.deepEqual((await play(`${RECOVER} --device cuda --quiet`, tell)).said, ["weight-diff: warning: mind this"]);
});
