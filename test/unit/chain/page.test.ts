/** docs/chains-proof.md says of each rule which test holds it: no refusal and no warning is without a row, and what it counts is so. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CHAIN_WARNINGS } from "../../../src/commands/chain/report.js";
import { CHAIN_FAULTS } from "../../../src/errors.js";
import { ODD_VECTORS, VECTORS } from "../../support/chains.js";
import { ROOT } from "../../support/fixtures.js";

const page = (name: string): string => readFileSync(join(ROOT, "docs", name), "utf8");

test("every refusal and every warning has a row in both pages, with a test", () => {
  const rows = page("chains-proof.md")
    .split("\n")
    .filter((line) => /^\| .*\.\.\/src\/.*\.\.\/test\/.* \|$/.test(line));
  const words = page("chains.md")
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  assert.ok(rows.length > 30, String(rows.length));
  for (const word of [...CHAIN_FAULTS, ...CHAIN_WARNINGS]) {
    assert.ok(
      rows.some((row) => row.includes(`\`${word}\``)),
      `chains-proof.md: ${word}`,
    );
    assert.ok(
      words.some((row) => (row.split(" | ")[0] ?? "").includes(`\`${word}\``)),
      `chains.md: ${word}`,
    );
  }
});

test("so many chains are read, and so many refused, as it says", () => {
  const cases = [...VECTORS.cases, ...ODD_VECTORS.cases];
  const read = cases.filter(({ expect }) => expect.to !== undefined).length;
  const text = page("chains-proof.md").replaceAll("\n", " ");
  assert.ok(text.includes(`runs ${cases.length} chains`), String(cases.length));
  assert.ok(text.includes(`${read} that must be read`), String(read));
  assert.ok(text.includes(`${cases.length - read} that must be refused`), String(cases.length - read));
});
