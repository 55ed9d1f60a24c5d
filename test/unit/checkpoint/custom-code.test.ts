/** Which Python files belong to a model: what configs name, what that imports, and nothing that a name could lead to elsewhere. */
import assert from "node:assert/strict";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { customCode } from "../../../src/checkpoint/custom-code.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";

/** The code of a folder with these files. */
async function codeOf(
  files: Readonly<Record<string, string>>,
  before: (folder: string) => Promise<void> = async () => {},
) {
  return withFolder(async (folder) => {
    await writeFiles(folder, files);
    await before(folder);
    const { found, missing } = await customCode(folder, new Set(Object.keys(files)));
    return { found: [...found].sort(), missing };
  });
}

const mapOf = (map: unknown): string => JSON.stringify({ model_type: "tiny", auto_map: map });

test("finds the files that auto_map names in every config, in every form that transformers writes", async () => {
  const found = await codeOf({
    "config.json": mapOf({ AutoConfig: "configuration_tiny.TinyConfig", AutoModelForCausalLM: "modeling_tiny.Tiny" }),
    "tokenizer_config.json": mapOf({ AutoTokenizer: ["tokenization_tiny.TinyTokenizer", null] }),
    "processor_config.json": JSON.stringify({ image_processor: { auto_map: { AutoImageProcessor: "image_tiny.X" } } }),
    "preprocessor_config.json": `\ufeff${mapOf("old_style.X")}`,
    "configuration_tiny.py": "",
    "modeling_tiny.py": "",
    "tokenization_tiny.py": "",
    "image_tiny.py": "",
    "old_style.py": "",
    "other.py": "",
  });
  const names = ["configuration_tiny.py", "image_tiny.py", "modeling_tiny.py", "old_style.py", "tokenization_tiny.py"];
  assert.deepEqual(found, { found: names, missing: [] });
});

test("follows relative imports, even in a circle, and names missing files", async () => {
  const found = await codeOf({
    "config.json": mapOf({ AutoModel: "a.A" }),
    "a.py":
      "import os\nfrom .b import B\n  from .c import (\n    C,\n)\nfrom torch import nn\n# from .comment import x\n",
    "b.py": "from .a import A\r\nfrom .gone import G\r\n",
    "c.py": "",
    "d.py": "",
  });
  assert.deepEqual(found, { found: ["a.py", "b.py", "c.py"], missing: [{ file: "gone.py", by: "b.py" }] });
});

for (const reference of [
  "../../secrets.Key",
  "/etc/passwd.X",
  "a/b.C",
  "..\\x.Y",
  "org/name--modeling_tiny.Tiny",
  "noclass",
  "a.b.C",
  "",
  ".hidden.X",
]) {
  test(`passes over ${JSON.stringify(reference)}: no file of this folder is meant`, async () => {
    const found = await codeOf({ "config.json": mapOf({ AutoModel: reference }), "a.py": "", "modeling_tiny.py": "" });
    assert.deepEqual(found, { found: [], missing: [] });
  });
}

test("a file that is not JSON, not text, too deep or a link to elsewhere names nothing", async () => {
  assert.deepEqual(await codeOf({ "config.json": "{", "a.py": "" }), { found: [], missing: [] });
  assert.deepEqual(await codeOf({ "config.json": '{"auto_map": '.repeat(200), "a.py": "" }), {
    found: [],
    missing: [],
  });
  const found = await withFolder(async (folder) => {
    await writeFiles(folder, {
      "home/secret": "from .hint import x\n",
      "model/config.json": mapOf({ AutoModel: "a.A" }),
    });
    await symlink("../home/secret", join(folder, "model", "a.py"));
    return customCode(join(folder, "model"), new Set(["config.json", "a.py"]));
  });
  assert.deepEqual(found, { found: ["a.py"], missing: [] });
});

test("thousands of names and imports take neither long nor much", { timeout: 20_000 }, async () => {
  const many = Array.from({ length: 100_000 }, (_, index) => `m${index}.X`);
  const { found, missing } = await codeOf({
    "config.json": mapOf(many),
    "m0.py": `${"\n".repeat(500_000)}${"from .x import y\n".repeat(80_000)}`,
  });
  assert.deepEqual(found, ["m0.py"]);
  assert.ok(missing.length < 1000, String(missing.length));
});
