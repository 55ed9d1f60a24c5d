/** weight-diff convert, and the other commands on Meta's layout, as a user runs them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { withFolder } from "../support/checkpoints.js";
import { goldenOf, META } from "../support/meta.js";
import { weightDiff } from "./command.js";

const TWO = join(META, "two-parts");

test("converts, and says what it did", async () => {
  await withFolder(async (folder) => {
    const output = join(folder, "out");
    const { code, out, said } = await weightDiff(["convert", TWO, output, "--no-progress"]);
    assert.equal(code, 0, said.join("\n"));
    assert.match(out, new RegExp(`^converted 30 tensors as float16 in ${output}\n {2}files {4}model\\.safetensors, `));
    assert.deepEqual(said, [
      "weight-diff: model: Meta's own layout in 2 parts, read as transformers' converter would write it, with the values as stored (F16)",
      "weight-diff: not copied: params.json",
    ]);
    const again = await weightDiff(["convert", TWO, output, "--resume", "--quiet"]);
    assert.match(again.out, /is finished already: 30 tensors verified against weight-diff\.json/);
    assert.deepEqual(again.said, []);
  });
});

test("--json prints one document, with torch's digests", async () => {
  await withFolder(async (folder) => {
    const args = ["--json", "--quiet", "--max_shard_size", "20kB", "--dtype", "bfloat16"];
    const { code, out } = await weightDiff(["convert", TWO, join(folder, "out"), ...args]);
    assert.equal(code, 0);
    const report = JSON.parse(out) as { command: string; dtype: string; files: readonly unknown[]; tensors: unknown };
    assert.deepEqual([report.command, report.dtype, report.files.length], ["convert", "bfloat16", 4]);
    assert.deepEqual(report.tensors, goldenOf("two-parts").outputs.bfloat16?.tensors);
  });
});

for (const [what, args, code, line] of [
  ["no output", [TWO], 2, /error: missing required argument 'out'/],
  ["a contradiction", [TWO, "OUT", "--force", "--resume"], 2, /--force and --resume contradict each other/],
  ["another dtype", [TWO, "OUT", "--dtype", "int8"], 2, /--dtype: "int8" is not one of float32/],
  [
    "the folder above",
    [META, "OUT"],
    4,
    /no weights here, but Meta's in eight-parts, grouped, legacy, one-part, two-parts/,
  ],
] as const) {
  test(`refuses ${what}`, async () => {
    await withFolder(async (folder) => {
      const out = await weightDiff(["convert", ...args.map((arg) => (arg === "OUT" ? join(folder, "out") : arg))]);
      assert.equal(out.code, code);
      assert.match(out.said[0] ?? "", line);
    });
  });
}

test("inspect knows the layout, and the tokenizer in the folder above", async () => {
  const { code, out } = await weightDiff(["inspect", TWO]);
  assert.equal(code, 0);
  assert.match(out, /two-parts: a full model, LLaMA architecture\n/);
  assert.match(out, /note +Meta's own layout in 2 parts/);
});

test("verify reads Meta's files themselves", async () => {
  const { code, out } = await weightDiff(["verify", TWO]);
  assert.equal(code, 0, out);
  assert.match(out, /^sound: .*two-parts: full model of 30 tensors in 2 files\n/m);
});
