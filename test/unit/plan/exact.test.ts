/** What a diff of make-diff says of itself in its files' metadata: written, read, and whatever others may have put there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import "../../support/seed.js";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.js";
import { WeightDiffError } from "../../../src/errors.js";
import type { Dtype } from "../../../src/formats/dtype.js";
import {
  type AdditiveRecord,
  diffMetadata,
  ENCODING_KEY,
  type Encoding,
  encodingOf,
  ownTensors,
  readAdditiveRecord,
  readExactRecord,
  readOwnTensors,
} from "../../../src/plan/exact.js";
import { imagine } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

const TENSORS_KEY = "weight_diff_tensors";
const E = "model.embed_tokens.weight";

/** A diff whose files have this metadata, one file each. */
function marked(...files: readonly ReadonlyMap<string, string>[]): Checkpoint {
  const made = imagine("diff", [
    { name: E, shape: [4, 2] },
    { name: "score.weight", dtype: "F16", shape: [2, 2], shard: files.length - 1 },
  ]);
  const shards = made.shards.map((shard, index) => ({
    ...shard,
    header: { ...shard.header, metadata: files[index] ?? new Map() },
  }));
  return { ...made, shards };
}

const additive = (text: string): Checkpoint =>
  marked(
    new Map([
      [ENCODING_KEY, "additive"],
      [TENSORS_KEY, text],
    ]),
  );

test("an additive record comes back as it was written", () => {
  const record: AdditiveRecord = new Map([
    [E, { dtype: "F16", rule: "base", times: 2, rows: null }],
    ["lm_head.weight", { dtype: "BF16", rule: "base", times: 1, rows: 50254 }],
    ["score.weight", { dtype: "F16", rule: "verbatim" }],
  ] as const);
  const read = readAdditiveRecord(marked(diffMetadata("additive", record)));
  assert.deepEqual(read, record);
  assert.deepEqual(ownTensors(read), new Set(["score.weight"]));
});

test("the records of several files are one", () => {
  const one: AdditiveRecord = new Map([[E, { dtype: "F16", rule: "base", times: 2, rows: 3 }]]);
  const two: AdditiveRecord = new Map([["score.weight", { dtype: "F16", rule: "verbatim" }]]);
  const read = readAdditiveRecord(marked(diffMetadata("additive", one), diffMetadata("additive", two)));
  assert.deepEqual(read, new Map([...one, ...two]));
});

test("a plain difference has no entry, and a diff that make-diff did not make has no record", () => {
  const plain = diffMetadata("additive", new Map());
  assert.deepEqual(
    [...plain],
    [
      ["format", "pt"],
      [ENCODING_KEY, "additive"],
    ],
  );
  assert.deepEqual(readAdditiveRecord(marked(plain)), new Map());
  assert.equal(readAdditiveRecord(marked(new Map())), null);
  assert.equal(readAdditiveRecord(marked(diffMetadata("exact", new Map()))), null);
  assert.deepEqual(ownTensors(null), new Set());
});

test("a tensor that is not of the dtype that its record states has been put there by others", () => {
  const text = JSON.stringify([
    ["score.weight", "F32", "verbatim"],
    [E, "F16", "base", 2, null],
  ]);
  assert.deepEqual(
    [...(readAdditiveRecord(additive(text)) ?? [])].map(([name]) => name),
    [E],
  );
  assert.deepEqual(readOwnTensors(additive(text)), new Set());
});

