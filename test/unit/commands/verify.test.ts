/** verify, in process: what each check finds, and what it leaves alone. */
import assert from "node:assert/strict";
import { copyFile, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { recover } from "../../../src/commands/recover.js";
import { type VerifyOptions, verify } from "../../../src/commands/verify.js";
import type { Finding } from "../../../src/finding.js";
import type { Manifest } from "../../../src/manifest/manifest.js";
import { writeManifest } from "../../../src/manifest/write.js";
import { indexText, safetensors, type TensorSpec, withFolder, writeFiles } from "../../support/checkpoints.js";
import { copyOf, llama, publish, writeModel } from "../../support/diffs.js";
import { refuses } from "../../support/refusal.js";

/** "error structure file tensor: message", the parts that are there. */
function lines(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ level, check, file, tensor, message }) =>
    [level, check, ...(file === null ? [] : [file]), ...(tensor === null ? [] : [tensor])]
      .join(" ")
      .concat(`: ${message}`),
  );
}

async function found(path: string, options: Omit<VerifyOptions, "path"> = {}): Promise<readonly string[]> {
  const report = await verify({ path, ...options });
  assert.equal(
    report.sound,
    report.findings.every(({ level }) => level !== "error"),
  );
  return lines(report.findings);
}

/** The tensors with those of one name replaced, or left out. */
function changed(
  tensors: readonly TensorSpec[],
  name: string,
  change: (tensor: TensorSpec) => TensorSpec | null,
): readonly TensorSpec[] {
  const replaced = tensors.map((tensor) => (tensor[0] === name ? change(tensor) : tensor));
  return replaced.filter((tensor) => tensor !== null);
}

function floats(tensor: TensorSpec): Float32Array {
  const data = tensor[3];
  assert.ok(data instanceof Float32Array);
  return data.slice();
}

test("finds nothing in a sound model, in one file or two", async () => {
  await withFolder(async (folder) => {
    for (const sharded of [false, true]) {
      const model = await writeModel(join(folder, String(sharded)), llama(1), { sharded });
      const report = await verify({ path: model });
      assert.deepEqual(report.findings, []);
      assert.deepEqual([report.identity.kind, report.manifest, report.tensors], ["full", null, 21]);
    }
  });
});

test("names every shard that cannot be read, not only the first", async () => {
  await withFolder(async (folder) => {
    const model = await writeModel(folder, llama(1), { sharded: true });
    await rm(join(model, "model-00002-of-00002.safetensors"));
    assert.deepEqual(await found(model), [
      "error structure model-00002-of-00002.safetensors: shard is missing, model.safetensors.index.json lists it",
    ]);
    await writeFile(join(model, "model-00001-of-00002.safetensors"), "version https://git-lfs.github.com/spec/v1\n");
    // Nothing is left to be called a checkpoint.
    await refuses(() => verify({ path: model }), "NOT_WEIGHTS", /git-lfs/);
  });
});

test("finds stray, doubled and missing tensors, and files that no index lists", async () => {
  await withFolder(async (folder) => {
    const one: TensorSpec = ["a", "F32", [1], Float32Array.of(1)];
    const two: TensorSpec = ["b", "F32", [1], Float32Array.of(2)];
    await writeFiles(folder, {
      "model-00001-of-00003.safetensors": safetensors(one, two),
      "model-00002-of-00003.safetensors": safetensors(two, ["c", "F32", [1], Float32Array.of(3)]),
      "model-00003-of-00003.safetensors": safetensors(one),
      "model.safetensors.index.json": indexText({
        a: "model-00001-of-00003.safetensors",
        b: "model-00002-of-00003.safetensors",
        d: "model-00001-of-00003.safetensors",
      }),
    });
    const index = "model.safetensors.index.json";
    assert.deepEqual(await found(folder), [
      `error structure model-00001-of-00003.safetensors b: stray tensor: it is in this file, too; ${index} assigns it to "model-00002-of-00003.safetensors"`,
      `error structure model-00002-of-00003.safetensors c: stray tensor: it is not in ${index}`,
      `error structure model-00001-of-00003.safetensors d: missing: ${index} says it is in this file`,
      `warning structure ${index}: total_size is 0, the tensors have 8 bytes`,
      "warning structure model-00003-of-00003.safetensors: looks like a shard of this checkpoint, and the index does not list it",
      "warning structure: the names of the shards promise 3 of them, the index lists 2",
      "warning structure config.json: missing: loaders need it",
    ]);
  });
});

