/** recover and xor on whole files, as a user runs them. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { bytesText } from "../../src/run/preflight.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { weightDiff } from "./command.js";

const XOR = join(FIXTURES, "xor");
const BASE = join(XOR, "base");
const PAYLOAD = join(XOR, "oa-plain", "payload");
const WHY = `${PAYLOAD} holds pytorch_model-00001-of-00002.bin, which has a weight file's name but is not one`;
const COMPARE =
  "weight-diff: only the result's hashes would show a wrong base of the same layout: compare those in weight-diff.json with the model's card";

test("recover recognises a payload, prints the evidence, and what was checked", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "out");
    const { code, out, said } = await weightDiff([
      ...["recover", "--path_raw", BASE, "--path_diff", PAYLOAD, "--path_tuned", tuned],
    ]);
    assert.equal(code, 0, said.join("\n"));
    assert.deepEqual(said, [`weight-diff: scheme oa-xor: ${WHY}`, COMPARE]);
    const lines = out.split("\n");
    assert.deepEqual(lines.slice(0, 2), [`recovered 9 files in ${tuned}`, `  scheme   oa-xor: ${WHY}`]);
    assert.match(lines[2] ?? "", /^ {2}files {4}8 files XORed, 1 copied, [\d.]+ kB$/);
    assert.equal(
      lines[3],
      "  checked  the beginning of every file; CRC-32 of 12 records; inputs unchanged during the run; sha256 of every file in weight-diff.json",
    );
    const verified = await weightDiff(["verify", tuned]);
    assert.equal(verified.code, 0);
    assert.deepEqual(verified.out.split("\n").slice(0, 2), [
      `sound: ${tuned}: full model of 12 tensors in 2 files`,
      "  checked  structure, values, digests of weight-diff.json",
    ]);
  });
});

test("xor takes the original's argument order; --dry-run lists the files and writes nothing", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "out");
    const planned = await weightDiff(["xor", tuned, PAYLOAD, BASE, "--dry-run", "--quiet"]);
    assert.equal(planned.code, 0);
    const lines = planned.out.split("\n");
    assert.equal(lines[0], `would write 9 files to ${tuned}`);
    assert.deepEqual(lines.slice(3, 5), ["    copy added_tokens.json, 18 B", "    xor  config.json, 305 B"]);
    assert.equal(existsSync(tuned), false);
    assert.equal((await weightDiff(["xor", tuned, PAYLOAD, BASE, "--decode", "--quiet"])).code, 0);
    const again = await weightDiff(["xor", tuned, PAYLOAD, BASE]);
    assert.equal(again.code, 4);
    assert.equal(again.said.at(-2), `weight-diff: error: ${tuned}: is not empty`);
    const finished = await weightDiff(["xor", tuned, PAYLOAD, BASE, "--resume"]);
    assert.equal(
      finished.out.split("\n")[0],
      `${tuned} is finished already: 9 files verified against weight-diff.json`,
    );
  });
});

test("--encode makes a payload that verify knows, --compress a smaller one, and both come back", async () => {
  await withFolder(async (folder) => {
    const [tuned, payload, back] = [join(folder, "tuned"), join(folder, "payload"), join(folder, "back")];
    await weightDiff(["xor", tuned, PAYLOAD, BASE, "--quiet"]);
    const encoded = await weightDiff(["xor", payload, tuned, BASE, "--encode", "--compress", "--quiet"]);
    assert.equal(encoded.code, 0, encoded.said.join("\n"));
    assert.equal(encoded.out.split("\n")[0], `encoded 9 files in ${payload}`);
    const verified = await weightDiff(["verify", payload]);
    assert.deepEqual(verified.out.split("\n").slice(0, 2), [
      `sound: ${payload}: XOR payload of 9 files`,
      "  checked  digests of weight-diff.json",
    ]);
    const written = (await Promise.all((await readdir(payload)).map((file) => stat(join(payload, file)))))
      .map(({ size }) => size)
      .reduce((sum, size) => sum + size, -(await stat(join(payload, "weight-diff.json"))).size);
    assert.match(encoded.out, new RegExp(`, wrote ${bytesText(written).replace(".", "\\.")}, `));
    assert.equal((await weightDiff(["xor", back, payload, BASE, "--quiet"])).code, 0);
    assert.deepEqual(await readdir(back), await readdir(tuned));
    const refused = await weightDiff(["xor", join(folder, "x"), payload, BASE, "--encode"]);
    assert.equal(refused.code, 4);
    assert.match(refused.said.at(-2) ?? "", /is not a torch file, as one of the model should be/);
  });
});

test("recover decrypts .enc files with the key or its directory, and tells that the key is not Meta's", async () => {
  const payload = join(XOR, "enc-short-key", "payload");
  const key = join(XOR, "enc-short-key", "key", "consolidated.00.pth");
  const { code, out, said } = await weightDiff(["recover", "--path_raw", key, "--path_diff", payload, "--json"]);
  assert.equal(code, 0, said.join("\n"));
  const { outcome, scheme, files, ...more } = JSON.parse(out) as {
    readonly outcome: string;
    readonly scheme: string;
    readonly files_with_stated_digest: number;
    readonly files: readonly unknown[];
  };
  assert.deepEqual([outcome, scheme, files.length, more.files_with_stated_digest], ["checked", "point-alpaca", 9, 9]);
  assert.ok(
    said.includes(
      `weight-diff: warning: ${key}: has 1501 bytes; Meta's 7B consolidated.00.pth, the key of all published .enc files, has 13476939516`,
    ),
    said.join("\n"),
  );
});

const USAGE: readonly (readonly [what: string, args: readonly string[], line: string])[] = [
  ["both directions", ["--encode", "--decode"], "--encode and --decode contradict each other"],
  ["both modes", ["--force", "--resume"], "--force and --resume contradict each other"],
  ["encrypting", ["--encode", "--scheme", "point-alpaca"], "--encode makes no .enc files"],
  [
    "a scheme of tensors",
    ["--scheme", "alpaca"],
    '--scheme: "alpaca" is not one of auto, oa-xor, pygmalion, point-alpaca',
  ],
];
for (const [what, args, line] of USAGE) {
  test(`xor refuses ${what}`, async () => {
    const { code, said } = await weightDiff(["xor", "out", PAYLOAD, BASE, ...args]);
    assert.equal(code, 2);
    assert.equal(said[0], `weight-diff: error: ${line}`);
  });
}

test("whole files are XORed by as many threads as recover is told", async () => {
  const told = await weightDiff(["recover", "--path_raw", BASE, "--path_diff", PAYLOAD, "--threads", "2", "--json"]);
  assert.equal(told.code, 0);
  assert.equal(JSON.parse(told.out).threads, 2);
});

test("xor says that a model is no payload", async () => {
  const { code, said } = await weightDiff(["xor", "out", BASE, BASE]);
  assert.equal(code, 4);
  assert.deepEqual(said, [
    `weight-diff: error: ${BASE}: nothing here is XORed: there are no weight files, or each is what its name says`,
    "weight-diff: hint: make a payload of a model with --encode, or decode all the same with --scheme oa-xor",
  ]);
});
