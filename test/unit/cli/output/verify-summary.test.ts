/** verify in Markdown. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { verifyMarkdown } from "../../../../src/cli/output/verify-summary.js";
import type { VerifyReport } from "../../../../src/commands/verify.js";
import type { Finding } from "../../../../src/finding.js";

const report = (findings: readonly Finding[], path = "my-diff"): VerifyReport => ({
  path,
  identity: { kind: "diff", reason: "" },
  manifest: null,
  findings,
  files: 2,
  tensors: 3,
  read: true,
  whole: false,
  sums: null,
  sumCheck: null,
  recovered: null,
  comparison: null,
  verdict: findings.length > 0 ? "failed" : "sound",
  sound: findings.length === 0,
  bytesRead: 1_000_000,
  seconds: 0.5,
});
const finding = (message: string, file: string | null = null, tensor: string | null = null): Finding => ({
  ...{ level: "error", check: "digests", code: "digests" },
  ...{ message, file, tensor },
});

test("the summary has the verdict, then what was checked, then the findings", () => {
  assert.equal(
    verifyMarkdown(report([finding("other bytes", "a.bin", "x")]), "structure"),
    `### weight-diff verify: failed

| checkpoint | kind | files | tensors | checked | read |
| --- | --- | --- | --- | --- | --- |
| my&#45;diff | diff | 2 | 3 | structure | 1.00 MB in 0.50 s |

| level | check | file | tensor | found |
| --- | --- | --- | --- | --- |
| error | digests | a.bin | x | other bytes |

`,
  );
  assert.match(verifyMarkdown(report([]), "structure"), /\n\nNothing was found\.\n\n$/);
});

for (const hostile of [
  "a | b | c",
  "<script>alert(1)</script>",
  "[x](http://evil)",
  "![x](http://evil/pixel)",
  "`code` **bold** _it_ ~~no~~",
  "a\nb\n\n# heading",
  "@everyone :+1: #1",
  "http://evil.example",
  "\u202Eevil",
]) {
  test(`a name means nothing to Markdown: ${JSON.stringify(hostile)}`, () => {
    const page = verifyMarkdown(report([finding(hostile, hostile, hostile)], hostile), "structure");
    const rows = page.split("\n").filter((line) => line.startsWith("| "));
    assert.deepEqual(
      rows.map((row) => row.split("|").length),
      [8, 8, 8, 7, 7, 7],
    );
    // Only entities, and the marks of the tables.
    assert.doesNotMatch(rows.at(-1) ?? "", /[<>[\]`*_@:~!(){}\u202E]|(?<!&)#|[^|] \|.*\\/);
  });
}

test("a page shows a hundred findings, and counts the rest", () => {
  const page = verifyMarkdown(report(Array.from({ length: 130 }, (_, index) => finding(`f${index}`))), "structure");
  assert.equal(page.match(/^\| error /gm)?.length, 100);
  assert.match(page, /\n… and 30 more\n/);
});
