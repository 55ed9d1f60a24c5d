/** What is taken from the base where a diff lacks it: its tokenizer if the rows are the same, processors, the code that is named. */
import assert from "node:assert/strict";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fromBase } from "../../../src/checkpoint/from-base.js";
import { sideFiles } from "../../../src/checkpoint/side-files.js";
import { isWeightFile } from "../../../src/output/state.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";

/** What is taken, by names. */
async function taken(
  own: readonly string[],
  base: readonly string[],
  sameRows = true,
  texts: Readonly<Record<string, string>> = {},
) {
  return withFolder(async (folder) => {
    const filesOf = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, texts[name] ?? "{}"]));
    await writeFiles(join(folder, "own"), filesOf(own));
    await writeFiles(join(folder, "base"), filesOf(base));
    const found = await fromBase(await sideFiles(join(folder, "own"), isWeightFile), {
      directory: join(folder, "base"),
      tokenizer: null,
      sameRows,
    });
    return { files: found.files.map(({ file }) => file), tokenizer: found.tokenizer, missing: found.missing };
  });
}

const BASE = [
  "config.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "LICENSE",
  "generation_config.json",
];

test("a diff without a tokenizer gets the base's, and nothing else of it", async () => {
  assert.deepEqual(await taken(["config.json"], BASE), {
    files: ["special_tokens_map.json", "tokenizer.model", "tokenizer_config.json"],
    tokenizer: "base",
    missing: [],
  });
});

for (const vocabulary of [
  "tokenizer.json",
  "tokenizer.model",
  "vocab.json",
  "qwen.tiktoken",
  "spiece.model",
  "tekken.json",
  "source.spm",
]) {
  test(`a diff with ${vocabulary} has a tokenizer of its own`, async () => {
    assert.deepEqual(await taken([vocabulary], BASE), { files: [], tokenizer: "own", missing: [] });
  });
}

test("where rows are new the base's tokenizer is not taken, and where neither has one that is said", async () => {
  assert.deepEqual(await taken([], BASE, false), { files: [], tokenizer: "other-rows", missing: [] });
  assert.deepEqual(await taken([], ["config.json"], false), { files: [], tokenizer: "none", missing: [] });
  assert.deepEqual(await taken(["tokenizer_config.json"], ["config.json"]), {
    files: [],
    tokenizer: "none",
    missing: [],
  });
});

test("a tokenizer that counts bytes needs no vocabulary", async () => {
  const texts = { "tokenizer_config.json": '{"tokenizer_class": "ByT5Tokenizer"}' };
  assert.equal((await taken(["tokenizer_config.json"], BASE, true, texts)).tokenizer, "own");
});

test("the diff's own files win over the base's of the same name", async () => {
  const { files } = await taken(["special_tokens_map.json"], BASE);
  assert.deepEqual(files, ["tokenizer.model", "tokenizer_config.json"]);
});

test("processors are copied from the base if the diff has none, whatever the rows", async () => {
  const base = ["preprocessor_config.json", "processor_config.json", "vocab.json"];
  const found = await taken(["vocab.json"], base, false);
  assert.deepEqual(found.files, ["preprocessor_config.json", "processor_config.json"]);
  assert.deepEqual((await taken(["vocab.json", "preprocessor_config.json"], base)).files, []);
});

test("code that the diff's config names is copied with its imports, and missing code is reported", async () => {
  const texts = {
    "config.json": JSON.stringify({ auto_map: { AutoModel: "modeling_x.X", AutoConfig: "configuration_x.X" } }),
    "modeling_x.py": "from .attention import A\nfrom .gone import B\n",
  };
  const base = ["modeling_x.py", "attention.py", "unrelated.py", "tokenizer.json"];
  assert.deepEqual(await taken(["config.json", "tokenizer.json"], base, true, texts), {
    files: ["attention.py", "modeling_x.py"],
    tokenizer: "own",
    missing: [
      { file: "configuration_x.py", by: "config.json" },
      { file: "gone.py", by: "modeling_x.py" },
    ],
  });
});

test("a base's tokenizer that is a link to elsewhere is not copied, and the run goes on", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "own/config.json": "{}", "base/config.json": "{}", "llama/tokenizer.model": "x" });
    await symlink("../llama/tokenizer.model", join(folder, "base", "tokenizer.model"));
    const found = await fromBase(await sideFiles(join(folder, "own"), isWeightFile), {
      directory: join(folder, "base"),
      tokenizer: null,
      sameRows: true,
    });
    assert.deepEqual([found.files, found.tokenizer], [[], "none"]);
    assert.match(found.refused[0]?.message ?? "", /tokenizer\.model: a link leads out of its folder/);
  });
});

for (const [what, files, sameRows, expected] of [
  ["taken", ["tokenizer.model", "tokenizer_config.json"], true, "base"],
  ["not taken where rows are new", ["tokenizer.model"], false, "other-rows"],
  ["not there", [], true, "none"],
] as const) {
  test(`a tokenizer that the base's layout makes is ${what}`, async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, { "own/config.json": "{}", "base/tokenizer.model": "not asked for" });
      const found = await fromBase(await sideFiles(join(folder, "own"), isWeightFile), {
        directory: join(folder, "base"),
        tokenizer: async () => files.map((file) => ({ file, text: "made" })),
        sameRows,
      });
      const taken = expected === "base" ? files : [];
      assert.deepEqual([found.files.map(({ file }) => file), found.tokenizer], [taken, expected]);
    });
  });
}

test("a tokenizer of the diff's own is enough: the base's is not asked for", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "own/tokenizer.json": "{}", "base/config.json": "{}" });
    const tokenizer = () => assert.fail("asked");
    const side = await sideFiles(join(folder, "own"), isWeightFile);
    assert.equal(
      (await fromBase(side, { directory: join(folder, "base"), tokenizer, sameRows: true })).tokenizer,
      "own",
    );
  });
});
