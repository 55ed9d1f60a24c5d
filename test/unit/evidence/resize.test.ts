/** What a script's resize to its tokenizer leaves of the base, and what is said of it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { readConfig } from "../../../src/checkpoint/config.js";
import {
  cutForExact,
  cutToDiff,
  fitsWeightDiff,
  type ResizedBase,
  resizeAsMade,
  resizeBase,
  resizeForDiff,
} from "../../../src/evidence/resize.js";
import { EMBEDDING } from "../../../src/known/embeddings.js";
import type { AdditiveRecord } from "../../../src/plan/exact.js";
import { familyNamed } from "../../../src/scheme/families.js";
import { safetensors, withFolder, writeFiles } from "../../support/checkpoints.js";

const E = "model.embed_tokens.weight";
const H = "lm_head.weight";
const TOKENS = 10;

interface Pair {
  /** Rows of the base, of the diff. */
  readonly has: number;
  readonly wants: number;
  /** Of the base's tokenizer. */
  readonly padding?: string | null;
  readonly known?: readonly string[];
  /** Of the diff's. */
  readonly added?: readonly string[];
  /** Without a tokenizer. */
  readonly bare?: boolean;
  readonly names?: readonly string[];
}

type Inputs = Parameters<typeof resizeBase>[0];

function withPair<T>(pair: Pair, look: (inputs: Inputs & Parameters<typeof cutToDiff>[0]) => Promise<T>): Promise<T> {
  const { has, wants, padding = null, known = [], added = [], bare = false, names = [E, H] } = pair;
  const vocab = (more: readonly string[]): string =>
    JSON.stringify({
      model: { vocab: Object.fromEntries(Array.from({ length: TOKENS }, (_, id) => [`w${id}`, id])) },
      added_tokens: more.map((content) => ({ content })),
    });
  const files = (rows: number, more: readonly string[], pad: string | null): Record<string, string | Uint8Array> => ({
    "model.safetensors": safetensors(...names.map((name) => [name, "F32", [rows, 2]] as const), [
      "model.layers.0.mlp.up_proj.weight",
      "F32",
      [rows, 2],
    ]),
    "config.json": '{"model_type": "llama"}',
    ...(bare
      ? {}
      : { "tokenizer.json": vocab(more), "tokenizer_config.json": JSON.stringify({ pad_token: pad ?? undefined }) }),
  });
  return withFolder(async (folder) => {
    const [base, diff] = [join(folder, "base"), join(folder, "diff")];
    await writeFiles(base, files(has, known, padding));
    await writeFiles(diff, files(wants, added, null));
    return look({
      raw: await openCheckpoint(base),
      diff: await openCheckpoint(diff),
      rawConfig: await readConfig(base),
      diffConfig: await readConfig(diff),
    });
  });
}

const rowsLeft = ({ raw }: ResizedBase): number | undefined =>
  [...raw.stateDict].find(([name]) => EMBEDDING.test(name))?.[1].shape[0];

const resized = (scheme: string, pair: Pair): Promise<ResizedBase> =>
  withPair(pair, (inputs) => resizeBase(inputs, familyNamed(scheme).scheme));

for (const [what, scheme, pair, rows, note] of [
  ["as many rows as tokens", "alpaca", { has: 10, wants: 11 }, 10, null],
  [
    "one row to spare",
    "alpaca",
    { has: 11, wants: 11 },
    10,
    "the base's tokenizer has 10 tokens, and the script adds 1: as in the script, the base has 11 rows, and its own last row is replaced by the mean of the 10 before",
  ],
  [
    "several to spare",
    "open-instruct",
    { has: 15, wants: 11 },
    10,
    "the base's tokenizer has 10 tokens, and the script adds 1: as in the script, the base's 15 rows are cut to 11, and its own last row is replaced by the mean of the 10 before",
  ],
  [
    "the padding token a known word",
    "alpaca",
    { has: 15, wants: 11, known: ["[PAD]"] },
    11,
    "the base's tokenizer has 11 tokens: as in the script, the base's 15 rows are cut to 11",
  ],
  [
    "two fewer than tokens",
    "alpaca",
    { has: 8, wants: 11 },
    8,
    "the base's tokenizer has 10 tokens, and the script adds 1, and the base has 8 rows: the script draws rows 8 to 9 at random, here they are the mean of the base's",
  ],
  [
    "one fewer than tokens",
    "fastchat-v0",
    { has: 9, wants: 11 },
    9,
    "the base's tokenizer has 10 tokens, and the script adds 1, and the base has 9 rows: the script draws row 9 at random, here it is zero",
  ],
  ["a padding token of its own", "alpaca", { has: 15, wants: 15, padding: "w3" }, 15, null],
  [
    "a padding token that only the file of settings names",
    "alpaca",
    { has: 11, wants: 11, padding: "[PAD]" },
    11,
    null,
  ],
  ["another number of rows than the diff's", "alpaca", { has: 15, wants: 15 }, 15, null],
  ["no tokenizer", "alpaca", { has: 11, wants: 11, bare: true }, 11, null],
  [
    "only a head, which stands for the embedding",
    "alpaca",
    { has: 15, wants: 11, names: [H] },
    10,
    "the base's tokenizer has 10 tokens, and the script adds 1: as in the script, the base's 15 rows are cut to 11, and its own last row is replaced by the mean of the 10 before",
  ],
  ["a scheme whose script does not resize", "knowlm", { has: 15, wants: 11 }, 15, null],
  [
    "one row less than landmark's two",
    "landmark",
    { has: 11, wants: 12 },
    10,
    "the base's tokenizer has 10 tokens, and the script adds 2: as in the script, the base has 11 rows, and its own last row is replaced by the mean of the 10 before",
  ],
  [
    "a diff with a gist token",
    "gisting",
    { has: 15, wants: 11, added: ["<GIST>"] },
    10,
    "the diff's tokenizer has 11 tokens: as in the script, the base's 15 rows are cut to 11, and its own last row is replaced by zeros",
  ],
  [
    "no token that FastChat's first script would have to add",
    "fastchat-v0",
    { has: 11, wants: 11, known: ["[PAD]"] },
    0,
    "the base's tokenizer has 11 tokens: as in the script, the base has 11 rows, and all of them are replaced by zeros",
  ],
  [
    "rows that alpaca-farm keeps",
    "alpaca-farm",
    { has: 15, wants: 11 },
    11,
    "the base's tokenizer has 10 tokens, and the script adds 1: as in the script, the base's 15 rows are cut to 11",
  ],
] as const) {
  test(`${scheme}, ${what}`, async () => {
    const found = await resized(scheme, pair);
    assert.deepEqual([rowsLeft(found), found.note], [rows, note]);
    assert.equal(found.kept, rows < pair.has ? rows : null);
    assert.equal(found.raw.stateDict.get("model.layers.0.mlp.up_proj.weight")?.shape[0], pair.has);
  });
}

