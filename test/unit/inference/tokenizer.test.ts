/** Ids and texts of tokenizers, beside those of sentencepiece and tokenizers; files that are not read; files that mean harm. */
import assert from "node:assert/strict";
import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { WeightDiffError } from "../../../src/errors.js";
import { openTokenizer, type TokenizerOptions } from "../../../src/inference/tokenizer.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";
import { refuses } from "../../support/refusal.js";

const FOLDER = join(FIXTURES, "inference/tokenizers");
const EXPECTED = JSON.parse(await readFile(join(FOLDER, "ids.json"), "utf8"));
const ROWS = { rows: 1000 };

type Use<T> = (tokenizer: NonNullable<Awaited<ReturnType<typeof openTokenizer>>>) => Promise<T>;

async function using<T>(folder: string, use: Use<T>, options: TokenizerOptions = ROWS): Promise<T> {
  const tokenizer = await openTokenizer(folder, options);
  assert.ok(tokenizer !== null);
  try {
    return await use(tokenizer);
  } finally {
    await tokenizer.close();
  }
}

/** A folder with copies of some of a tokenizer's files, and others. */
async function withFiles(
  kind: string,
  copied: readonly string[],
  files: Readonly<Record<string, string | Uint8Array>>,
  use: (folder: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    for (const file of copied) {
      await cp(join(FOLDER, kind, file), join(folder, file));
    }
    await use(await writeFiles(folder, files));
  });
}

const SLOW = ["tokenizer.model", "tokenizer_config.json", "added_tokens.json"];

for (const [kind, copied] of [
  ["spm", ["tokenizer.json"]],
  ["spm", SLOW],
  ["neox", ["tokenizer.json"]],
  ["llama3", ["tokenizer.json"]],
] as const) {
  test(`${kind}, ${copied[0]}: gives the ids of the reference for hard strings, and their texts`, async () => {
    await withFiles(kind, copied, {}, async (folder) => {
      await using(folder, async (tokenizer) => {
        for (const [index, text] of (EXPECTED.strings as string[]).entries()) {
          const ids: number[] = EXPECTED[kind][index];
          assert.deepEqual(await tokenizer.encode(text), ids, JSON.stringify(text));
          // TextDecoder leaves a byte order mark out where bytes spell it.
          const decoded = EXPECTED[`${kind}_decoded`][index].replace(/^\ufeff/, kind === "spm" ? "" : "$&");
          assert.equal(await tokenizer.rest(ids, 0), decoded);
        }
      });
    });
  });
}

test("the rest of a text keeps its first space, and a row without a token is shown by its number", async () => {
  await using(join(FOLDER, "spm"), async (tokenizer) => {
    const ids = await tokenizer.encode("all men are created equal");
    const first = await tokenizer.encode("all men");
    assert.equal(await tokenizer.rest(ids, first.length), " are created equal");
    assert.equal(
      await tokenizer.rest([...first, 700, 422, ...ids.slice(first.length)], first.length),
      "[id 700] are created equal",
    );
    assert.deepEqual(await tokenizer.names([2, 700]), ["</s>", "[id 700]"]);
  });
  await using(join(FOLDER, "neox"), async (tokenizer) => {
    assert.equal(await tokenizer.rest([700, ...(await tokenizer.encode(" a b"))], 0), "[id 700] a b");
  });
});

test("a text begins with the token that the files say", async () => {
  const begins = async (settings: object, first: number): Promise<void> => {
    await withFiles("spm", ["tokenizer.model"], { "tokenizer_config.json": JSON.stringify(settings) }, (folder) =>
      using(folder, async (tokenizer) => assert.equal((await tokenizer.encode("a"))[0], first)),
    );
  };
  await begins({}, 1);
  // decapoda's uploads have "".
  await begins({ bos_token: "" }, 1);
  await begins({ bos_token: { content: "</s>" } }, 2);
  await begins({ add_bos_token: false }, 264);
});

test("an empty text is the token that begins a text alone, or nothing", async () => {
  await using(join(FOLDER, "spm"), async (tokenizer) => assert.deepEqual(await tokenizer.encode(""), [1]));
  await using(join(FOLDER, "neox"), async (tokenizer) => assert.deepEqual(await tokenizer.encode(""), []));
});

