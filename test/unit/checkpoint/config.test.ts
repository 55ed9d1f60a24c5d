/** config.json: what is read from it, and that an edit changes values and no other byte. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { editConfig, type ModelConfig, readConfig } from "../../../src/checkpoint/config.js";
import { WeightDiffError } from "../../../src/errors.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

const read = (text: string | Uint8Array): Promise<ModelConfig | null> =>
  withFolder(async (folder) => readConfig(await writeFiles(folder, { "config.json": text })));

async function edited(text: string, dtype = "bfloat16", rows: number | null = 32001): Promise<string> {
  const config = await read(text);
  assert.ok(config !== null);
  return editConfig(config, dtype, rows);
}

const EDITS: readonly (readonly [what: string, before: string, after: string])[] = [
  [
    "numbers that a JSON round trip would spell otherwise",
    '{"rms_norm_eps": 1e-06, "scale": 1.0, "max": 1000000000000000019884624838656, "torch_dtype": "float16", "vocab_size": 32000}',
    '{"rms_norm_eps": 1e-06, "scale": 1.0, "max": 1000000000000000019884624838656, "torch_dtype": "bfloat16", "vocab_size": 32001}',
  ],
  [
    "white space, line ends and the missing line end",
    '{\r\n\t"vocab_size"\t:   32000 ,\r\n  "dtype":"float32"}',
    '{\r\n\t"vocab_size"\t:   32001 ,\r\n  "dtype":"bfloat16"}',
  ],
  [
    "text beyond ASCII, raw and escaped",
    '{"名": "é😀", "b": "\\u00e9\\/", "torch_dtype": null}',
    '{"名": "é😀", "b": "\\u00e9\\/", "torch_dtype": "bfloat16"}',
  ],
  [
    "the same keys in objects and lists below",
    '{"text_config": {"torch_dtype": "float16", "vocab_size": 1, "dtype": 2}, "l": [{"dtype": 3}], "dtype": "float16"}',
    '{"text_config": {"torch_dtype": "float16", "vocab_size": 1, "dtype": 2}, "l": [{"dtype": 3}], "dtype": "bfloat16"}',
  ],
  [
    "strings that look like keys",
    '{"a": "\\"vocab_size\\": 1, \\"dtype\\": 2", "vocab_size": -1}',
    '{"a": "\\"vocab_size\\": 1, \\"dtype\\": 2", "vocab_size": 32001}',
  ],
  [
    "NaN and Infinity, as Python's json writes them",
    '{"a": NaN, "vocab_size": Infinity, "b": [-Infinity]}',
    '{"a": NaN, "vocab_size": 32001, "b": [-Infinity]}',
  ],
  ["all but a byte order mark, which Python's json refuses", '\ufeff{"vocab_size": 1}', '{"vocab_size": 32001}'],
  ["a value that is an object", '{"dtype": {"a": [1, "}"]}, "z": 1}', '{"dtype": "bfloat16", "z": 1}'],
  ["a config that has none of the keys", '{"model_type": "llama"}\n', '{"model_type": "llama"}\n'],
  [
    "both spellings of the dtype",
    '{"dtype": "a", "torch_dtype": "b"}',
    '{"dtype": "bfloat16", "torch_dtype": "bfloat16"}',
  ],
];
for (const [what, before, after] of EDITS) {
  test(`an edit keeps ${what}`, async () => {
    assert.equal(await edited(before), after);
  });
}

test("an edit leaves vocab_size alone where no embedding is written", async () => {
  assert.equal(await edited('{"vocab_size": 5, "dtype": 1}', "float32", null), '{"vocab_size": 5, "dtype": "float32"}');
});

test("an edit finds a key that is spelled with escapes", async () => {
  assert.equal(await edited('{"vocab\\u005fsize": 5}'), '{"vocab\\u005fsize": 32001}');
});

test("an edit changes whether the head is the embedding, and puts it in where it is not said", async () => {
  const tied = async (text: string, value: boolean | null): Promise<string> => {
    const config = await read(text);
    assert.ok(config !== null);
    return editConfig(config, null, null, value);
  };
  assert.equal(await tied('{"tie_word_embeddings":  true, "a": 1}', false), '{"tie_word_embeddings":  false, "a": 1}');
  assert.equal(await tied('{"a": 1}', true), '{\n  "tie_word_embeddings": true,"a": 1}');
  assert.equal(await tied(" {}", false), ' {\n  "tie_word_embeddings": false}');
  assert.equal(await tied('{"a": 1}', null), '{"a": 1}');
});

test("reads the values that recover needs", async () => {
  const config = await read(
    '{"tie_word_embeddings": true, "hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 2, "rope_theta": 5e5}',
  );
  assert.deepEqual(
    [config?.tied, config?.headSize, config?.layers, config?.ropeTheta, config?.quantised],
    [true, 128, 2, 5e5, false],
  );
});

test("known families have a default for ties, unknown ones have none", async () => {
  assert.equal((await read('{"model_type": "llama"}'))?.tied, false);
  assert.equal((await read('{"model_type": "gpt_neox"}'))?.tied, false);
  assert.equal((await read('{"model_type": "llama", "tie_word_embeddings": true}'))?.tied, true);
  assert.equal((await read('{"model_type": "opt"}'))?.tied, true);
  assert.equal((await read('{"model_type": "opt", "tie_word_embeddings": false}'))?.tied, false);
  assert.equal((await read('{"model_type": "baichuan"}'))?.tied, null);
  assert.equal((await read('{"text_config": {"tie_word_embeddings": true}}'))?.tied, true);
  assert.equal((await read('{"text_config": 3}'))?.tied, null);
});

test("takes 10000 for the rotary base that is not stated, and GPT-NeoX's own key", async () => {
  assert.equal((await read("{}"))?.ropeTheta, 10_000);
  assert.equal((await read('{"rotary_emb_base": 25000}'))?.ropeTheta, 25_000);
});

test("counts values of another type, zero heads and a negative theta as absent", async () => {
  const config = await read(
    '{"tie_word_embeddings": "yes", "hidden_size": "4096", "num_attention_heads": 0, "num_hidden_layers": [], "rope_theta": -1, "model_type": 5, "quantization_config": null}',
  );
  assert.deepEqual(
    [config?.tied, config?.headSize, config?.layers, config?.ropeTheta, config?.quantised],
    [null, null, null, 10_000, false],
  );
});

test("counts NaN and infinite values as absent", async () => {
  const config = await read(
    '{"vocab_size": NaN, "rope_theta": Infinity, "hidden_size": -Infinity, "model_type": "llama"}',
  );
  assert.deepEqual(
    [config?.vocabSize, config?.ropeTheta, config?.hiddenSize, config?.modelType],
    [null, 10_000, null, "llama"],
  );
});

test("notices a quantised model", async () => {
  assert.equal((await read('{"quantization_config": {"bits": 4}}'))?.quantised, true);
});

const HOSTILE: readonly (readonly [what: string, text: string | Uint8Array, code: WeightDiffError["code"]])[] = [
  ["a list", "[]", "FORMAT_INVALID"],
  ["null", "null", "FORMAT_INVALID"],
  ["a number", "1", "FORMAT_INVALID"],
  ["empty", "", "FORMAT_INVALID"],
  ["cut off", '{"a": [1, ', "FORMAT_INVALID"],
  ["not UTF-8", Buffer.from([0x7b, 0xc3, 0x28, 0x7d]), "FORMAT_INVALID"],
  ["nested a hundred thousand deep", "[".repeat(100_000), "FORMAT_INVALID"],
  ["larger than any config", `{"a": "${"x".repeat(1_000_000)}"}`, "LIMIT"],
  ["a git-lfs pointer", "version https://git-lfs.github.com/spec/v1\n", "NOT_WEIGHTS"],
  ["an HTML page", "<html><body>log in</body></html>", "NOT_WEIGHTS"],
];
for (const [what, text, code] of HOSTILE) {
  test(`refuses a config that is ${what}`, async () => {
    const error = await read(text).catch((reason: unknown) => reason);
    assert.ok(error instanceof WeightDiffError, String(error));
    assert.match(error.message, /config\.json/);
    assert.ok(error.code === code || (code === "FORMAT_INVALID" && error.code === "LIMIT"), error.message);
  });
}

test("works without a config, or with a directory or a pipe in its place", async () => {
  assert.equal(await readConfig(null), null);
  await withFolder(async (folder) => {
    assert.equal(await readConfig(folder), null);
    await mkdir(join(folder, "a", "config.json"), { recursive: true });
    assert.equal(await readConfig(join(folder, "a")), null);
    await mkdir(join(folder, "b"));
    execFileSync("mkfifo", [join(folder, "b", "config.json")]);
    assert.equal(await readConfig(join(folder, "b")), null);
  });
});

test("names a config that holds a key twice", async () => {
  await refuses(() => read('{"vocab_size": 1, "vocab_size": 2}'), "FORMAT_INVALID", /config\.json.*vocab_size/);
});
