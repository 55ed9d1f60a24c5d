/** Signatures of folders. Expected values of the format come from model-signing itself: test/conformance/model-signing.test.ts. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readPrivateKey, readPublicKey } from "../../../src/check/signature/keys.js";
import { checkSignature, requireSignature, signFolder } from "../../../src/check/signature.js";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { recover } from "../../../src/commands/recover.js";
import { sign } from "../../../src/commands/sign.js";
import { verify } from "../../../src/commands/verify.js";
import { WeightDiffError } from "../../../src/errors.js";
import { SIGNATURE } from "../../../src/output/state.js";
import { BASE, DIFF } from "../../cli/command.js";
import { newKeys } from "../../support/keys.js";
import { refuses } from "../../support/refusal.js";

const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
after(() => rmSync(HOME, { recursive: true }));
const keys = newKeys(HOME);
const SMALL = { threads: 0 } as const;
let folders = 0;

/** A folder of a few small files, signed. */
async function signedFolder(): Promise<string> {
  const folder = join(HOME, `folder-${folders++}`);
  mkdirSync(join(folder, "sub/sub"), { recursive: true });
  writeFileSync(join(folder, "config.json"), '{"a": 1}\n');
  writeFileSync(join(folder, "empty"), "");
  writeFileSync(join(folder, "sub/sub/größe 1.bin"), "weights");
  await sign({ path: folder, signKey: keys.signKey, ...SMALL });
  return folder;
}

const problemsOf = async (folder: string): Promise<readonly string[]> =>
  (await checkSignature(folder, keys.verifyKey, SMALL)).problems.map(({ file, message }) => `${file}: ${message}`);

test("an unchanged folder passes, even under another name", async () => {
  const folder = await signedFolder();
  assert.deepEqual(await problemsOf(folder), []);
  cpSync(folder, `${folder}-copy`, { recursive: true });
  assert.deepEqual(await problemsOf(`${folder}-copy`), []);
  assert.equal((await requireSignature(folder, keys.verifyKey, SMALL)).files, 3);
});

test("every byte of every file counts", async () => {
  const folder = await signedFolder();
  let flipped = 0;
  for (const name of ["config.json", "sub/sub/größe 1.bin"]) {
    const bytes = readFileSync(join(folder, name));
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      writeFileSync(join(folder, name), changed);
      assert.deepEqual(await problemsOf(folder), [`${name}: is not the file that was signed`]);
      flipped++;
    }
    writeFileSync(join(folder, name), bytes);
  }
  assert.ok(flipped > 15);
  assert.deepEqual(await problemsOf(folder), []);
});

for (const [what, change, problem] of [
  ["a file that is missing", (folder: string) => rmSync(join(folder, "empty")), "empty: missing: it was signed"],
  [
    "a file that was added",
    (folder: string) => writeFileSync(join(folder, "x.py"), ""),
    "x.py: was added: it is not signed",
  ],
  ["a hidden one", (folder: string) => writeFileSync(join(folder, ".x"), ""), ".x: was added: it is not signed"],
  [
    "one in a folder",
    (folder: string) => writeFileSync(join(folder, "sub/x"), ""),
    "sub/x: was added: it is not signed",
  ],
  [
    "a file that grew",
    (folder: string) => writeFileSync(join(folder, "empty"), "x"),
    "empty: is not the file that was signed",
  ],
  ["no signature", (folder: string) => rmSync(join(folder, SIGNATURE)), "model.sig: missing: the folder is not signed"],
  ["a signature that is no JSON", (folder: string) => writeFileSync(join(folder, SIGNATURE), "x"), /^model\.sig: /],
  ["an empty one", (folder: string) => writeFileSync(join(folder, SIGNATURE), ""), /^model\.sig: /],
  [
    "one of something else",
    (folder: string) => writeFileSync(join(folder, SIGNATURE), "{}"),
    /^model\.sig: no signature of OpenSSF/,
  ],
] as const) {
  test(`${what} is refused`, async () => {
    const folder = await signedFolder();
    change(folder);
    const [found = "", ...more] = await problemsOf(folder);
    assert.deepEqual(more, []);
    assert.match(found, problem instanceof RegExp ? problem : new RegExp(`^${problem.replace(/[.?]/g, "\\$&")}$`));
    await refuses(() => requireSignature(folder, keys.verifyKey, SMALL), "CHECK_FAILED", new RegExp(`^${folder}: `));
  });
}

test("files that git and hf download keep for themselves are not signed", async () => {
  const folder = await signedFolder();
  mkdirSync(join(folder, ".git"));
  mkdirSync(join(folder, ".cache/huggingface/download"), { recursive: true });
  for (const name of [".git/HEAD", ".gitattributes", ".cache/huggingface/download/config.json.metadata"]) {
    writeFileSync(join(folder, name), "x");
  }
  assert.deepEqual(await problemsOf(folder), []);
  writeFileSync(join(folder, ".cache/other"), "x");
  assert.deepEqual(await problemsOf(folder), [".cache/other: was added: it is not signed"]);
});

