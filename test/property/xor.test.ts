/** The XOR codecs on arbitrary bytes: a result or a WeightDiffError, and the way back is the way there. */
import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import "../support/seed.js";
import { WeightDiffError } from "../../src/errors.js";
import { withFolder, writeFiles } from "../support/checkpoints.js";
import { decode, encryptedFiles, type Files, lay, modelFiles, noise, TUNED, xored } from "../support/xor-payloads.js";

const bytes = fc.uint8Array({ maxLength: 700 });
const names = fc.constantFrom(
  "config.json",
  "pytorch_model.bin",
  "model.safetensors",
  "tokenizer.model",
  "added_tokens.json",
  "notes",
  "pytorch_model.bin.index.json",
  `x.json.${"a".repeat(64)}.enc`,
  `.${"a".repeat(64)}.enc`,
  `${"a".repeat(64)}.enc`,
);
const files = fc.dictionary(names, bytes, { maxKeys: 4 });

test("any files: a result or a WeightDiffError, with the base trusted and without", async () => {
  await fc.assert(
    fc.asyncProperty(
      files,
      files,
      fc.constantFrom("oa-xor", "pygmalion", "point-alpaca"),
      fc.constantFrom("decode", "encode"),
      fc.boolean(),
      fc.boolean(),
      async (base, payload, scheme, direction, compress, trust) => {
        await withFolder(async (folder) => {
          const places = await lay(folder, { ...base, "consolidated.00.pth": noise("key", 50) }, payload);
          try {
            await decode(places, { scheme, direction, compress, ...(trust ? { ignore: ["wrong-base"] } : {}) });
          } catch (error) {
            assert.ok(error instanceof WeightDiffError, String(error));
          }
        });
      },
    ),
    { numRuns: 80 },
  );
});

test("what is encoded decodes to the same bytes, compressed or not, whatever the windows", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 6000 }),
      fc.integer({ min: 1, max: 6000 }),
      async (seed, rows, baseRows, compress, window, other) => {
        await withFolder(async (folder) => {
          const tuned: Files = modelFiles(seed, rows);
          const base = await writeFiles(join(folder, "base"), modelFiles("base", baseRows));
          const model = await writeFiles(join(folder, "tuned"), tuned);
          const [payload, out] = [join(folder, "payload"), join(folder, "out")];
          const encode = { direction: "encode", scheme: "oa-xor", compress, windowBytes: window } as const;
          await decode({ base, payload: model, out: payload }, encode);
          await decode({ base, payload, out }, { windowBytes: other, scheme: "oa-xor" });
          for (const [file, content] of Object.entries(tuned)) {
            assert.deepEqual(new Uint8Array(await readFile(join(out, file))), new Uint8Array(content), file);
          }
          if (!compress) {
            const key = await readFile(join(base, "model.safetensors"));
            const expected = xored(tuned["model.safetensors"] ?? new Uint8Array(), key);
            assert.deepEqual(new Uint8Array(await readFile(join(payload, "model.safetensors"))), expected);
          }
        });
      },
    ),
    { numRuns: 25 },
  );
});

test("keystream payloads decode with keys and windows of any length", async () => {
  await withFolder(async (folder) => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 9000 }), fc.integer({ min: 1, max: 6000 }), async (length, window) => {
        const key = noise(`key ${length}`, length);
        const places = await lay(folder, { "consolidated.00.pth": key }, encryptedFiles(TUNED, key));
        const report = await decode(places, { windowBytes: window });
        assert.equal(report.stated, Object.keys(TUNED).length);
        await rm(folder, { recursive: true });
      }),
      { numRuns: 25 },
    );
    await writeFiles(folder, {});
  });
});
