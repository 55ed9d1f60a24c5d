/** Any single damaged byte of a published diff is caught by verify: weights, header padding, config, tokenizer, manifest. */
import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { verify } from "../../src/commands/verify.js";
import { withFolder } from "../support/checkpoints.js";
import { publish } from "../support/diffs.js";

/** The card tells the digests, so no digest is of it; loaders do not need it. */
const HARMLESS = new Set(["README.md"]);

for (const [encoding, maxShardSize] of [
  ["additive", 5_000_000],
  ["exact", 8_000],
] as const) {
  test(`${encoding}: one flipped byte anywhere is found, whatever it becomes`, async () => {
    await withFolder(async (folder) => {
      const { diff } = await publish(folder, { encoding, maxShardSize });
      assert.deepEqual((await verify({ path: diff })).findings, []);
      const files = await readdir(diff);
      assert.ok(
        files.includes("config.json") && files.includes("tokenizer.json") && files.includes("weight-diff.json"),
      );
      let state = 12345;
      const random = (below: number): number => {
        state = (Math.imul(state, 1103515245) + 12345) | 0;
        return (state >>> 8) % below;
      };
      for (const file of files) {
        const bytes = await readFile(join(diff, file));
        // The length word, its padding, the first and last byte, white space, and many by chance.
        const places = new Set([0, 7, 8, 4095, 4096, bytes.length - 1, bytes.indexOf(0x20), bytes.indexOf(0x0a)]);
        for (let i = 0; i < 12; i++) {
          places.add(random(bytes.length));
        }
        for (const place of places) {
          if (place < 0 || place >= bytes.length) {
            continue;
          }
          const spoilt = Buffer.from(bytes);
          const found = spoilt[place] ?? 0;
          spoilt[place] = found === 0x20 ? 0x0a : found === 0x0a ? 0x20 : found ^ (1 << random(8));
          await writeFile(join(diff, file), spoilt);
          const { sound, findings } = await verify({ path: diff });
          const about = `${file} byte ${place}: ${found} -> ${spoilt[place]}`;
          assert.equal(sound, HARMLESS.has(file), about);
          assert.ok(findings.length > 0 || HARMLESS.has(file), about);
        }
        await writeFile(join(diff, file), bytes);
      }
      assert.deepEqual((await verify({ path: diff })).findings, []);
    });
  });
}

test("a file cut short or emptied is found, and every other file is still looked at", async () => {
  await withFolder(async (folder) => {
    const { diff } = await publish(folder, { maxShardSize: 8_000 });
    for (const file of await readdir(diff)) {
      const bytes = await readFile(join(diff, file));
      for (const length of [0, 1, bytes.length - 1]) {
        await writeFile(join(diff, file), bytes.subarray(0, length));
        const report = await verify({ path: diff });
        assert.equal(report.sound, HARMLESS.has(file), `${file} cut to ${length}`);
        assert.ok(report.findings.length > 0 || HARMLESS.has(file), `${file} cut to ${length}`);
      }
      await writeFile(join(diff, file), bytes);
    }
  });
});