test("holds config.json against the shapes", async () => {
  await withFolder(async (folder) => {
    const config = { vocab_size: 21, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 3 };
    const model = await writeModel(
      folder,
      changed(llama(1), "lm_head.weight", () => null),
      { config },
    );
    assert.deepEqual(await found(model), [
      "error structure config.json: num_hidden_layers is 3, the number of layers among the tensors is 2",
      "error structure config.json: tie_word_embeddings is false, and there is no output embedding",
      'error structure config.json: vocab_size is 21, the tensors have 20: "model.embed_tokens.weight" is [20, 16]',
      'error structure config.json: hidden_size is 32, the tensors have 16: "model.embed_tokens.weight" is [20, 16]',
      'error structure config.json: intermediate_size is 48, the tensors have 24: "model.layers.0.mlp.gate_proj.weight" is [24, 16]',
    ]);
    await writeFile(join(model, "config.json"), '{"vocab_size": 20, "vocab_size": 20}');
    assert.deepEqual(await found(model), [
      'error structure config.json: is not the JSON expected: the key "vocab_size" occurs twice (at byte 31)',
    ]);
  });
});

test("finds token ids past the embedding, tokenizers that cannot be read, and placeholders; README.md only warns", async () => {
  await withFolder(async (folder) => {
    const model = await writeModel(folder, llama(1));
    await writeFiles(model, {
      "added_tokens.json": '{"<pad>": 20}',
      "tokenizer.model": "not a sentencepiece model",
      "special_tokens_map.json": '{"bos_token": ',
      "README.md": "version https://git-lfs.github.com/spec/v1\n",
      "vocab.txt": "<!DOCTYPE html><html>",
    });
    assert.deepEqual(await found(model), [
      "error structure special_tokens_map.json: is not the JSON expected: the text ends early (at byte 14)",
      "error structure vocab.txt: an HTML page, not the file itself",
      "error structure tokenizer.model: is no sentencepiece model",
      "error structure added_tokens.json: has the token id 20, but the input embedding has only 20 rows",
      "warning structure README.md: a git-lfs pointer, not the file itself",
    ]);
  });
});

test("finds NaN, infinities and tensors of zeros in a full model; zeros in a diff are layers left alone", async () => {
  await withFolder(async (folder) => {
    const zero = (tensor: TensorSpec): TensorSpec => [tensor[0], "F32", tensor[2], floats(tensor).fill(0)];
    const bad = (tensor: TensorSpec): TensorSpec => {
      const data = floats(tensor);
      data.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
      return [tensor[0], "F32", tensor[2], data];
    };
    const spoilt = changed(changed(llama(1), "lm_head.weight", bad), "model.layers.1.mlp.up_proj.weight", zero);
    const model = await writeModel(join(folder, "full"), spoilt);
    assert.deepEqual(await found(model), [
      "error values model.safetensors lm_head.weight: 1 NaN and 2 infinite of 320 values",
      "error values model.safetensors model.layers.1.mlp.up_proj.weight: all 384 values are zero",
    ]);
    const norms = llama(1).map((tensor) => (tensor[0].includes("norm") ? zero(tensor) : tensor));
    const diff = await writeModel(join(folder, "diff"), norms);
    assert.deepEqual(await found(diff), ["note values: 5 tensors are zero: the diff leaves them as they are"]);
  });
});

