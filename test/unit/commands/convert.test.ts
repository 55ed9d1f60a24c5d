/** What convert writes beside the weights, what it refuses, and that a stopped run goes on. */
import assert from "node:assert/strict";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { convert } from "../../../src/commands/convert.js";
import { inspect } from "../../../src/commands/inspect.js";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { recover } from "../../../src/commands/recover.js";
import { verify } from "../../../src/commands/verify.js";
import { WeightDiffError } from "../../../src/errors.js";
import { readManifest } from "../../../src/manifest/read.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";
import { convertedAndTuned, META } from "../../support/meta.js";
import { treeOf } from "../../support/models.js";
import { refuses } from "../../support/refusal.js";

const TWO = join(META, "two-parts");

/** A copy of a case whose params.json is changed; null leaves it out. */
async function withParams<T>(
  name: string,
  change: object | null,
  body: (source: string, folder: string) => Promise<T>,
): Promise<T> {
  return withFolder(async (folder) => {
    const source = join(folder, "source");
    await cp(join(META, name), source, { recursive: true });
    const params = JSON.parse(await readFile(join(source, "params.json"), "utf8")) as object;
    await rm(join(source, "params.json"));
    if (change !== null) {
      await writeFile(join(source, "params.json"), JSON.stringify({ ...params, ...change }));
    }
    return body(source, folder);
  });
}

const configOf = async (output: string): Promise<Readonly<Record<string, unknown>>> =>
  JSON.parse(await readFile(join(output, "config.json"), "utf8")) as Readonly<Record<string, unknown>>;

test("writes what transformers 4.28.1 wrote beside the weights, and the tokenizer from the folder above", async () => {
  await withFolder(async (folder) => {
    const output = join(folder, "out");
    await convert({ source: TWO, output });
    assert.deepEqual(Object.keys(await treeOf(output)), [
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "special_tokens_map.json",
      "tokenizer.model",
      "tokenizer_config.json",
      "weight-diff.json",
    ]);
    const config = await readFile(join(output, "config.json"), "utf8");
    assert.equal(
      config,
      `{
  "architectures": [
    "LlamaForCausalLM"
  ],
  "bos_token_id": 1,
  "eos_token_id": 2,
  "hidden_act": "silu",
  "hidden_size": 36,
  "initializer_range": 0.02,
  "intermediate_size": 50,
  "max_position_embeddings": 2048,
  "model_type": "llama",
  "num_attention_heads": 6,
  "num_hidden_layers": 3,
  "pad_token_id": 0,
  "rms_norm_eps": 1e-06,
  "tie_word_embeddings": false,
  "torch_dtype": "float16",
  "use_cache": true,
  "vocab_size": 38
}
`,
    );
    assert.equal(
      await readFile(join(output, "generation_config.json"), "utf8"),
      '{\n  "_from_model_config": true,\n  "bos_token_id": 1,\n  "eos_token_id": 2,\n  "pad_token_id": 0\n}\n',
    );
    assert.deepEqual(await readFile(join(output, "tokenizer.model")), await readFile(join(META, "tokenizer.model")));
    for (const file of ["special_tokens_map.json", "tokenizer_config.json"]) {
      const saved = await readFile(join(FIXTURES, "sentencepiece/saved-by-4.28.1", file), "utf8");
      assert.equal(await readFile(join(output, file), "utf8"), saved, file);
    }
    const { sound, findings } = await verify({ path: output, requireDigests: true });
    assert.ok(sound, JSON.stringify(findings));
  });
});

for (const [what, change, expected] of [
  ["Llama 2's epsilon", { norm_eps: 1e-5 }, { max_position_embeddings: 4096, rms_norm_eps: 1e-5 }],
  ["Code Llama's rope_theta", { norm_eps: 1e-5, rope_theta: 1e6 }, { max_position_embeddings: 16384, rope_theta: 1e6 }],
] as const) {
  test(`${what} goes into the config`, async () => {
    await withParams("one-part", change, async (source, folder) => {
      await convert({ source, output: join(folder, "out") });
      const config = await configOf(join(folder, "out"));
      assert.deepEqual({ ...config, ...expected }, config);
    });
  });
}

