/** sign, make-diff --sign-key, verify --verify-key and recover --verify-key, as they are run. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { startHub, type TestHub } from "../hub/server.js";
import { type KeyFiles, newKeys } from "../support/keys.js";
import { BASE, DIFF, recoverDemo, weightDiff } from "./command.js";

const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
const tuned = join(HOME, "tuned");
const diff = join(HOME, "diff");
let keys: KeyFiles;
let hub: TestHub;

before(async () => {
  keys = newKeys(HOME);
  hub = await startHub();
  hub.account("hf_writer", { name: "org", namespaces: ["org"] });
  assert.equal((await recoverDemo("--path_tuned", tuned)).code, 0);
});
after(async () => {
  await hub.close();
  rmSync(HOME, { recursive: true });
});

const verifyDiff = (...more: readonly string[]) =>
  weightDiff(["verify", diff, "--verify-key", keys.verifyKey, ...more]);

test("make-diff signs and pushes; what the Hub has then is as it was signed", async () => {
  const args = ["make-diff", "--path_raw", BASE, "--path_tuned", tuned, "--path_diff", diff];
  const env = { HF_ENDPOINT: hub.endpoint, HF_TOKEN: "hf_writer" };
  const { code, out, said } = await weightDiff([...args, "--sign-key", keys.signKey, "--push", "org/diff"], env);
  assert.equal(code, 0, said.join("\n"));
  assert.match(out, /^ {2}signed {3}12 files in \S+diff\/model\.sig, key [0-9a-f]{64}$/m);
  assert.ok(!said.some((line) => line.includes("not pushed")), said.join("\n"));
  const fetched = join(HOME, "fetched");
  const repo = hub.repos.get("org/diff");
  for (const [file, { bytes }] of [...(repo?.commits.values() ?? [])].at(-1)?.files ?? []) {
    mkdirSync(dirname(join(fetched, file)), { recursive: true });
    writeFileSync(join(fetched, file), bytes);
  }
  const verified = await weightDiff(["verify", fetched, "--verify-key", keys.verifyKey, "--json"]);
  assert.equal(verified.code, 0, verified.out);
  const { signature, findings } = JSON.parse(verified.out);
  assert.deepEqual([signature.files, findings], [12, []]);
});

test("verify says by whose key; recover says so before it begins, and passes", async () => {
  const { code, out } = await verifyDiff();
  assert.equal(code, 0, out);
  assert.match(
    out,
    /^ {2}checked {2}structure, values, digests of weight-diff\.json; signature of 12 files by key [0-9a-f]{16}…$/m,
  );
  const recovered = await weightDiff([
    "recover",
    "--path_raw",
    BASE,
    "--path_diff",
    diff,
    "--verify-key",
    keys.verifyKey,
  ]);
  assert.equal(recovered.code, 0);
  assert.match(
    recovered.said[0] ?? "",
    /^weight-diff: the diff is as it was signed: 12 files by the key [0-9a-f]{16}…$/,
  );
});

test("sign signs any folder anew, and says how many files", async () => {
  const { code, out } = await weightDiff(["sign", diff, "--sign-key", keys.signKey]);
  assert.equal(code, 0);
  const [first, second] = out.split("\n");
  assert.match(first ?? "", /^signed 12 files, and the digests of the 21 tensors that it recovers in \S+model\.sig$/);
  assert.match(second ?? "", /^ {2}key {6}[0-9a-f]{64}$/);
  const asJson = JSON.parse((await weightDiff(["sign", diff, "--sign-key", keys.signKey, "--json"])).out);
  assert.deepEqual([asJson.command, asJson.files, asJson.recovers], ["sign", 12, 21]);
});

test("a diff that was changed ends verify and recover with 3, and nothing is written", async () => {
  appendFileSync(join(diff, "tokenizer_config.json"), "\n");
  writeFileSync(join(diff, "evil.py"), "print()\n");
  const { code, out } = await verifyDiff();
  assert.equal(code, 3);
  assert.match(out, /^error +signature +evil\.py +was added: it is not signed$/m);
  assert.match(out, /^error +signature +tokenizer_config\.json +is not the file that was signed$/m);
  const out2 = join(HOME, "never");
  const args = [
    "recover",
    "--path_raw",
    BASE,
    "--path_diff",
    diff,
    "--path_tuned",
    out2,
    "--verify-key",
    keys.verifyKey,
  ];
  const refused = await weightDiff(args);
  assert.equal(refused.code, 3);
  assert.deepEqual(refused.said, [
    `weight-diff: error: ${diff}: not what was signed: 2 files differ`,
    "weight-diff: hint: fetch the files again from their publisher",
    "  tokenizer_config.json: is not the file that was signed",
    "  evil.py: was added: it is not signed",
  ]);
  assert.throws(() => rmSync(out2, { recursive: true }), { code: "ENOENT" });
});

for (const [what, args, code, says] of [
  ["an unsigned diff", ["verify", DIFF, "--verify-key", "K.pub"], 3, /model\.sig +missing: the folder is not signed/],
  [
    "a repository",
    ["verify", "org/diff", "--verify-key", "K.pub"],
    4,
    /only folders on this disk can be signed or checked/,
  ],
  ["no key", ["sign", DIFF], 2, /--sign-key: is missing: give your private key/],
  [
    "nothing to sign",
    ["make-diff", "--path_raw", "a", "--path_tuned", "b", "--sign-key", "K.pem"],
    2,
    /--sign-key without --path_diff/,
  ],
] as const) {
  test(`${what} is refused`, async () => {
    const found = await weightDiff(
      args.map((arg) => (arg.startsWith("K.") ? arg.replace("K.", `${HOME}/prime256v1.`) : arg)),
    );
    assert.equal(found.code, code);
    assert.match(`${found.out}${found.said.join("\n")}`, says);
  });
}