test("a folder without a tokenizer gives none", async () => {
  await withFolder(async (folder) => assert.equal(await openTokenizer(folder, ROWS), null));
});

/** A protobuf field: its number, and a number, four bytes or a message. */
function field(number: number, value: number | Uint8Array): Buffer {
  const varint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) + 128, ...varint(Math.floor(n / 128))]);
  return typeof value === "number"
    ? Buffer.from([...varint(number * 8), ...varint(value)])
    : Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(value.length)]), value]);
}
const piece = (text: string, type = 1): Buffer =>
  field(1, Buffer.concat([field(1, Buffer.from(text)), field(3, type)]));
const sentencepiece = (trainer: Uint8Array, normalizer: Uint8Array, ...pieces: Uint8Array[]): Uint8Array =>
  Buffer.concat([piece("<unk>", 2), piece("<s>", 3), ...pieces, field(2, trainer), field(3, normalizer)]);
const BPE = field(3, 2);
const PLAIN = field(4, 0);

for (const [what, files, code, message] of [
  [
    "a unigram model",
    { "tokenizer.model": sentencepiece(field(3, 1), PLAIN) },
    "FORMAT_UNSUPPORTED",
    /a unigram model/,
  ],
  ["no model type", { "tokenizer.model": sentencepiece(Buffer.of(), PLAIN) }, "FORMAT_UNSUPPORTED", /a unigram model/],
  [
    "a table of characters",
    { "tokenizer.model": sentencepiece(BPE, Buffer.concat([PLAIN, field(2, Buffer.of(1))])) },
    "FORMAT_UNSUPPORTED",
    /precompiled_charsmap/,
  ],
  [
    "spaces that are removed",
    { "tokenizer.model": sentencepiece(BPE, Buffer.of()) },
    "FORMAT_UNSUPPORTED",
    /remove_extra_whitespaces/,
  ],
  [
    "no space before a text",
    { "tokenizer.model": sentencepiece(BPE, Buffer.concat([PLAIN, field(3, 0)])) },
    "FORMAT_UNSUPPORTED",
    /add_dummy_prefix/,
  ],
  [
    "spaces as they are",
    { "tokenizer.model": sentencepiece(BPE, Buffer.concat([PLAIN, field(5, 0)])) },
    "FORMAT_UNSUPPORTED",
    /spaces in another way/,
  ],
  [
    "pieces that are not used",
    { "tokenizer.model": sentencepiece(BPE, PLAIN, piece("a", 5)) },
    "FORMAT_UNSUPPORTED",
    /not used/,
  ],
  [
    "a piece without end",
    { "tokenizer.model": sentencepiece(BPE, PLAIN, piece("a".repeat(1001))) },
    "FORMAT_UNSUPPORTED",
    /1001 characters/,
  ],
  [
    "a piece twice",
    { "tokenizer.model": sentencepiece(BPE, PLAIN, piece("a"), piece("a")) },
    "FORMAT_INVALID",
    /a piece twice/,
  ],
  ["nothing at all", { "tokenizer.model": "" }, "FORMAT_UNSUPPORTED", /no pieces/],
  ["something else", { "tokenizer.model": "<html>" }, "FORMAT_INVALID", /no sentencepiece model/],
  ["Llama 3's lines", { "tokenizer.model": "IQ== 0\nIg== 1\n" }, "FORMAT_UNSUPPORTED", /tiktoken/],
  [
    "a vocabulary without its pattern",
    { "vocab.json": '{"a": 0}', "merges.txt": "" },
    "FORMAT_UNSUPPORTED",
    /vocab\.json: neither it nor any file beside it says how text is split/,
  ],
  ["a broken tokenizer.json", { "tokenizer.json": "{" }, "FORMAT_INVALID", /tokenizer\.json/],
  ["no model", { "tokenizer.json": "{}" }, "FORMAT_INVALID", /its model is not a JSON object/],
  [
    "an id that is none",
    { "tokenizer.json": '{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}' },
    "FORMAT_INVALID",
    /the id of "a"/,
  ],
  [
    "more ids than rows",
    { "tokenizer.json": '{"model": {"type": "BPE", "vocab": {"a": 1000}, "merges": []}}' },
    "MISMATCH",
    /it has 1001 ids, but the model's embedding has 1000 rows/,
  ],
  [
    "an added token past the rows",
    { "tokenizer.json": '{"model": {"vocab": {}}, "added_tokens": [{"id": 4e15, "content": "x"}]}' },
    "MISMATCH",
    /it has 4000000000000001 ids/,
  ],
  [
    "an added token without a text",
    { "tokenizer.json": '{"model": {"vocab": {}}, "added_tokens": [{"id": 4, "content": ""}]}' },
    "FORMAT_INVALID",
    /has no text/,
  ],
  [
    "an unknown model",
    { "tokenizer.json": '{"model": {"type": "X"}}' },
    "FORMAT_UNSUPPORTED",
    /its model is "X"; only BPE is supported/,
  ],
  [
    "no merges",
    { "tokenizer.json": '{"model": {"type": "BPE", "vocab": {"a": 1}}}' },
    "FORMAT_UNSUPPORTED",
    /cannot be run/,
  ],
  [
    "a pattern that is none",
    {
      "tokenizer.json": JSON.stringify({
        pre_tokenizer: { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated" },
        model: { type: "BPE", vocab: { a: 1 }, merges: [] },
      }),
    },
    "FORMAT_UNSUPPORTED",
    /cannot be run/,
  ],
] as const) {
  test(`refuses ${what}`, async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, files);
      await refuses(() => using(folder, (tokenizer) => tokenizer.encode("a")), code, message);
    });
  });
}