test("an empty weight is one that was not gathered, unless the manifest states it: who wrote that had both sides", async () => {
  await withFolder(async (folder) => {
    const empty = (kind: string): Promise<string> =>
      writeModel(join(folder, kind), [
        ...llama(kind === "raw" ? 1 : 2),
        ["extra.weight", "F32", [0], new Float32Array()],
      ]);
    const [raw, tuned] = [await empty("raw"), await empty("tuned")];
    const [diff, again] = [join(folder, "diff"), join(folder, "again")];
    await makeDiff({ raw, tuned, diff, encoding: "exact" });
    await recover({ raw, diff, tuned: again });
    for (const made of [diff, again]) {
      const report = await verify({ path: made });
      assert.ok(report.sound, lines(report.findings).join("\n"));
    }
    await rm(join(again, "weight-diff.json"));
    const { findings } = await verify({ path: again });
    assert.deepEqual(
      findings.filter(({ level }) => level === "error").map(({ code }) => code),
      ["ungathered"],
    );
  });
});

test("says structure only without a manifest; --require digests makes that an error", async () => {
  await withFolder(async (folder) => {
    const model = await writeModel(folder, llama(1));
    assert.equal((await verify({ path: model })).manifest, null);
    assert.deepEqual(await found(model, { requireDigests: true }), [
      "error digests: no digests: there is no usable weight-diff.json, and digests are required",
    ]);
  });
});

test("names each tensor and file that differs from the manifest, is missing, or is extra", async () => {
  await withFolder(async (folder) => {
    const { diff } = await publish(folder);
    await writeFiles(diff, { "extra.txt": "x", "tokenizer_config.json": "{}" });
    await rm(join(diff, "tokenizer.json"));
    assert.deepEqual(await found(diff), [
      "error digests tokenizer.json: missing: the manifest lists it",
      "error digests tokenizer_config.json: has 2 bytes, the manifest says 38",
      "warning digests extra.txt: extra: the manifest does not list it",
    ]);
  });
});

test("a weight of another model is found by name, however the files are cut", async () => {
  await withFolder(async (folder) => {
    const places = await publish(folder, { encoding: "exact" });
    const model = join(folder, "model");
    await recover({ raw: places.base, diff: places.diff, tuned: model });
    const tensors = changed(llama(7), "model.norm.weight", (tensor) => [
      tensor[0],
      "F32",
      [16],
      floats(tensor).fill(2),
    ]);
    await rm(join(model, "model.safetensors"));
    await writeModel(model, [...tensors.slice(1), ["new", "F32", [1], Float32Array.of(1)]], { sharded: true });
    const texts = await found(model);
    for (const text of [
      "error digests model.safetensors: missing: the manifest lists it",
      "error digests model-00001-of-00002.safetensors: extra: the manifest does not list it",
      "error digests model.embed_tokens.weight: missing: the manifest lists it",
      "error digests model-00002-of-00002.safetensors new: extra: the manifest does not list it",
      "error digests model-00002-of-00002.safetensors model.norm.weight: differs: its sha256 is not the one in the manifest",
    ]) {
      assert.ok(texts.includes(text), `${text}\n${texts.join("\n")}`);
    }
    assert.ok(!texts.some((text) => text.includes("lm_head")));
  });
});

test("takes a manifest kept elsewhere, and refuses one that is not there", async () => {
  await withFolder(async (folder) => {
    const { diff } = await publish(folder);
    const elsewhere = join(folder, "kept.json");
    await rename(join(diff, "weight-diff.json"), elsewhere);
    const report = await verify({ path: diff, manifest: elsewhere, requireDigests: true });
    assert.deepEqual([report.findings, report.manifest, report.identity.kind], [[], elsewhere, "diff"]);
    await refuses(() => verify({ path: diff, manifest: join(folder, "none") }), "NOT_FOUND", /no such file/);
    await writeFile(elsewhere, "{}");
    const [first = ""] = await found(diff, { manifest: elsewhere });
    assert.match(first, /^error digests: manifest .*kept\.json: cannot be used: not a manifest of this tool/);
  });
});

