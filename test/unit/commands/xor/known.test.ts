/** The published hashes of XOR bases and results: which set files belong to, and what is told of those that differ. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  expectedBase,
  KNOWN_BASES,
  KNOWN_KEY,
  KNOWN_RESULTS,
  recognise,
  wantsMd5,
} from "../../../../src/commands/xor/known.js";

type Known = (typeof KNOWN_RESULTS)[number];
const hashesOf = ({ algorithm, files }: Known) =>
  new Map([...files].map(([file, hash]) => [file, algorithm === "md5" ? { sha256: "", md5: hash } : { sha256: hash }]));

for (const known of KNOWN_RESULTS) {
  test(`recognises ${known.what} by the hashes of its weight files`, () => {
    assert.deepEqual(recognise(hashesOf(known)), { known, wrong: [] });
    for (const [file, hash] of known.files) {
      assert.match(hash, known.algorithm === "md5" ? /^[0-9a-f]{32}$/ : /^[0-9a-f]{64}$/);
      assert.equal(known.algorithm === "sha256" || wantsMd5(file), true);
    }
  });

  test(`names the file of ${known.what} that has another hash`, () => {
    const hashes = hashesOf(known);
    const [first = ""] = known.files.keys();
    hashes.set(first, { sha256: "0", md5: "0" });
    assert.deepEqual(recognise(hashes), { known, wrong: [first] });
  });
}

test("recognises nothing by names alone", () => {
  const [known] = KNOWN_RESULTS;
  const hashes = new Map([...(known?.files.keys() ?? [])].map((file) => [file, { sha256: "1", md5: "1" }]));
  assert.equal(recognise(hashes), null);
});

test("a base is expected to be a known one by names and size, within one per cent", () => {
  for (const base of [...KNOWN_BASES, KNOWN_KEY]) {
    const files = (share: number) =>
      [...base.files.keys()].map((file) => ({ file, size: Math.round((base.bytes / base.files.size) * share) }));
    assert.equal(expectedBase(files(1))?.what, base.what);
    assert.equal(expectedBase(files(0.98)), null);
    assert.equal(expectedBase(files(1).slice(1)), null);
  }
});