test("side files of the folder itself go along, and win over what is made up", async () => {
  await withParams("one-part", {}, async (source, folder) => {
    await writeFiles(source, {
      "tokenizer.model": "own",
      "generation_config.json": "{}",
      "LICENSE.txt": "l",
      "checklist.chk": "c",
    });
    const notes: string[] = [];
    await convert({ source, output: join(folder, "out"), onNote: (note) => notes.push(note) });
    assert.equal(await readFile(join(folder, "out", "tokenizer.model"), "utf8"), "own");
    assert.equal(await readFile(join(folder, "out", "generation_config.json"), "utf8"), "{}");
    assert.equal(await readFile(join(folder, "out", "LICENSE.txt"), "utf8"), "l");
    assert.ok(notes.includes("not copied: checklist.chk, params.json"), notes.join("\n"));
  });
});

test("the folder's own tokenizer_config.json wins, and a tokenizer of another kind gets none", async () => {
  await withParams("one-part", {}, async (source, folder) => {
    await writeFiles(source, { "tokenizer_config.json": '{"own": true}', "tokenizer.model": "\n\u0005\n\u0003abc" });
    await convert({ source, output: join(folder, "out") });
    assert.equal(await readFile(join(folder, "out", "tokenizer_config.json"), "utf8"), '{"own": true}');
    await rm(join(source, "tokenizer_config.json"));
    await writeFiles(source, { "tokenizer.model": "IQ== 0\nIg== 1\n" });
    const notes: string[] = [];
    await convert({ source, output: join(folder, "out2"), onNote: (note) => notes.push(note) });
    assert.ok(!Object.keys(await treeOf(join(folder, "out2"))).includes("tokenizer_config.json"));
    assert.ok(
      notes.some((note) => note.startsWith("tokenizer.model is not sentencepiece's")),
      notes.join("\n"),
    );
  });
});

test("says that there is no tokenizer", async () => {
  await withParams("one-part", {}, async (source, folder) => {
    const notes: string[] = [];
    await convert({ source, output: join(folder, "out"), onNote: (note) => notes.push(note) });
    assert.ok(
      notes.some((note) => note.startsWith("no tokenizer.model in ")),
      notes.join("\n"),
    );
  });
});

test("refuses a tokenizer.model above that is a git-lfs pointer", async () => {
  await withParams("one-part", {}, async (source, folder) => {
    await writeFiles(folder, { "tokenizer.model": "version https://git-lfs.github.com/spec/v1\n" });
    await refuses(() => convert({ source, output: join(folder, "out") }), "NOT_WEIGHTS", /git-lfs pointer/);
  });
});

test("records what it was made from in a manifest of its own operation", async () => {
  await withFolder(async (folder) => {
    await convert({ source: TWO, output: join(folder, "out") });
    const manifest = await readManifest(join(folder, "out", "weight-diff.json"));
    assert.equal(manifest.operation, "convert");
    assert.deepEqual(
      manifest.raw.files.map(({ file }) => file),
      ["consolidated.00.pth", "consolidated.01.pth"],
    );
    const { identity } = await inspect({ path: join(folder, "out") });
    assert.deepEqual(identity, { kind: "full", reason: "weight-diff.json says that convert made it" });
  });
});

test("a dry run writes nothing and says how much it would", async () => {
  await withFolder(async (folder) => {
    const report = await convert({ source: TWO, output: join(folder, "out"), dryRun: true });
    assert.equal(report.outcome, "planned");
    assert.ok(report.bytesRead > report.bytesWritten && report.bytesWritten > 60_000);
    assert.deepEqual(await treeOf(folder), {});
  });
});

test("refuses what is not in Meta's layout, what has no params.json, and Llama 3.1", async () => {
  await withFolder(async (folder) => {
    const output = join(folder, "hf");
    await convert({ source: TWO, output });
    await refuses(
      () => convert({ source: output, output: join(folder, "x") }),
      "FORMAT_UNSUPPORTED",
      /not in Meta's layout/,
    );
  });
  await withParams("one-part", { use_scaled_rope: true }, async (source, folder) => {
    await refuses(() => convert({ source, output: join(folder, "x") }), "FORMAT_UNSUPPORTED", /use_scaled_rope/);
  });
  await withParams("one-part", null, async (source, folder) => {
    await refuses(() => convert({ source, output: join(folder, "x") }), "NOT_FOUND", /no params\.json/);
  });
});

test("refuses an output that is, or lies in, the source", async () => {
  await withParams("one-part", {}, async (source) => {
    for (const output of [source, join(source, "hf")]) {
      await refuses(() => convert({ source, output }), "OUTPUT_REFUSED", /(is|overlaps) the input/);
    }
  });
});

