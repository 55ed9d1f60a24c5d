/** What chain verify prints of its findings. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "../../../../src/cli/commands/chain-verify.js";
import type { ChainFinding, ChainVerifyReport } from "../../../../src/commands/chain/verify.js";

const finding = (message: string, hint: string | null, advice: ChainFinding["advice"] = []): ChainFinding => ({
  ...{ why: "frame", message, hint, advice },
  ...{ version: "000001", file: "a", tensor: null },
});

const REPORT: ChainVerifyReport = {
  ...{ path: "chain", verdict: "failed", chain: null, coverage: "structure", sums: 0, notes: [], bytesRead: 0 },
  seconds: 1,
  findings: [
    finding("one", "fetch it again"),
    finding("two", "fetch it again"),
    finding("three", null, [{ to: "choose a later version", option: "to" }]),
  ],
};

async function printed(format: "text" | "json", report = REPORT, raw?: string): Promise<string> {
  const printed: string[] = [];
  const options = { chain: "chain", raw, look: { format } } as unknown as Parameters<typeof run>[0];
  const during = { signal: new AbortController().signal, onProgress: () => {}, onNote: () => {}, onWarning: () => {} };
  const print = (text: string): void => void printed.push(text);
  assert.equal(await run(options, during, print, { chainVerify: async () => report }), 3);
  return printed.join("");
}

test("says what to do about each finding, and once what is the same for several in a row", async () => {
  assert.deepEqual((await printed("text")).split("\n").slice(0, 5), [
    "error  frame  one",
    "error  frame  two",
    "  hint: fetch it again",
    "error  frame  three",
    "  hint: choose a later version with --to",
  ]);
});

test("as JSON each finding has its hint, with options spelled as flags", async () => {
  const { findings } = JSON.parse(await printed("json"));
  assert.deepEqual(findings[2], {
    ...{ why: "frame", message: "three", version: "000001", file: "a", tensor: null },
    hint: "choose a later version with --to",
  });
  assert.equal(findings[0].hint, "fetch it again");
});

test("a long message with quoted names is printed in full, in one line", async () => {
  const message = `${"folder/".repeat(30)}a.safetensors: tensor "w" is not "flat"\n  and more`;
  const report = { ...REPORT, notes: [message], findings: [finding(message, null)] };
  const [error, note] = (await printed("text", report)).split("\n");
  assert.equal(error, `error  frame  ${message.replace("\n  ", " ")}`);
  assert.equal(note, `note  ${message.replace("\n  ", " ")}`);
});

test("says why no checksum was computed: there is no base, or what was found prevents it", async () => {
  assert.match(await printed("text"), /without the base no checksum is computed \(--path_raw\)/);
  const based = await printed("text", REPORT, "base");
  assert.match(based, /what was found prevents that a checksum is computed/);
  assert.doesNotMatch(based, /without the base/);
});
