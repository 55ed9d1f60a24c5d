/** inspect: the table, and the document for scripts. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { safetensors, withFolder, writeFiles } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { BASE, DIFF, weightDiff } from "./command.js";

test("says on one screen what a diff is, how it knows, and what to mind", async () => {
  const { code, out, said } = await weightDiff(["inspect", DIFF]);
  assert.deepEqual([code, said], [0, []]);
  assert.equal(
    out,
    `${DIFF}: a diff, LLaMA architecture
  known by    its 5 norm weights scatter around 0 with a mean size of 0.000622: a full model's lie on one side, far from it
  size        166352 values in 23 tensors, 2 layers, hidden size 64
  dtypes      F32: 23 tensors, 665 kB
  files       3, 677 kB: torch-zip
  vocabulary  513 rows; tokenizer.model: ids up to 511, tokenizer.json: ids up to 512, added_tokens.json: ids up to 512
  scheme      open-instruct: every float tensor is F32; if at most one vocabulary row is new to the base
  manifest    none
  trap        a diff is not a model: loaded as one, it gives gibberish; recover it with its base first
  trap        no manifest: nothing states which base is the right one, or what the result should be
`,
  );
});

test("knows a full model from a diff", async () => {
  const { out } = await weightDiff(["inspect", BASE]);
  assert.match(out, /^\S+base: a full model, LLaMA architecture$/m);
  assert.doesNotMatch(out, /scheme {6}/);
});

test("--tensors lists one aligned line per tensor first", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      "model.safetensors": safetensors(["a.long.name", "F32", [2, 3]], ["b", "BF16", []], ["c\u001b[2J", "BF16", [1]]),
    });
    const { code, out, said } = await weightDiff(["inspect", folder, "--tensors"]);
    assert.deepEqual([code, said], [0, []]);
    assert.equal(
      out,
      [
        "a.long.name   F32   [2, 3]  model.safetensors",
        "b             BF16  []      model.safetensors",
        '"c\\u001b[2J"  BF16  [1]     model.safetensors',
        "",
        `${folder}: a diff or a full model, nothing tells which`,
        "  known by    none of its tensors has the name of a norm to judge by",
        "  size        8 values in 3 tensors",
        "  dtypes      F32: 1 tensor, 24 B; BF16: 2 tensors, 4 B",
        "  files       1, 4.12 kB: safetensors",
        "  vocabulary  it is not known which tensor is the input embedding; no tokenizer",
        "  manifest    none",
        "",
      ].join("\n"),
    );
  });
});

test("--json says what it is, for scripts", async () => {
  const report = JSON.parse((await weightDiff(["inspect", "--json", DIFF])).out);
  assert.deepEqual(
    [report.command, report.identity.kind, report.family, report.shape.vocabulary, report.scheme.name, report.manifest],
    ["inspect", "diff", "LLaMA architecture", 513, "open-instruct", null],
  );
  assert.equal(report.parameters, 166_352);
  assert.equal(report.traps.length, 2);
});

test("--digest adds the sha256 of each tensor's bytes", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "x.safetensors": safetensors(["a", "F32", [0]]) });
    const { out } = await weightDiff(["inspect", join(folder, "x.safetensors"), "--digest"]);
    const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert.equal(out.split("\n")[0], `a  F32  [0]  x.safetensors  ${empty}`);
  });
});

test("--json gives tensors with name, dtype, shape and shard; with --digest their sha256", async () => {
  const { code, out, said } = await weightDiff(["inspect", "--json", "--digest", DIFF]);
  assert.deepEqual([code, said], [0, []]);
  const { tensors, files, totals } = JSON.parse(out);
  assert.deepEqual(Object.keys(tensors[0]), ["name", "dtype", "shape", "shard", "sha256"]);
  assert.deepEqual(
    [tensors[0].name, tensors[0].dtype, tensors[0].shape],
    ["model.embed_tokens.weight", "F32", [513, 64]],
  );
  assert.match(tensors[0].sha256, /^[0-9a-f]{64}$/);
  assert.equal(tensors.length, 23);
  assert.equal(files.length, 3);
  assert.equal(totals[0].dtype, "F32");
  const plain = JSON.parse((await weightDiff(["inspect", "--json", DIFF])).out);
  assert.ok(plain.tensors.every((tensor: object) => !("sha256" in tensor)));
});

test("the digests of both kernels are those that torch's tensors have", async () => {
  const expected = JSON.parse(readFileSync(join(FIXTURES, "demo/expected.json"), "utf8")).tensors;
  const digests = new Map(expected.map(({ name, sha256 }: { name: string; sha256: string }) => [name, sha256]));
  for (const kernel of ["scalar", "simd"]) {
    const flags = ["recover", "--path_raw", BASE, "--path_diff", DIFF, "--json"];
    const { code, out } = await weightDiff(flags, { WEIGHT_DIFF_KERNEL: kernel });
    assert.equal(code, 0, kernel);
    const { tensors } = JSON.parse(out);
    assert.equal(tensors.length, 21);
    for (const { name, sha256 } of tensors) {
      assert.equal(sha256, digests.get(name), `${kernel}: ${name}`);
    }
  }
});

test("an unknown WEIGHT_DIFF_KERNEL is a usage error", async () => {
  const { code, said } = await weightDiff(["recover", "--path_raw", BASE, "--path_diff", DIFF], {
    WEIGHT_DIFF_KERNEL: "gpu",
  });
  assert.equal(code, 2);
  assert.deepEqual(said.slice(-2), [
    'weight-diff: error: WEIGHT_DIFF_KERNEL is "gpu"',
    "weight-diff: hint: use simd or scalar, or unset it",
  ]);
});