test("a stopped run goes on with --resume, and not as another", async () => {
  await withFolder(async (folder) => {
    const [whole, output] = [join(folder, "whole"), join(folder, "out")];
    await convert({ source: TWO, output: whole, maxShardSize: 20_000 });
    const stop = new AbortController();
    let windows = 0;
    const onProgress = (): void => {
      windows++;
      if (windows === 10) {
        stop.abort(new WeightDiffError("INTERRUPTED", "interrupted"));
      }
    };
    const run = { source: TWO, output, maxShardSize: 20_000 } as const;
    await refuses(() => convert({ ...run, onProgress, signal: stop.signal }), "INTERRUPTED", /interrupted/);
    await refuses(() => convert(run), "OUTPUT_REFUSED", /--resume|partial|unfinished/);
    await refuses(
      () => convert({ ...run, mode: "resume", dtype: "F32" }),
      "OUTPUT_REFUSED",
      /what differs is the dtype/,
    );
    const report = await convert({ ...run, mode: "resume" });
    assert.ok(report.resumed > 0 && report.resumed < 30, String(report.resumed));
    assert.deepEqual(await treeOf(output), await treeOf(whole));
    assert.equal((await convert({ ...run, mode: "resume" })).outcome, "verified");
    await refuses(
      () => convert({ ...run, mode: "resume", dtype: "F32" }),
      "OUTPUT_REFUSED",
      /made otherwise: another dtype/,
    );
    assert.equal((await convert({ ...run, mode: "force", dtype: "F32" })).outcome, "converted");
  });
});

test("a flipped byte in any part is found by its checksum, and nothing is written", async () => {
  await withParams("two-parts", {}, async (source, folder) => {
    const path = join(source, "consolidated.01.pth");
    const bytes = await readFile(path);
    const middle = bytes.length >> 1;
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    await writeFile(path, bytes);
    const output = join(folder, "out");
    await refuses(() => convert({ source, output }), "CRC_MISMATCH", /consolidated\.01\.pth: tensor .* is damaged/);
    assert.deepEqual(
      Object.keys(await treeOf(folder)).filter((file) => file.startsWith("out/")),
      [],
    );
    const { sound } = await verify({ path: source });
    assert.equal(sound, false);
  });
});

test("parts of two models of one size are told by their norms", async () => {
  await withParams("two-parts", {}, async (source) => {
    const path = join(source, "consolidated.01.pth");
    const { tensors } = await inspect({ path: source });
    assert.equal(tensors.length, 30);
    const checkpoint = await openCheckpoint(source);
    const range = checkpoint.shards[1]?.header.tensors.find(({ name }) => name === "norm.weight")?.range;
    const bytes = await readFile(path);
    for (let at = range?.begin ?? 0; at < (range?.end ?? 0); at += 2) {
      bytes[at + 1] = (bytes[at + 1] ?? 0) ^ 1;
    }
    await writeFile(path, bytes);
    await refuses(
      () => openCheckpoint(source),
      "MISMATCH",
      /consolidated\.01\.pth: is of another model than consolidated\.00\.pth: of the 36 norm weights .*, 36 differ/,
    );
  });
});

test("Llama 2 in Meta's layout is refused as the base of a diff for LLaMA-1", async () => {
  await withParams("one-part", { norm_eps: 1e-5 }, async (source, folder) => {
    const { base, tuned } = await convertedAndTuned("one-part", folder);
    await makeDiff({ raw: base, tuned, diff: join(folder, "diff") });
    await rm(join(folder, "diff", "weight-diff.json"));
    await refuses(
      () => recover({ raw: source, diff: join(folder, "diff") }),
      "MISMATCH",
      /is Llama 2, and diff .* was made for LLaMA-1: rms_norm_eps 1e-05 in the base, 1e-06 in the diff/,
    );
  });
});

test("a base of another size is refused with both shapes", async () => {
  await withFolder(async (folder) => {
    const { base, tuned } = await convertedAndTuned("one-part", folder);
    await makeDiff({ raw: base, tuned, diff: join(folder, "diff") });
    await refuses(() => recover({ raw: TWO, diff: join(folder, "diff") }), "MISMATCH", /\[38, 36\] in the base/);
  });
});

test("an output that holds other files is refused", async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, "out"));
    await writeFile(join(folder, "out", "notes.txt"), "");
    await refuses(() => convert({ source: TWO, output: join(folder, "out") }), "OUTPUT_REFUSED", /out/);
  });
});
