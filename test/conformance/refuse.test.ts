/** Every pair under fixtures/refuse is refused with the right code, in words that name what is wrong, and leaves no output. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hintText } from "../../src/cli/output/advice.js";
import { recover } from "../../src/commands/recover.js";
import { EXIT_CODES, WeightDiffError } from "../../src/errors.js";
import { FIXTURES } from "../support/fixtures.js";

const root = join(FIXTURES, "refuse");
for (const entry of readdirSync(root, { withFileTypes: true }).filter((found) => found.isDirectory())) {
  const folder = join(root, entry.name);
  const expect = JSON.parse(readFileSync(join(folder, "expect.json"), "utf8")) as {
    code: string;
    mentions: readonly string[];
  };

  test(`refuses ${entry.name}: ${expect.code}`, async () => {
    const place = await mkdtemp(join(tmpdir(), "weight-diff-"));
    try {
      const tuned = join(place, "tuned");
      const error = await recover({ raw: join(folder, "base"), diff: join(folder, "diff"), tuned }).then(
        () => assert.fail("was not refused"),
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof WeightDiffError, String(error));
      assert.equal(error.code, expect.code, error.message);
      assert.equal(EXIT_CODES[error.code], 4);
      // The case's own folder is in every path and would answer for words that the message must bring itself.
      const text = `${error.message} ${hintText(error, "recover") ?? ""}`.replaceAll(folder, "").toLowerCase();
      for (const mention of expect.mentions) {
        assert.ok(text.includes(mention.toLowerCase()), `"${mention}" is not in: ${text}`);
      }
      assert.equal(existsSync(tuned), false);
    } finally {
      await rm(place, { recursive: true });
    }
  });
}