test("alpaca-farm: embeddings stay the diff's where its base has another number of rows", async () => {
  const found = await resized("alpaca-farm", { has: 15, wants: 15 });
  assert.equal(rowsLeft(found), 15);
  assert.deepEqual(found.scheme.verbatim, [E, H]);
  assert.match(found.note ?? "", /^in the script the base has 11 vocabulary rows and the diff 15: it leaves/);
  assert.deepEqual((await resized("alpaca-farm", { has: 10, wants: 11, padding: "w3" })).scheme.verbatim, [E, H]);
  assert.deepEqual((await resized("alpaca-farm", { has: 10, wants: 11 })).scheme.verbatim, []);
});

for (const [pair, fits] of [
  [{ has: 10, wants: 11 }, true],
  [{ has: 11, wants: 11 }, true],
  [{ has: 15, wants: 11 }, true],
  [{ has: 10, wants: 12 }, false],
  [{ has: 9, wants: 11 }, false],
  [{ has: 10, wants: 10 }, false],
  [{ has: 10, wants: 10, padding: "w0" }, true],
  [{ has: 10, wants: 11, padding: "w0" }, false],
  [{ has: 10, wants: 11, bare: true }, null],
  [{ has: 10, wants: 11, names: [] }, null],
] as const) {
  test(`weight_diff.py has the diff's rows in the base: ${fits}, of ${JSON.stringify(pair)}`, async () => {
    assert.equal(await withPair(pair, fitsWeightDiff), fits);
  });
}

test("the base that a scheme is looked for with is cut where the diff has fewer rows", async () => {
  for (const [pair, rows] of [
    [{ has: 15, wants: 11 }, 10],
    [{ has: 11, wants: 11 }, 11],
    [{ has: 9, wants: 11 }, 9],
    [{ has: 15, wants: 12 }, 15],
  ] as const) {
    const raw = await withPair(pair, cutToDiff);
    assert.equal(raw.stateDict.get(E)?.shape[0], rows);
  }
});

test("make-diff takes off the base that weight_diff.py will have", async () => {
  const found = await withPair({ has: 15, wants: 11 }, (inputs) => resizeForDiff(inputs, "additive"));
  assert.deepEqual([rowsLeft(found), found.kept], [10, 10]);
});

test("an exact diff leaves out the base's rows that neither tokenizer nor tuned model have", async () => {
  for (const [pair, rows] of [
    [{ has: 15, wants: 12 }, 12],
    [{ has: 15, wants: 10 }, 10],
    [{ has: 15, wants: 9 }, 15],
    [{ has: 15, wants: 12, bare: true }, 15],
    [{ has: 12, wants: 12 }, 12],
    [{ has: 12, wants: 15 }, 12],
  ] as const) {
    const made = await withPair(pair, (inputs) => resizeForDiff(inputs, "exact"));
    assert.deepEqual([rowsLeft(made), made.kept], [rows, rows < pair.has ? rows : null], JSON.stringify(pair));
    const note = `the diff is made with the first ${rows} of the base's ${pair.has} vocabulary rows`;
    assert.equal(made.note, rows < pair.has ? note : null);
  }
  const { scheme } = familyNamed("exact");
  const read = await withPair({ has: 15, wants: 12, bare: true }, async (inputs) => cutForExact(inputs, scheme));
  assert.deepEqual(
    [rowsLeft(read), read.note],
    [12, "the diff was made with the first 12 of the base's 15 vocabulary rows"],
  );
  const same = await withPair({ has: 12, wants: 12 }, async (inputs) => cutForExact(inputs, scheme));
  assert.equal(same.note, null);
});

test("a diff of make-diff states how many rows it was made with", async () => {
  const { scheme } = familyNamed("open-instruct");
  const record = (rows: number | null): AdditiveRecord =>
    new Map([[E, { dtype: "F32", rule: "base", times: 1, rows }]]);
  await withPair({ has: 15, wants: 11, bare: true }, async (inputs) => {
    const found = resizeAsMade(inputs, scheme, record(10));
    assert.deepEqual([rowsLeft(found), found.kept], [10, 10]);
    assert.equal(found.note, "the diff was made with the first 10 of the base's 15 vocabulary rows");
    for (const rows of [15, 16, Number.MAX_SAFE_INTEGER, null]) {
      assert.deepEqual(resizeAsMade(inputs, scheme, record(rows)), { raw: inputs.raw, scheme, kept: null, note: null });
    }
  });
});