test("a changed byte in a signed file, or in the signature, is refused", async () => {
  const folder = await signedFolder();
  const place = join(folder, SIGNATURE);
  const text = readFileSync(place, "utf8");
  const { dsseEnvelope } = JSON.parse(text) as {
    readonly dsseEnvelope: { readonly payload: string; readonly signatures: readonly { readonly sig: string }[] };
  };
  for (const part of [dsseEnvelope.payload, dsseEnvelope.signatures[0]?.sig ?? ""]) {
    const start = text.indexOf(part);
    // The last letters of base64 may stand for fewer bits than they have.
    for (let at = start; at < start + part.length - 4; at += 7) {
      const letter = text[at] === "A" ? "B" : "A";
      writeFileSync(place, text.slice(0, at) + letter + text.slice(at + 1));
      assert.deepEqual(await problemsOf(folder), [
        "model.sig: the signature is not by this key, or its text was changed",
      ]);
    }
  }
});

test("a signature never ends in another error, wherever a byte of its file is changed or cut off", async () => {
  const folder = await signedFolder();
  const place = join(folder, SIGNATURE);
  const bytes = readFileSync(place);
  for (let at = 0; at < bytes.length; at += 5) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 0x11;
    writeFileSync(place, changed);
    await problemsOf(folder);
    writeFileSync(place, bytes.subarray(0, at));
    assert.equal((await problemsOf(folder)).length, 1);
  }
});

test("another key is named as such", async () => {
  const folder = await signedFolder();
  const other = newKeys(HOME, "prime256v1", "other");
  const { problems } = await checkSignature(folder, other.verifyKey, SMALL);
  assert.match(
    problems[0]?.message ?? "",
    /^signed with another key: its public key has the sha256 [0-9a-f]{16}…, the one given/,
  );
});

for (const curve of ["prime256v1", "secp384r1", "secp521r1"]) {
  test(`keys on ${curve} sign`, async () => {
    const folder = await signedFolder();
    const own = newKeys(HOME, curve);
    await signFolder(folder, await readPrivateKey(own.signKey), SMALL);
    assert.deepEqual((await checkSignature(folder, own.verifyKey, SMALL)).problems, []);
  });
}

test("a file that is not a key, or a key of another kind, is refused with the remedy", async () => {
  const write = (name: string, text: string | Buffer): string => {
    writeFileSync(join(HOME, name), text);
    return join(HOME, name);
  };
  const pem = { type: "pkcs8", format: "pem" } as const;
  const ed = generateKeyPairSync("ed25519");
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const k1 = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
  const locked = generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
  for (const [key, says] of [
    [ed, /a key of kind ed25519: signatures of models take EC keys/],
    [rsa, /a key of kind rsa/],
    [k1, /a key of kind secp256k1/],
  ] as const) {
    await refuses(
      () => readPrivateKey(write("odd.pem", key.privateKey.export(pem) as string)),
      "FORMAT_UNSUPPORTED",
      says,
    );
    const text = key.publicKey.export({ type: "spki", format: "pem" }) as string;
    await refuses(() => readPublicKey(write("odd.pub", text)), "FORMAT_UNSUPPORTED", says);
  }
  const secret = locked.export({ ...pem, cipher: "aes-256-cbc", passphrase: "x" }) as string;
  await refuses(() => readPrivateKey(write("locked.pem", secret)), "FORMAT_UNSUPPORTED", /locked with a password/);
  await refuses(() => readPublicKey(keys.signKey), "FORMAT_INVALID", /a private key, where a public one is needed/);
  await refuses(() => readPrivateKey(keys.verifyKey), "FORMAT_INVALID", /no private key/);
  for (const text of ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]) {
    await refuses(() => readPublicKey(write("none.pub", text)), "FORMAT_INVALID", /no public key/);
    await refuses(() => readPrivateKey(write("none.pem", text)), "FORMAT_INVALID", /no private key/);
  }
  await refuses(() => readPublicKey(join(HOME, "nowhere.pub")), "NOT_FOUND", /nowhere\.pub/);
});

test("a link to a folder is refused, and one to a file is the file", async () => {
  const folder = await signedFolder();
  symlinkSync("config.json", join(folder, "link.json"));
  await sign({ path: folder, signKey: keys.signKey, ...SMALL });
  assert.deepEqual(await problemsOf(folder), []);
  symlinkSync("..", join(folder, "sub/loop"));
  await refuses(
    () => sign({ path: folder, signKey: keys.signKey, ...SMALL }),
    "FORMAT_UNSUPPORTED",
    /loop: neither a file nor a folder/,
  );
});