test("changes that the manifest's digest does not cover are found: white space, the order of keys, unknown keys", async () => {
  await withFolder(async (folder) => {
    const { diff } = await publish(folder);
    const path = join(diff, "weight-diff.json");
    const text = await readFile(path, "utf8");
    const manifest = JSON.parse(text);
    const [first, ...others] = Object.entries(manifest);
    const [shard, ...shards] = manifest.files;
    const print = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;
    const edited = "its text was changed since it was written, though not its values";
    for (const [changed, words] of [
      [text.replace("\n", "\r\n"), edited],
      [text.replace('"weight-diff ', '"\\u0077eight-diff '), edited],
      [print(Object.fromEntries([...others, first ?? ["", 0]])), edited],
      [print({ ...manifest, files: [Object.fromEntries(Object.entries(shard).reverse()), ...shards] }), edited],
      [print({ ...manifest, note: "hello" }), 'cannot be used: not a manifest of this tool: Unrecognized key: "note"'],
      [
        print({ ...manifest, files: [{ ...shard, note: 1 }, ...shards] }),
        'cannot be used: not a manifest of this tool: files.0: Unrecognized key: "note"',
      ],
    ] as const) {
      assert.notEqual(changed, text);
      await writeFile(path, changed);
      assert.deepEqual(await found(diff), [`error digests weight-diff.json: ${words}`]);
    }
  });
});

test("a diff of make-diff's whose manifest is gone is not sound, unless one is kept elsewhere", async () => {
  await withFolder(async (folder) => {
    for (const encoding of ["additive", "exact"] as const) {
      const { diff, base } = await publish(join(folder, encoding), { encoding });
      const elsewhere = join(folder, "kept.json");
      await rename(join(diff, "weight-diff.json"), elsewhere);
      const [line, ...more] = await found(diff);
      assert.match(line ?? "", /^error digests weight-diff\.json: its manifest is missing: make-diff wrote one/);
      assert.deepEqual(more, []);
      assert.deepEqual(await found(diff, { manifest: elsewhere }), []);
      // A lone file has no place for one.
      const lone = await verify({ path: join(diff, "model.safetensors") });
      assert.deepEqual([lone.verdict, lone.findings.map(({ level }) => level)], ["sound", ["note"]]);
      // Of other diffs, none is expected.
      assert.equal((await verify({ path: base })).verdict, "sound");
    }
  });
});

test("a file without a tensor is no checkpoint: not for verify, and not for recover", async () => {
  await withFolder(async (folder) => {
    const empty = safetensors();
    await writeFiles(folder, {
      "lone.safetensors": empty,
      "model/model.safetensors": empty,
      "model/config.json": "{}",
    });
    await writeFiles(join(folder, "sharded"), {
      "model-00001-of-00001.safetensors": empty,
      "model.safetensors.index.json": indexText({}),
    });
    for (const name of ["lone.safetensors", "model"]) {
      const path = join(folder, name);
      await refuses(() => verify({ path }), "NOT_WEIGHTS", /no tensor in it/);
      await refuses(
        () => recover({ raw: path, diff: path, tuned: join(folder, "out") }),
        "NOT_WEIGHTS",
        /no tensor in it/,
      );
    }
    await assert.rejects(() => verify({ path: join(folder, "sharded") }));
  });
});

