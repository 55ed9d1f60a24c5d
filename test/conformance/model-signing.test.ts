/**
 * Signatures, both ways, with the real model-signing (PyPI, 1.1.1): it verifies what is signed here, and what it signs is verified here;
 * what one of them refuses, the other refuses. A venv for it is made below the temporary folder.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { checkSignature } from "../../src/check/signature.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import { sign } from "../../src/commands/sign.js";
import { SIGNATURE } from "../../src/output/state.js";
import { BASE, DIFF } from "../cli/command.js";
import { ROOT } from "../support/fixtures.js";
import { type KeyFiles, newKeys } from "../support/keys.js";
import { refuses } from "../support/refusal.js";

const base = process.env.WEIGHT_DIFF_PYTHON;
const skip = base === undefined ? "WEIGHT_DIFF_PYTHON is not set" : false;
const HOME = mkdtempSync(join(tmpdir(), "weight-diff-signing-"));
const CURVES = ["prime256v1", "secp384r1", "secp521r1"] as const;
let python = "";
let keys: Readonly<Record<(typeof CURVES)[number], KeyFiles>>;

before(async () => {
  if (base === undefined) {
    return;
  }
  execFileSync(base, ["-m", "venv", join(HOME, "venv")]);
  python = join(HOME, "venv/bin/python");
  const requirements = join(ROOT, "test/conformance/model-signing.txt");
  execFileSync(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  keys = Object.fromEntries(CURVES.map((curve) => [curve, newKeys(HOME, curve)])) as typeof keys;
  await recover({ raw: BASE, diff: DIFF, tuned: join(HOME, "tuned"), threads: 0 });
});
after(() => rmSync(HOME, { recursive: true }));

/** What it says: stdout, or the reason on stderr. */
function modelSigning(...args: readonly string[]): string {
  const { stdout, stderr } = spawnSync(python, ["-m", "model_signing", ...args], { encoding: "utf8" });
  return stdout.trim() === "" ? stderr.trim() : stdout.trim();
}

const theyVerify = (folder: string, { verifyKey }: KeyFiles): string =>
  modelSigning("verify", "key", folder, "--signature", join(folder, SIGNATURE), "--public_key", verifyKey);
const theySign = (folder: string, { signKey }: KeyFiles, ...more: readonly string[]): string =>
  modelSigning("sign", "key", folder, "--signature", join(folder, SIGNATURE), "--private_key", signKey, ...more);
const weVerify = async (folder: string, { verifyKey }: KeyFiles): Promise<readonly string[]> =>
  (await checkSignature(folder, verifyKey, { threads: 0 })).problems.map(({ file, message }) => `${file}: ${message}`);

function newFolder(name: string): string {
  const folder = join(HOME, name);
  mkdirSync(join(folder, "a/b"), { recursive: true });
  // Where paths are ordered by their parts and where by their text, these differ.
  for (const file of ["a/b/größe.bin", "a.txt", "a/z", "A", "𝒶", "ﬀ", "leer zeichen"]) {
    writeFileSync(join(folder, file), `contents of ${file}`);
  }
  return folder;
}

for (const curve of CURVES) {
  test(`model-signing verifies what is signed here, and the other way round: ${curve}`, { skip }, async () => {
    const ours = newFolder(`ours-${curve}`);
    await sign({ path: ours, signKey: keys[curve].signKey, threads: 0 });
    assert.equal(theyVerify(ours, keys[curve]), "Verification succeeded");
    // What hf download keeps of its own is signed by neither.
    mkdirSync(join(ours, ".cache/huggingface/download"), { recursive: true });
    writeFileSync(join(ours, ".cache/huggingface/download/A.metadata"), "");
    assert.equal(theyVerify(ours, keys[curve]), "Verification succeeded");
    assert.deepEqual(await weVerify(ours, keys[curve]), []);
    const theirs = newFolder(`theirs-${curve}`);
    assert.equal(theySign(theirs, keys[curve]), "Signing succeeded");
    assert.deepEqual(await weVerify(theirs, keys[curve]), []);
  });
}

