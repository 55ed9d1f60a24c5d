/** The XOR codecs against what the published scripts made and decoded themselves (fixtures/xor). */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { recover } from "../../src/commands/recover.js";
import { withFolder, writeFiles } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { decode, encryptedFile, gunzipped } from "../support/xor-payloads.js";

const root = join(FIXTURES, "xor");
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

interface Expected {
  readonly files: readonly { readonly file: string; readonly size: number; readonly sha256: string }[];
}

const CASES = [
  ["oa-plain", "base", "oa-xor"],
  ["oa-gzip", "base", "oa-xor"],
  ["pygmalion", "base", "pygmalion"],
  ["enc-short-key", "enc-short-key/key", "point-alpaca"],
  ["enc-long-key", "enc-long-key/key/consolidated.00.pth", "point-alpaca"],
] as const;

for (const [name, base, scheme] of CASES) {
  const expected = JSON.parse(readFileSync(join(root, name, "expected.json"), "utf8")) as Expected;
  for (const asked of ["auto", scheme]) {
    test(`${name}: recover --scheme ${asked} gives every file that the script gives`, async () => {
      await withFolder(async (folder) => {
        const tuned = join(folder, "out");
        const report = await recover({
          raw: join(root, base),
          diff: join(root, name, "payload"),
          tuned,
          scheme: asked,
        });
        assert.equal(report.scheme, scheme);
        assert.equal(report.outcome, "recovered");
        const files = report.xor?.files.map(({ file, size, sha256: digest }) => ({ file, size, sha256: digest }));
        assert.deepEqual(files, expected.files);
        for (const { file, sha256: digest } of expected.files) {
          assert.equal(sha256(await readFile(join(tuned, file))), digest, file);
        }
        const names = [...expected.files.map(({ file }) => file), "weight-diff.json"].sort();
        assert.deepEqual(readdirSync(tuned).sort(), names);
      });
    });
  }
}

for (const [name, scheme, compress] of [
  ["oa-plain", "oa-xor", false],
  ["oa-gzip", "oa-xor", true],
  ["pygmalion", "pygmalion", false],
] as const) {
  test(`${name}: --encode makes the script's payload of the recovered model`, async () => {
    await withFolder(async (folder) => {
      const base = join(root, "base");
      const original = join(root, name, "payload");
      const tuned = join(folder, "tuned");
      await decode({ base, payload: original, out: tuned });
      const out = join(folder, "payload");
      await decode({ base, payload: tuned, out }, { direction: "encode", compress, scheme });
      for (const file of readdirSync(original)) {
        const [here, there] = [await readFile(join(out, file)), await readFile(join(original, file))];
        // gzip files differ in what is not their content: the script's hold its name and the time.
        const packed = compress && file !== "added_tokens.json";
        assert.deepEqual(packed ? gunzipped(here) : here, packed ? gunzipped(there) : there, file);
      }
      const again = await decode({ base, payload: out, out: join(folder, "again") });
      const expected = JSON.parse(readFileSync(join(root, name, "expected.json"), "utf8")) as Expected;
      assert.deepEqual(
        again.files.map(({ file, sha256: digest }) => [file, digest]),
        expected.files.map(({ file, sha256: digest }) => [file, digest]),
      );
    });
  });
}

/** As fixtures/xor/make.py `counted`. */
function counted(seed: string, size: number): Uint8Array {
  const hashes = Array.from({ length: 1000 }, (_, i) => createHash("sha256").update(`${seed} ${i}`).digest());
  const block = Buffer.concat([...hashes, Buffer.from("!")]);
  return Buffer.concat(Array.from({ length: Math.ceil(size / block.length) }, () => block)).subarray(0, size);
}

const large = JSON.parse(readFileSync(join(root, "large-keys.json"), "utf8")) as {
  cases: readonly { what: string; key_size: number; size: number; payload: string; sha256: string }[];
};
for (const { what, key_size: keySize, size, payload: name, sha256: digest } of large.cases) {
  test(`a key that is used up, with ${what}, starts over as in encrypt.py`, async () => {
    await withFolder(async (folder) => {
      const content = Buffer.from(counted("content", size));
      const key = counted("key", keySize);
      const [file, bytes] = encryptedFile("content.bin", content, key);
      assert.equal(file, name);
      assert.equal(sha256(bytes), digest, "the payload is the one that encrypt.py wrote");
      const payload = await writeFiles(join(folder, "payload"), { [file]: bytes });
      const base = await writeFiles(join(folder, "base"), { "consolidated.00.pth": key });
      // The content is noise and no torch file.
      const report = await decode({ base, payload, out: join(folder, "out") }, { ignore: ["wrong-base"] });
      assert.equal(report.stated, 1);
      assert.ok(content.equals(await readFile(join(folder, "out", "content.bin"))));
    });
  });
}