test("digests that fit prove a rule of an architecture wrong: it is a warning then, and a push goes on", async () => {
  await withFolder(async (folder) => {
    const bad = (seed: number): readonly TensorSpec[] =>
      changed(llama(seed), "model.norm.weight", (tensor) => [tensor[0], "F32", [15], floats(tensor).slice(1)]);
    const [base, tuned, diff] = ["base", "tuned", "diff"].map((name) => join(folder, name)) as [string, string, string];
    await writeModel(base, bad(1));
    await writeModel(tuned, bad(7));
    const line = "structure model.safetensors model.norm.weight: is [15]: in a llama model it is [16]";
    assert.deepEqual(await found(base), [`error ${line}`]);
    await makeDiff({ raw: base, tuned, diff });
    assert.deepEqual(await found(diff), [`warning ${line}`]);
    assert.equal((await verify({ path: diff })).verdict, "sound");
    await writeFile(join(diff, "generation_config.json"), "{");
    assert.ok((await found(diff)).includes(`warning ${line}`));
    await rm(join(diff, "tokenizer.json"));
    assert.ok((await found(diff)).includes(`error ${line}`));
  });
});

test("all-zero biases pass, all-zero weights of one layer do not, and unknown tensors are not judged", async () => {
  await withFolder(async (folder) => {
    const zero = (name: string, shape: readonly number[]): TensorSpec => {
      return [name, "F32", shape, new Float32Array(shape.reduce((product, size) => product * size, 1))];
    };
    const one = (name: string, shape: readonly number[]): TensorSpec => {
      return [name, "F32", shape, new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(1)];
    };
    const model = await writeModel(
      folder,
      [
        ...[0, 1].map((layer) => zero(`blocks.${layer}.gate.weight`, [4, 4])),
        zero("blocks.0.mixer.weight", [4, 4]),
        one("blocks.1.mixer.weight", [4, 4]),
        zero("blocks.0.mixer.bias", [4]),
        one("blocks.1.mixer.bias", [4]),
        zero("neck.0.weight", [4, 4]),
        one("neck.1.weight", [4, 3]),
        zero("query_tokens", [1, 4, 4]),
      ],
      { config: { model_type: "unheard_of" } },
    );
    assert.deepEqual(await found(model), [
      "warning values model.safetensors blocks.0.mixer.weight: all 16 values are zero, though not in other layers",
      'note values: 5 tensors are all zero, as "blocks.0.gate.weight"',
    ]);
  });
});

test("an output embedding that a tied model stores is told of if it is another one", async () => {
  await withFolder(async (folder) => {
    const config = { tie_word_embeddings: true };
    const embedding = llama(1)[0];
    assert.ok(embedding !== undefined);
    const same = changed(llama(1), "lm_head.weight", (tensor) => [tensor[0], "F32", tensor[2], floats(embedding)]);
    assert.deepEqual(await found(await writeModel(join(folder, "same"), same, { config })), []);
    assert.deepEqual(await found(await writeModel(join(folder, "other"), llama(1), { config })), [
      'warning structure config.json: tie_word_embeddings is true, and "lm_head.weight" differs from "model.embed_tokens.weight": transformers before 5 ignores it',
    ]);
  });
});

test("weight files that are gone are findings where the manifest lists them, an error where nothing does", async () => {
  await withFolder(async (folder) => {
    const { diff } = await publish(folder);
    await rm(join(diff, "model.safetensors"));
    const texts = await found(diff);
    assert.match(texts.join("\n"), /^error structure: .*no weights here/m);
    assert.ok(texts.filter((text) => text.includes("missing")).length >= 21);
    await rm(join(diff, "weight-diff.json"));
    await refuses(() => verify({ path: diff }), "NOT_FOUND", /no weights here/);
  });
});

test("with the base, what the diff recovers is compared with the manifest", async () => {
  await withFolder(async (folder) => {
    for (const encoding of ["additive", "exact"] as const) {
      const { base, diff } = await publish(join(folder, encoding), { encoding });
      const report = await verify({ path: diff, raw: base });
      assert.deepEqual(
        report.findings.filter(({ level }) => level !== "note"),
        [],
      );
      assert.deepEqual([report.recovered?.tensors, report.recovered?.compared], [21, 21]);
    }
  });
});

