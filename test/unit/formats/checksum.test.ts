/** The checksums of updates, held against Python's xxhash, blake3, zlib and hashlib (fixtures/checksums/make.py). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CHECKSUM_DIGITS, type ChecksumName, loadChecksums } from "../../../src/formats/checksum.js";
import { FIXTURES } from "../../support/fixtures.js";

const EXPECTED = JSON.parse(readFileSync(`${FIXTURES}checksums/expect.json`, "utf8")) as readonly ({
  readonly bytes: number;
} & Readonly<Record<ChecksumName, string>>)[];
const NAMES = Object.keys(CHECKSUM_DIGITS) as ChecksumName[];
const BYTES = Buffer.from(
  Array.from({ length: 1_048_577 }, (_, i) => (Math.imul(i, 2_654_435_761) + 20_260_821) >>> 24),
);
const create = await loadChecksums(NAMES);

for (const name of NAMES) {
  test(`${name}: as Python has it, whatever the pieces`, () => {
    for (const { bytes, [name]: expected } of EXPECTED) {
      for (const piece of [1, 61, 4096, 1 << 20].filter((size) => bytes / size < 70_000)) {
        const sum = create(name);
        for (let at = 0; at < bytes; at += piece) {
          sum.update(BYTES.subarray(at, Math.min(at + piece, bytes)));
        }
        assert.equal(sum.digest(), expected, `${bytes} bytes in pieces of ${piece}`);
        assert.equal(expected.length, CHECKSUM_DIGITS[name]);
      }
    }
  });
}

test("many sums are under way at a time, and each is its own", () => {
  const under = EXPECTED.filter(({ bytes }) => bytes <= 65_539).flatMap((expected) =>
    NAMES.map((name) => ({ expected, name, sum: create(name), at: 0 })),
  );
  for (let open = true; open; ) {
    open = false;
    for (const one of under) {
      const end = Math.min(one.at + 3001, one.expected.bytes);
      one.sum.update(BYTES.subarray(one.at, end));
      one.at = end;
      open ||= end < one.expected.bytes;
    }
  }
  for (const { sum, name, expected } of under.reverse()) {
    assert.equal(sum.digest(), expected[name], `${name} of ${expected.bytes} bytes`);
  }
});

test("one that was not loaded is a mistake of the caller", async () => {
  const few = await loadChecksums(["blake3", "blake3"]);
  assert.equal(few("blake3").digest(), create("blake3").digest());
  assert.throws(() => few("adler32"), TypeError);
});
