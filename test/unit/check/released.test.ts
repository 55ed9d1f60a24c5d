/** Meta's files by their sha256: named, missed, or in the wrong place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkReleased } from "../../../src/check/released.js";
import { type Finding, reporter } from "../../../src/finding.js";
import { KNOWN_FILES } from "../../../src/known/files.js";
import type { Reading } from "../../../src/run/digest.js";
import { imagine } from "../../support/checkpoints.js";

const sha256Of = (what: string): string => KNOWN_FILES.find((known) => known.what === what)?.sha256 ?? "";
const [FIRST, SECOND] = [1, 2].map((n) => sha256Of(`LLaMA 13B as Meta released it, file ${n} of 2`));

function findings(family: string | null, ...digests: readonly (string | undefined)[]): readonly string[] {
  const checkpoint = imagine(
    "13B",
    digests.map((_, shard) => ({ name: `t${shard}`, shape: [1], shard })),
  );
  const files = new Map(checkpoint.shards.map(({ file }, part) => [file, digests[part] ?? ""]));
  const reading: Reading = { tensors: new Map(), files, damaged: [], read: 0 };
  const found: Finding[] = [];
  checkReleased(checkpoint, reading, family, reporter(found, "digests"));
  return found.map(({ level, message }) => `${level}: ${message}`);
}

test("names the model and the part", () => {
  assert.deepEqual(findings("LLaMA 13B", FIRST, SECOND), [
    "note: is LLaMA 13B as Meta released it, file 1 of 2, by its sha256",
    "note: is LLaMA 13B as Meta released it, file 2 of 2, by its sha256",
  ]);
});

test("parts that changed places are an error", () => {
  assert.match(findings("LLaMA 13B", SECOND, FIRST).join(), /^error: is .*file 2 of 2: expected .*file 1 of 2/);
});

test("another file of a known size is worth a warning, of an unknown model nothing", () => {
  assert.match(findings("LLaMA 13B", FIRST, "0".repeat(64))[1] ?? "", /^warning: is not LLaMA 13B .*file 2 of 2/);
  assert.deepEqual(findings("Llama 2 13B", "1".repeat(64), "0".repeat(64)), []);
  assert.deepEqual(findings(null, "1".repeat(64)), []);
});
