/**
 * recover on damaged inputs: any change to any file gives a result or a WeightDiffError, never another exception, and OUT is
 * either finished or holds no final name.
 */
import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import { EXIT_CODES, WeightDiffError } from "../../src/errors.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";

type Change = (bytes: Buffer) => Buffer;

/** A place in a file: anywhere, or near either end, where headers and directories are. */
const place = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.double({ min: 0, max: 0.01, noNaN: true }),
  fc.double({ min: 0.98, max: 1, noNaN: true }),
);
const at = (bytes: Buffer, where: number): number => Math.floor(where * bytes.length);
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(place, fc.integer({ min: 1, max: 255 })).map(([where, mask]): Change => {
    return (bytes) => {
      const copy = Buffer.from(bytes);
      const offset = Math.min(at(bytes, where), bytes.length - 1);
      copy.writeUInt8(copy.readUInt8(offset) ^ mask, offset);
      return copy;
    };
  }),
  place.map(
    (where): Change =>
      (bytes) =>
        bytes.subarray(0, at(bytes, where)),
  ),
  fc.tuple(place, place, fc.nat(64)).map(([from, to, length]): Change => {
    return (bytes) => {
      const piece = bytes.subarray(at(bytes, from), at(bytes, from) + length);
      return Buffer.concat([bytes.subarray(0, at(bytes, to)), piece, bytes.subarray(at(bytes, to))]);
    };
  }),
  fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 16 })).map(([where, piece]): Change => {
    return (bytes) =>
      Buffer.concat([bytes.subarray(0, at(bytes, where)), piece, bytes.subarray(at(bytes, where) + piece.length)]);
  }),
);

for (const [name, runs] of [
  ["demo", 120],
  ["recover/safetensors-sharded", 120],
  ["recover/legacy-single", 60],
] as const) {
  const files = ["base", "diff"].flatMap((side) =>
    readdirSync(join(FIXTURES, name, side)).map((file) => join(side, file)),
  );
  test(`${name}: a damaged file gives a result or a WeightDiffError`, async () => {
    await withFolder(async (folder) => {
      for (const side of ["base", "diff"]) {
        cpSync(join(FIXTURES, name, side), join(folder, side), { recursive: true });
      }
      const outcomes = new Map<string, number>();
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...files),
          change,
          fc.boolean(),
          fc.nat(4),
          async (file, apply, keep, write) => {
            const path = join(folder, file);
            const whole = readFileSync(path);
            const tuned = join(folder, "out");
            try {
              writeFileSync(path, whole.length === 0 ? whole : apply(whole));
              const outcome = await attempt(
                {
                  raw: join(folder, "base"),
                  diff: join(folder, "diff"),
                  // Waiting for the disk takes most of the time.
                  tuned: write === 0 ? tuned : null,
                  invFreq: keep ? "keep" : "drop",
                },
                tuned,
              );
              outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
            } finally {
              writeFileSync(path, whole);
              rmSync(tuned, { recursive: true, force: true });
            }
          },
        ),
        { seed: 20230613, numRuns: runs, endOnFailure: true },
      );
      // The changes must reach both sides of the question.
      assert.ok((outcomes.get("done") ?? 0) > runs / 20, JSON.stringify([...outcomes]));
      assert.ok(outcomes.size > 3, JSON.stringify([...outcomes]));
    });
  });
}

/** @returns what became of it, in a word. */
async function attempt(options: RecoverOptions, place: string): Promise<string> {
  try {
    const { outcome } = await recover(options);
    assert.equal(existsSync(place), outcome === "recovered");
    if (outcome === "recovered") {
      const files = readdirSync(place);
      assert.ok(files.includes("weight-diff.json") && !files.includes(".weight-diff"), files.join());
    }
    return "done";
  } catch (error) {
    assert.ok(error instanceof WeightDiffError, error instanceof Error ? error.stack : String(error));
    assert.equal(EXIT_CODES[error.code], 4, `${error.code}: ${error.message}`);
    assert.doesNotMatch(error.message, /[^\P{Cc}\n]/u);
    assert.deepEqual(existsSync(place) ? readdirSync(place) : [], []);
    return error.code;
  }
}