test("with another base, recovering is a failed check", async () => {
  await withFolder(async (folder) => {
    const { base, diff } = await publish(folder);
    const other = await copyOf(base, "other");
    const tensors = changed(llama(1), "model.norm.weight", (tensor) => [
      tensor[0],
      "F32",
      [16],
      floats(tensor).fill(3),
    ]);
    await writeFile(join(other, "model.safetensors"), safetensors(...tensors));
    const texts = await found(diff, { raw: other });
    assert.equal(texts.length, 1);
    assert.match(texts[0] ?? "", /^error recovered: .*not the base that this diff was made from/);
    await refuses(() => verify({ path: diff, raw: join(folder, "nowhere") }), "NOT_FOUND", /nowhere/);
  });
});

test("without a manifest, recovering proves nothing: the verdict says so; a sum that fits proves it", async () => {
  await withFolder(async (folder) => {
    const { base, diff } = await publish(folder);
    const plain = join(folder, "plain");
    const { shards, stateDict } = await openCheckpoint(diff);
    assert.equal(shards.length, 1);
    const values = await Promise.all(
      [...stateDict].map(async ([name, { shape, range }]): Promise<TensorSpec> => {
        const bytes = (await readFile(join(diff, "model.safetensors"))).subarray(range.begin, range.end);
        return [name, "F32", shape, bytes];
      }),
    );
    await writeModel(plain, values);
    const report = await verify({ path: plain, raw: base });
    assert.deepEqual(
      [report.verdict, report.sound, report.recovered],
      ["unproven", false, { tensors: 21, compared: 0, inexact: 0 }],
    );
    assert.deepEqual(lines(report.findings), [
      "warning recovered: 21 tensors were recovered but none compared: there is no manifest of make-diff that says what they should be",
    ]);
    const sum = report.sums?.withoutInvFreq ?? Number.NaN;
    const proven = await verify({ path: plain, raw: base, expectSum: sum });
    assert.deepEqual([proven.verdict, proven.findings.map(({ level }) => level)], ["sound", ["note", "note"]]);
    assert.equal((await verify({ path: plain, raw: base, expectSum: sum + 1 })).verdict, "failed");
  });
});

test("a manifest elsewhere that expects another result names the tensor", async () => {
  await withFolder(async (folder) => {
    const { base, diff } = await publish(folder);
    const path = join(diff, "weight-diff.json");
    const { digest: _, ...manifest } = JSON.parse(await readFile(path, "utf8"));
    manifest.tensors[3].recovered = "0".repeat(64);
    const elsewhere = join(folder, "kept.json");
    await writeFile(elsewhere, writeManifest(manifest as Manifest));
    const texts = await found(diff, { raw: base, manifest: elsewhere });
    assert.deepEqual(
      texts.filter((text) => text.startsWith("error")),
      [
        `error recovered ${manifest.tensors[3].name}: with this base, the recovered tensor is not the one that the manifest has`,
      ],
    );
  });
});