for (const [what, entry] of [
  ["no times", [E, "F32", "base"]],
  ["times of 0", [E, "F32", "base", 0, null]],
  ["times of 3", [E, "F32", "base", 3, null]],
  ["times of a million", [E, "F32", "base", 1e6, null]],
  ["times of 1.5", [E, "F32", "base", 1.5, null]],
  ["times as text", [E, "F32", "base", "2", null]],
  ["times that are true", [E, "F32", "base", true, null]],
  ["rows of 0", [E, "F32", "base", 1, 0]],
  ["rows below 0", [E, "F32", "base", 1, -1]],
  ["rows of 2.5", [E, "F32", "base", 1, 2.5]],
  ["rows past 2^53", [E, "F32", "base", 1, 2 ** 53]],
  ["rows as text", [E, "F32", "base", 1, "3"]],
  ["rows as a list", [E, "F32", "base", 1, [3]]],
  ["no rows", [E, "F32", "base", 1]],
  ["a rule of exact diffs", [E, "F32", "bits"]],
  ["an unknown rule", [E, "F32", "overlap"]],
  ["a rule that all objects have", [E, "F32", "constructor"]],
  ["no rule", [E, "F32"]],
  ["an unknown dtype", [E, "F12", "verbatim"]],
  ["a dtype that all objects have", [E, "toString", "verbatim"]],
  ["a number for a name", [7, "F32", "verbatim"]],
  ["an object", { name: E }],
  ["null", null],
  ["nothing", []],
] as const) {
  test(`a record is refused that has ${what}`, async () => {
    const text = JSON.stringify([["score.weight", "F16", "verbatim"], entry]);
    await refuses(
      () => readAdditiveRecord(additive(text)),
      "FORMAT_INVALID",
      /weight_diff_tensors is not what make-diff/,
    );
  });
}

for (const text of ["{}", "7", '"x"', "null"]) {
  test(`a record is refused that is ${text}`, async () => {
    await refuses(() => readAdditiveRecord(additive(text)), "FORMAT_INVALID", /is not what make-diff writes/);
  });
}

test("a record that is no JSON is refused", async () => {
  await refuses(() => readAdditiveRecord(additive("[[")), "FORMAT_INVALID", /weight_diff_tensors/);
});

test("files of different encodings are no one diff, nor are those of an unknown one", async () => {
  const two = marked(diffMetadata("additive", new Map()), diffMetadata("exact", new Map()));
  await refuses(() => encodingOf(two), "FORMAT_INVALID", /marked as diffs of/);
  await refuses(
    () => encodingOf(marked(diffMetadata("additive", new Map()), new Map())),
    "FORMAT_INVALID",
    /no encoding/,
  );
  await refuses(() => encodingOf(marked(new Map([[ENCODING_KEY, "toString"]]))), "FORMAT_INVALID", /"toString"/);
});

test("an exact record comes back, and knows no rule of additive ones", async () => {
  const record = new Map([
    [E, { dtype: "BF16" as Dtype, rule: "bits" as const }],
    ["score.weight", { dtype: "F16" as Dtype, rule: "verbatim" as const }],
  ]);
  const read = marked(diffMetadata("exact", record));
  assert.deepEqual(readExactRecord(read), record);
  assert.deepEqual(readOwnTensors(read), new Set(["score.weight"]));
  const text = JSON.stringify([[E, "F32", "base", 2, null]]);
  const hostile = marked(
    new Map([
      [ENCODING_KEY, "exact"],
      [TENSORS_KEY, text],
    ]),
  );
  await refuses(() => readExactRecord(hostile), "FORMAT_INVALID", /is not what make-diff writes/);
});

test("any metadata gives a record or a refusal", () => {
  const values = fc.oneof(
    fc.json(),
    fc.string(),
    fc
      .array(
        fc.tuple(fc.constant(E), fc.constant("F32"), fc.constantFrom("base", "verbatim"), fc.anything(), fc.anything()),
      )
      .map((list) => JSON.stringify(list) ?? ""),
  );
  fc.assert(
    fc.property(fc.constantFrom<Encoding>("additive", "exact"), values, (encoding, text) => {
      try {
        const diff = marked(
          new Map([
            [ENCODING_KEY, encoding],
            [TENSORS_KEY, text],
          ]),
        );
        const record = readAdditiveRecord(diff);
        for (const tensor of record?.values() ?? []) {
          assert.ok(
            tensor.rule === "verbatim" || ((tensor.times === 1 || tensor.times === 2) && (tensor.rows ?? 1) > 0),
          );
        }
      } catch (error) {
        assert.ok(error instanceof WeightDiffError, String(error));
      }
    }),
  );
});
