/** Which of the small files go with a recovered model, and which are refused. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
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
  "processor_config.json",
  "video_preprocessor_config.json",
  "audio_tokenizer_config.json",
  "tekken.json",
  "tokenizer.model.v3",
  "tiktoken.model",
  "qwen.tiktoken",
  "ice_text.model",
  "spiece.model",
  "sentencepiece.bpe.model",
  "source.spm",
  "bpe.codes",
  "vocab.bpe",
  "vocab-src.json",
  "dict.txt",
  "byte_maps.json",
  "additional_chat_templates/tool_use.jinja",
  "qformer_tokenizer/tokenizer.json",
  "protein_tokenizer/vocab.txt",
  "custom_generate/generate.py",
  "modules.json",
  "sentence_bert_config.json",
  "1_Pooling/config.json",
  "2_Dense/model.safetensors",
  "USE_POLICY.md",
  "USE_POLICY",
  "MODEL_LICENSE",
  "Llama-2-license.pdf",
  "LICENCE.md",
  "COPYING",
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
  "modeling_tiny.py",
  "check_license.py",
  "tokenizer_tools/x.json",
];

for (const name of COPIED) {
  test(`copies ${name}`, async () => {
    assert.deepEqual(await sort([name]), { copied: [name], left: [] });
  });
}

for (const name of LEFT) {
  test(`leaves ${name} behind`, async () => {
    assert.deepEqual(await sort([name]), { copied: [], left: name.includes("/") ? [] : [name] });
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
    const digest = "0".repeat(40);
    const snapshot = join(folder, "models--org--name/snapshots", digest);
    await writeFiles(folder, { [`models--org--name/blobs/${digest}`]: "{}" });
    await mkdir(snapshot, { recursive: true });
    await symlink(`../../blobs/${digest}`, join(snapshot, "tokenizer.json"));
    assert.deepEqual(await namesOf(snapshot), { copied: ["tokenizer.json"], left: [] });
  });
});

test("passes by directories, links that lead nowhere and pipes", { timeout: 10_000 }, async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, "tokenizer"));
    await symlink("nowhere", join(folder, "tokenizer.json"));
    execFileSync("mkfifo", [join(folder, "vocab.json")]);
    assert.deepEqual(await namesOf(folder), { copied: [], left: [] });
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

test("ignores the content of files that are not copied", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "training_args.bin": "version https://git-lfs.github.com/spec/v1" });
    assert.deepEqual((await sideFiles(folder, isWeightFile)).left, ["training_args.bin"]);
  });
});

test("accepts an empty file, and HTML where the name says so", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { NOTICE: "", "LICENSE.html": "<html>" });
    await refusePlaceholder(join(folder, "NOTICE"), "NOTICE");
    assert.deepEqual((await namesOf(folder)).copied, ["LICENSE.html", "NOTICE"]);
  });
});

test("names a directory that cannot be listed", async () => {
  await refuses(() => sideFiles("/no/such/place", isWeightFile), "NOT_FOUND", /^\/no\/such\/place/);
});

/** The user's own secret, and a checkpoint "model" beside it in which `link` leads to it. */
async function withLink(link: string, target: string, body: (model: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "home/token": "hf_secret", "model/sub/real.txt": "ours", "other/LICENSE": "x" });
    await mkdir(dirname(join(folder, "model", link)), { recursive: true });
    await symlink(target.replace("FOLDER", folder), join(folder, "model", link));
    await body(join(folder, "model"));
  });
}

for (const [link, target] of [
  ["LICENSE.txt", "../home/token"],
  ["LICENSE.txt", "FOLDER/home/token"],
  ["tokenizer.extra", "/etc/hostname"],
  ["config.json", "../home/token"],
  ["tokenizer_config.json", "/proc/self/environ"],
  ["NOTICE", "sub/../../other/LICENSE"],
] as const) {
  test(`refuses ${link} that leads to ${target}`, async () => {
    await withLink(link, target, async (model) => {
      const named = new RegExp(`${model}/${link}: a link leads out of its folder, to /`);
      await refuses(() => sideFiles(model, isWeightFile), "LINK_OUTSIDE", named);
    });
  });
}

test("refuses a link to a link that leads out, and a file below a folder that is such a link", async () => {
  await withLink("inner", "../home/token", async (model) => {
    await symlink("inner", join(model, "LICENSE"));
    await refuses(() => sideFiles(model, isWeightFile), "LINK_OUTSIDE", /LICENSE: a link leads out/);
  });
});

test("refuses a blob that leads out of a made-up cache", async () => {
  const digest = "a".repeat(64);
  await withLink(`blobs/${digest}`, "../../home/token", async (cache) => {
    const snapshot = join(cache, "snapshots", "b".repeat(40));
    await mkdir(snapshot, { recursive: true });
    await symlink(`../../blobs/${digest}`, join(snapshot, "LICENSE"));
    await refuses(() => sideFiles(snapshot, isWeightFile), "LINK_OUTSIDE", /LICENSE: a link/);
  });
});

test("refuses a file of another repository's folder in the cache that is no blob", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "models--a--b/refs/main": "x", "model/x": "" });
    await symlink("../models--a--b/refs/main", join(folder, "model", "LICENSE"));
    await refuses(() => sideFiles(join(folder, "model"), isWeightFile), "LINK_OUTSIDE", /LICENSE: a link/);
  });
});

for (const blob of [
  `models--org--name/blobs/${"1".repeat(40)}`,
  `models--org--name/blobs/${"2".repeat(64)}`,
  `datasets--org--name/blobs/${"3".repeat(32)}-12`,
  `blobs/ab/${"ab".repeat(32)}`,
]) {
  test(`follows a link of another folder into ${blob}, as hf download --local-dir made them`, async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, { [blob]: "{}", "local/x": "" });
      await symlink(join("..", blob), join(folder, "local", "tokenizer.json"));
      assert.deepEqual((await namesOf(join(folder, "local"))).copied, ["tokenizer.json"]);
    });
  });
}

test("follows links within the folder, and into it from a link to the folder itself", async () => {
  await withLink("LICENSE", "sub/real.txt", async (model) => {
    await symlink("model", `${model}-link`);
    assert.deepEqual((await namesOf(`${model}-link`)).copied, ["LICENSE"]);
  });
});

test("does not care where links lead that stay behind", async () => {
  await withLink("training_args.bin", "../home/token", async (model) => {
    assert.deepEqual(await namesOf(model), { copied: [], left: ["training_args.bin"] });
  });
});

async function sort(names: readonly string[], weights: ReadonlySet<string> = new Set()): Promise<unknown> {
  return withFolder(async (folder) => {
    await writeFiles(folder, Object.fromEntries(names.map((name) => [name, "x"])));
    return namesOf(folder, (name) => weights.has(name) || isWeightFile(name));
  });
}

async function namesOf(folder: string, isOther = isWeightFile) {
  const { copied, left } = await sideFiles(folder, isOther);
  return { copied: copied.map(({ file }) => file), left };
}