const letters = { type: "BPE", vocab: { a: 0, b: 1 }, merges: [] };
const growing = Array.from({ length: 40 }, () => ({ type: "Replace", pattern: { String: "a" }, content: "aa" }));

for (const [what, parts] of [
  [
    "a pattern that backtracks",
    { pre_tokenizer: { type: "Split", pattern: { Regex: "(a+)+c" }, behavior: "Isolated" } },
  ],
  ["pieces of no length", { pre_tokenizer: { type: "FixedLength", length: 0 } }],
  ["a text that doubles forty times", { normalizer: { type: "Sequence", normalizers: growing } }],
] as const) {
  test(`is not held up by ${what}`, async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, { "tokenizer.json": JSON.stringify({ ...parts, model: letters }) });
      const limits = { answerMs: 2000, heapBytes: 64 << 20 };
      await assert.rejects(
        using(folder, (tokenizer) => tokenizer.encode(`${"a".repeat(60)}b`), { rows: 9, limits }),
        (error) => error instanceof WeightDiffError && error.code === "LIMIT",
      );
    });
  });
}

test("stops when it is told to", async () => {
  await withFolder(async (folder) => {
    const bomb = { type: "Split", pattern: { Regex: "(a+)+c" }, behavior: "Isolated" };
    await writeFiles(folder, { "tokenizer.json": JSON.stringify({ pre_tokenizer: bomb, model: letters }) });
    const stop = new AbortController();
    await refuses(
      () =>
        using(
          folder,
          async (tokenizer) => {
            setTimeout(() => stop.abort(), 100);
            await tokenizer.encode("a".repeat(60));
          },
          { rows: 9, signal: stop.signal },
        ),
      "INTERRUPTED",
      /interrupted/,
    );
  });
});

const RUNS = Number(process.env.WEIGHT_DIFF_TOKENIZER_RUNS ?? 12);

for (const [kind, file] of [
  ["spm", "tokenizer.model"],
  ["spm", "tokenizer.json"],
  ["llama3", "tokenizer.json"],
] as const) {
  test(`${kind}: a ${file} with other bytes in it gives ids, or a refusal`, async () => {
    const whole = await readFile(join(FOLDER, kind, file));
    const change = fc.record({ at: fc.nat(whole.length - 1), bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const bytes = Buffer.from(whole);
        for (const { at, bytes: others } of changes) {
          bytes.set(others.subarray(0, bytes.length - at), at);
        }
        await withFolder(async (folder) => {
          await writeFiles(folder, { [file]: bytes });
          try {
            await using(folder, async (tokenizer) => {
              const ids = await tokenizer.encode("all men are created <pad> equal\n");
              await tokenizer.rest(ids, 2);
            });
          } catch (error) {
            assert.ok(error instanceof WeightDiffError, String(error));
          }
        });
      }),
      { numRuns: RUNS, seed: 14 },
    );
  });
}