test("make-diff signs what it writes, with the digests that it recovers; verify and recover hold it to that", async () => {
  const tuned = join(HOME, "tuned");
  const diff = join(HOME, "diff");
  await recover({ raw: BASE, diff: DIFF, tuned, threads: 0 });
  const { signature } = await makeDiff({ raw: BASE, tuned, diff, signKey: keys.signKey, threads: 0 });
  assert.equal(signature?.recovers, 21);
  const { payload } = JSON.parse(readFileSync(join(diff, SIGNATURE), "utf8")).dsseEnvelope;
  const statement = JSON.parse(Buffer.from(payload, "base64").toString());
  const report = await recover({ raw: BASE, diff, verifyKey: keys.verifyKey, threads: 0 });
  assert.deepEqual(
    statement.predicate.weight_diff.recovers.map(([name, sha256]: readonly string[]) => `${name} ${sha256}`).sort(),
    report.tensors.map(({ name, sha256 }) => `${name} ${sha256}`).sort(),
  );
  const sound = await verify({ path: diff, verifyKey: keys.verifyKey, requireDigests: true, threads: 0 });
  assert.deepEqual([sound.verdict, sound.findings, sound.signature?.files], ["sound", [], signature?.files]);

  // What cannot even be opened is refused for its signature: nothing was read of it.
  writeFileSync(join(diff, "model.safetensors"), "x");
  await refuses(
    () => recover({ raw: BASE, diff, verifyKey: keys.verifyKey, threads: 0 }),
    "CHECK_FAILED",
    /diff: model\.safetensors: is not the file that was signed$/,
  );
});

test("a manifest that says something else than the signature is refused, though both are signed", async () => {
  const diff = join(HOME, "diff-3");
  await makeDiff({ raw: BASE, tuned: join(HOME, "tuned"), diff, signKey: keys.signKey, threads: 0 });
  const place = join(diff, SIGNATURE);
  const { payload } = JSON.parse(readFileSync(place, "utf8")).dsseEnvelope;
  const statement = JSON.parse(Buffer.from(payload, "base64").toString());
  statement.predicate.weight_diff.recovers[0][1] = "0".repeat(64);
  const { sealed } = await import("../../../src/check/signature/bundle.js");
  writeFileSync(place, sealed(Buffer.from(JSON.stringify(statement)), await readPrivateKey(keys.signKey)));
  assert.deepEqual(await problemsOf(diff), ["weight-diff.json: recovers other tensors than the signature says"]);
});

test("the signature of an old model goes with it", async () => {
  const diff = join(HOME, "diff-5");
  const making = { raw: BASE, tuned: join(HOME, "tuned"), diff, threads: 0 };
  await makeDiff({ ...making, signKey: keys.signKey });
  await makeDiff({ ...making, encoding: "exact", mode: "force" });
  assert.throws(() => readFileSync(join(diff, SIGNATURE)), /ENOENT/);
  assert.equal((await verify({ path: diff, threads: 0 })).verdict, "sound");
});

test("a key that cannot sign is refused before the diff is made", async () => {
  const diff = join(HOME, "diff-4");
  await refuses(
    () => makeDiff({ raw: BASE, tuned: join(HOME, "tuned"), diff, signKey: keys.verifyKey, threads: 0 }),
    "FORMAT_INVALID",
    /no private key/,
  );
  assert.throws(() => readFileSync(join(diff, "weight-diff.json")));
});

test("a statement that contradicts itself is refused, though it is signed", async () => {
  const folder = await signedFolder();
  const key = await readPrivateKey(keys.signKey);
  const { sealed } = await import("../../../src/check/signature/bundle.js");
  const place = join(folder, SIGNATURE);
  const { payload } = JSON.parse(readFileSync(place, "utf8")).dsseEnvelope;
  const good = Buffer.from(payload, "base64").toString();
  for (const [from, to, says] of [
    ["Statement/v1", "Statement/v2", /the signature does not list the files of a model/],
    ["signature/v1.0", "signature/v2.0", /the signature does not list the files of a model/],
    ['"sha256":"', '"sha256":"0', /contradicts itself/],
    ["config.json", "empty", /contradicts itself/],
    ['"method":"files"', '"method":"shards"', /signs shards by sha256: only files signed by sha256 can be checked/],
    ['"hash_type":"sha256"', '"hash_type":"blake3"', /signs files by blake3/],
    ['"algorithm":"sha256"', '"algorithm":"sha512"', /contradicts itself/],
    ["config.json", "../../etc/passwd", /etc\/passwd: missing: it was signed/],
    ["{", "[", /model\.sig: /],
  ] as const) {
    assert.ok(good.includes(from), from);
    writeFileSync(place, sealed(Buffer.from(good.replace(from, to)), key));
    assert.match((await problemsOf(folder)).join("\n"), says);
  }
});

test("a place that is no folder, or is unfinished, is not signed", async () => {
  await refuses(() => sign({ path: join(HOME, "none"), signKey: keys.signKey }), "NOT_FOUND", /folders on this disk/);
  await refuses(() => sign({ path: keys.signKey, signKey: keys.signKey }), "NOT_FOUND", /folders on this disk/);
  mkdirSync(join(HOME, "nothing"));
  await refuses(() => sign({ path: join(HOME, "nothing"), signKey: keys.signKey }), "NOT_FOUND", /the folder is empty/);
  await assert.rejects(checkSignature("org/name", keys.verifyKey, SMALL), (error) => {
    assert.ok(error instanceof WeightDiffError && /hf download/.test(error.hint ?? ""));
    return true;
  });
});