test("model-signing verifies a diff that make-diff signed, with its further fields", { skip }, async () => {
  const diff = join(HOME, "diff");
  const { signKey } = keys.prime256v1;
  const { signature } = await makeDiff({ raw: BASE, tuned: join(HOME, "tuned"), diff, signKey, threads: 0 });
  assert.equal(signature?.recovers, 21);
  assert.equal(theyVerify(diff, keys.prime256v1), "Verification succeeded");
});

test("recover takes a diff that model-signing signed", { skip }, async () => {
  const diff = join(HOME, "signed-by-them");
  cpSync(DIFF, diff, { recursive: true });
  assert.equal(theySign(diff, keys.prime256v1), "Signing succeeded");
  const { verifyKey } = keys.prime256v1;
  const { outcome } = await recover({ raw: BASE, diff, verifyKey, threads: 0 });
  assert.equal(outcome, "checked");
  appendFileSync(join(diff, "config.json"), " ");
  await refuses(
    () => recover({ raw: BASE, diff, verifyKey, threads: 0 }),
    "CHECK_FAILED",
    /config\.json: is not the file that was signed/,
  );
});

for (const [what, change, theySay, weSay] of [
  [
    "a changed file",
    (folder: string) => appendFileSync(join(folder, "a.txt"), "x"),
    /Hash mismatch for 'a\.txt'/,
    /^a\.txt: is not the file/,
  ],
  [
    "a missing file",
    (folder: string) => rmSync(join(folder, "a/z")),
    /Missing files in model .*a\/z/,
    /^a\/z: missing/,
  ],
  [
    "an added file",
    (folder: string) => writeFileSync(join(folder, "a/y"), ""),
    /Extra files found in model .*a\/y/,
    /^a\/y: was added/,
  ],
] as const) {
  test(`both refuse ${what}, whoever signed`, { skip }, async () => {
    for (const who of ["us", "them"] as const) {
      const folder = newFolder(`${what} ${who}`);
      const pair = keys.prime256v1;
      if (who === "us") {
        await sign({ path: folder, signKey: pair.signKey, threads: 0 });
      } else {
        assert.equal(theySign(folder, pair), "Signing succeeded");
      }
      assert.equal(theyVerify(folder, pair), "Verification succeeded");
      change(folder);
      assert.match(theyVerify(folder, pair), theySay);
      assert.match((await weVerify(folder, pair)).join("\n"), weSay);
    }
  });
}

test("both refuse another key", { skip }, async () => {
  const folder = newFolder("another-key");
  const other = newKeys(HOME, "prime256v1", "other");
  await sign({ path: folder, signKey: keys.prime256v1.signKey, threads: 0 });
  assert.match(theyVerify(folder, other), /Key mismatch/);
  assert.match((await weVerify(folder, other)).join(), /signed with another key/);
});

test("what they left out of a signature is not signed", { skip }, async () => {
  const folder = newFolder("left-out");
  assert.equal(theySign(folder, keys.prime256v1, "--ignore-paths", join(folder, "A")), "Signing succeeded");
  assert.deepEqual(await weVerify(folder, keys.prime256v1), ["A: was added: it is not signed"]);
});

test("digests of other kinds are named, and not taken for good", { skip }, async () => {
  const folder = newFolder("blake3");
  const code = `
import model_signing, sys
folder, key = sys.argv[1:]
for name, config in (("blake3", model_signing.hashing.Config().use_file_serialization(hashing_algorithm="blake3")),
                     ("shards", model_signing.hashing.Config().use_shard_serialization())):
    signing = model_signing.signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(config)
    signing.sign(folder, f"{folder}.{name}")
`;
  execFileSync(python, ["-c", code, folder, keys.prime256v1.signKey]);
  for (const [name, says] of [
    ["blake3", /signs files by blake3: only files signed by sha256 can be checked/],
    ["shards", /signs shards by sha256/],
  ] as const) {
    cpSync(`${folder}.${name}`, join(folder, SIGNATURE));
    assert.match((await weVerify(folder, keys.prime256v1)).join(), says);
  }
});