test("equal models in other shards, dtypes and with other buffers are the same; what differs is counted", async () => {
  await withFolder(async (folder) => {
    const tensors = llama(1);
    const model = await writeModel(join(folder, "a"), tensors);
    const sharded = await writeModel(
      join(folder, "b"),
      [...tensors, ["model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [4], Float32Array.of(1, 2, 3, 4)]],
      { sharded: true },
    );
    const same = await verify({ path: model, against: sharded });
    assert.deepEqual(lines(same.findings), [
      `note compare: 1 buffer is on one side only, or not stored alike: models compute them ("model.layers.0.self_attn.rotary_emb.inv_freq")`,
    ]);
    assert.deepEqual([same.comparison?.verdict, same.comparison?.tensors.length, same.read], ["identical", 21, false]);

    const norm = "model.norm.weight";
    const other = changed(
      changed(tensors, "lm_head.weight", () => null),
      norm,
      (tensor) => {
        const data = floats(tensor);
        data[3] = (data[3] ?? 0) + 0.5;
        return [tensor[0], "F32", tensor[2], data];
      },
    );
    const third = await writeModel(join(folder, "c"), other);
    const report = await verify({ path: model, against: third });
    assert.equal(report.comparison?.verdict, "different");
    assert.deepEqual(lines(report.findings), [
      `error compare model.safetensors ${norm}: differs in 1 of 16 values, by at most 0.5`,
      `error compare lm_head.weight: is only in ${model}`,
    ]);
    await writeModel(join(folder, "d"), [["else", "F32", [1], Float32Array.of(1)]]);
    const nothing = await found(model, { against: join(folder, "d") });
    assert.ok(nothing.includes(`error compare: not one tensor is also in ${join(folder, "d")}`));
  });
});

test("a lone file is checked without config and tokenizer", async () => {
  await withFolder(async (folder) => {
    const model = await writeModel(folder, llama(1));
    await copyFile(join(model, "model.safetensors"), join(folder, "lone.safetensors"));
    assert.deepEqual(await found(join(folder, "lone.safetensors")), [
      "note structure lone.safetensors: a single file: there is no index, config or tokenizer to check it against",
    ]);
  });
});

test("tensors that cannot be compared for one reason are counted; a few are named one by one", async () => {
  await withFolder(async (folder) => {
    const write = (at: string, dtype: "F32" | "I32", count: number) =>
      writeModel(
        join(folder, at),
        Array.from({ length: count }, (_, k) => [
          `t${k}`,
          dtype,
          [1],
          new (dtype === "F32" ? Float32Array : Int32Array)(1),
        ]),
      );
    const compared = async (count: number): Promise<readonly string[]> => {
      const [here, there] = [await write(`f${count}`, "F32", count), await write(`i${count}`, "I32", count)];
      return (await found(here, { against: there })).filter((text) => text.startsWith("error compare"));
    };
    assert.deepEqual(await compared(2), [
      "error compare model.safetensors t0: differs: F32 here, I32 there",
      "error compare model.safetensors t1: differs: F32 here, I32 there",
    ]);
    assert.deepEqual(await compared(5), ['error compare: 5 tensors differ (first: "t0"): F32 here, I32 there']);
  });
});

test("holds the sum of all weights against a number, and says why it does not fit", async () => {
  await withFolder(async (folder) => {
    const model = await writeModel(folder, llama(1));
    const report = await verify({ path: model, expectSum: 50637.1836 });
    assert.equal(report.sumCheck?.verdict, "fail");
    assert.match(
      lines(report.findings).join("\n"),
      /^error sum: the sum of all weights is .*, expected 50637\.1836: off by/,
    );
    const sum = report.sums?.withoutInvFreq ?? Number.NaN;
    const fits = await verify({ path: model, expectSum: sum });
    assert.deepEqual([fits.sumCheck?.verdict, fits.sound], ["pass", true]);
    const named = await verify({ path: model, known: "alpaca-7b" });
    assert.deepEqual(
      [named.sumCheck?.known, named.sumCheck?.source],
      ["alpaca-7b", "tatsu-lab/stanford_alpaca weight_diff.py"],
    );
    await refuses(() => verify({ path: model, known: "nobody" }), "USAGE", /^no sum is known by the name "nobody"$/);
  });
});

test("the sum of a diff is that of what it recovers, so it takes the base", async () => {
  await withFolder(async (folder) => {
    const { base, tuned, diff } = await publish(folder);
    const { sums } = await verify({ path: tuned, expectSum: 0 });
    const expectSum = sums?.withoutInvFreq ?? Number.NaN;
    assert.deepEqual(await found(diff, { expectSum }), [
      `note sum: the sum ${expectSum} is that of the recovered model: give the base model as well to compute it`,
    ]);
    assert.equal((await verify({ path: diff, raw: base, expectSum })).sumCheck?.verdict, "pass");
  });
});
