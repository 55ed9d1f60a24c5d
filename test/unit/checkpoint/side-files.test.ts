/** Which of the small files go with a recovered model, and which are refused (DESIGN 4). */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { refusePlaceholder, sideFiles } from "../../../src/checkpoint/side-files.js";
import { isWeightFile } from "../../../src/output/state.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

const COPIED = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "vocab.txt",
  "merges.txt",
  "chat_template.jinja",
  "chat_template.json",
  "preprocessor_config.json",
  "LICENSE",
  "LICENSE.txt",
  "LICENSE.md",
  "llama_license.txt",
  "tulu_license.txt",
  "NOTICE",
];
const LEFT = [
  "README.md",
  "training_args.bin",
  "trainer_state.json",
  "optimizer.pt",
  "latest",
  "zero_to_fp32.py",
  ".gitattributes",
  "my_tokenizer.json",
  "generation_config.json.bak",
  "special_tokens_map.json.orig",
  "xvocab.json",
  "NOTICE.old",
];

for (const name of COPIED) {
  test(`copies ${name}`, async () => {
    assert.deepEqual(await sort([name]), { copied: [name], left: [] });
  });
}

for (const name of LEFT) {
  test(`leaves ${name} behind`, async () => {
    assert.deepEqual(await sort([name]), { copied: [], left: [name] });
  });
}

test("neither copies nor lists config.json and the weights", async () => {
  assert.deepEqual(await sort(["config.json", "odd-name.bin"], new Set(["odd-name.bin"])), {
    copied: [],
    left: [],
  });
});

test("neither copies nor lists weights and indexes of the other formats", async () => {
  const files = ["model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json"];
  const others = ["flax_model.msgpack", "tf_model.h5", "consolidated.00.pth", "pytorch_model.bin.index.json"];
  assert.deepEqual(await sort([...files, ...others]), { copied: [], left: [] });
});

test("lists both kinds sorted", async () => {
  assert.deepEqual(await sort(["tokenizer.json", "b", "LICENSE", "a"]), {
    copied: ["LICENSE", "tokenizer.json"],
    left: ["a", "b"],
  });
});

test("follows links, as a Hub cache has them", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "blobs/x": "{}" });
    await mkdir(join(folder, "snapshot"));
    await symlink("../blobs/x", join(folder, "snapshot", "tokenizer.json"));
    assert.deepEqual(await sideFiles(join(folder, "snapshot"), isWeightFile), { copied: ["tokenizer.json"], left: [] });
  });
});

test("passes by directories, links that lead nowhere and pipes", { timeout: 10_000 }, async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, "tokenizer"));
    await symlink("nowhere", join(folder, "tokenizer.json"));
    execFileSync("mkfifo", [join(folder, "vocab.json")]);
    assert.deepEqual(await sideFiles(folder, isWeightFile), { copied: [], left: [] });
  });
});

for (const [what, text, message] of [
  [
    "a git-lfs pointer",
    "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 499723\n",
    /tokenizer\.model: a git-lfs/,
  ],
  ["an HTML page", "<!doctype HTML>\n<title>401", /tokenizer\.model: an HTML page/],
  ["an HTML page after white space", " \n\t<html>", /tokenizer\.model: an HTML page/],
] as const) {
  test(`refuses ${what} in place of a file to copy`, async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, { "tokenizer.model": text });
      await refuses(() => sideFiles(folder, isWeightFile), "NOT_WEIGHTS", message);
    });
  });
}

test("does not care what the files left behind hold", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "training_args.bin": "version https://git-lfs.github.com/spec/v1" });
    assert.deepEqual((await sideFiles(folder, isWeightFile)).left, ["training_args.bin"]);
  });
});

test("accepts an empty file, and HTML where the name says so", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { NOTICE: "", "LICENSE.html": "<html>" });
    await refusePlaceholder(join(folder, "NOTICE"), "NOTICE");
    assert.deepEqual((await sideFiles(folder, isWeightFile)).copied, ["LICENSE.html", "NOTICE"]);
  });
});

test("names a directory that cannot be listed", async () => {
  await refuses(() => sideFiles("/no/such/place", isWeightFile), "NOT_FOUND", /^\/no\/such\/place/);
});

async function sort(names: readonly string[], weights: ReadonlySet<string> = new Set()): Promise<unknown> {
  return withFolder(async (folder) => {
    await writeFiles(folder, Object.fromEntries(names.map((name) => [name, "x"])));
    return sideFiles(folder, (name) => weights.has(name) || isWeightFile(name));
  });
}
