/** What recover does with the output directory, and the exit codes of that. */
import assert from "node:assert/strict";
import { chmod, copyFile, open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { withFolder, writeFiles } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { BASE, DIFF, recoverDemo, weightDiff } from "./command.js";

const FILES = [
  "LICENSE.txt",
  "added_tokens.json",
  "config.json",
  "generation_config.json",
  "llama_license.txt",
  "model.safetensors",
  "special_tokens_map.json",
  "tokenizer.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "weight-diff.json",
];
const list = async (folder: string): Promise<readonly string[]> => (await readdir(folder)).sort();

test("writes weights, config, side files and manifest, and says what it left", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "a/b");
    const { code, out, said } = await recoverDemo("--path_tuned", tuned);
    assert.equal(code, 0);
    assert.deepEqual(await list(tuned), FILES);
    assert.deepEqual(out.split("\n").slice(0, 3), [
      `recovered 21 tensors as float32 in ${tuned}`,
      "  scheme   open-instruct: every float tensor of the diff is F32 and one vocabulary row is new",
      "  files    model.safetensors, 669 kB",
    ]);
    assert.equal(said.at(-1), "weight-diff: not copied from the diff: README.md, training_args.bin");
    for (const file of ["tokenizer.json", "tokenizer.model", "generation_config.json", "LICENSE.txt"]) {
      assert.deepEqual(await readFile(join(tuned, file)), await readFile(join(DIFF, file)), file);
    }
    const config = await readFile(join(DIFF, "config.json"), "utf8");
    assert.equal(await readFile(join(tuned, "config.json"), "utf8"), config);
  });
});

test("writes dtype and rows into config.json, and shards with an index", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "out");
    const { code } = await recoverDemo("--path_tuned", tuned, "--dtype", "bf16", "--max-shard-size", "200kB");
    assert.equal(code, 0);
    assert.deepEqual(
      (await list(tuned)).filter((file) => file.startsWith("model")),
      ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"],
    );
    const config = await readFile(join(DIFF, "config.json"), "utf8");
    assert.equal(
      await readFile(join(tuned, "config.json"), "utf8"),
      config.replace('"torch_dtype": "float32"', '"torch_dtype": "bfloat16"'),
    );
    const index = await readFile(join(tuned, "model.safetensors.index.json"), "utf8");
    assert.match(
      index,
      /^{\n {2}"metadata": {\n {4}"total_size": 332672\n {2}},\n {2}"weight_map": {\n {4}"lm_head\.weight": /,
    );
  });
});

test("gives copied files a mode that lets their owner write", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "diff");
    await writeFiles(diff, {});
    for (const file of await readdir(DIFF)) {
      await copyFile(join(DIFF, file), join(diff, file));
    }
    await chmod(join(diff, "tokenizer.json"), 0o444);
    const tuned = join(folder, "out");
    assert.equal(
      (await weightDiff(["recover", "--path_raw", BASE, "--path_diff", diff, "--path_tuned", tuned])).code,
      0,
    );
    assert.equal((await stat(join(tuned, "tokenizer.json"))).mode & 0o777, 0o644);
  });
});

test("takes base and diff as single files, without config and side files", async () => {
  await withFolder(async (folder) => {
    const pair = join(FIXTURES, "recover/safetensors-single");
    const flags = [
      "--path_raw",
      join(pair, "base/model.safetensors"),
      "--path_diff",
      join(pair, "diff/model.safetensors"),
    ];
    const tuned = join(folder, "out");
    const { code } = await weightDiff(["recover", ...flags, "--path_tuned", tuned]);
    assert.equal(code, 0);
    assert.deepEqual(await list(tuned), ["model.safetensors", "weight-diff.json"]);
  });
});

test("without --path_tuned nothing is written anywhere", async () => {
  await withFolder(async (folder) => {
    const before = await Promise.all([list(BASE), list(DIFF)]);
    const { code } = await weightDiff(["recover", "--path_raw", BASE, "--path_diff", DIFF], { TMPDIR: folder });
    assert.equal(code, 0);
    assert.deepEqual(await list(folder), []);
    assert.deepEqual(await Promise.all([list(BASE), list(DIFF)]), before);
  });
});

test("--dry-run writes nothing and says what would be written", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "out");
    const { code, out } = await recoverDemo("--path_tuned", tuned, "--dry-run");
    assert.deepEqual([code, await list(folder)], [0, []]);
    assert.deepEqual(out.split("\n"), [
      `would write ${tuned} as float32`,
      "  scheme   open-instruct: every float tensor of the diff is F32 and one vocabulary row is new",
      "  writes   model.safetensors, 669 kB",
      "  reads    998 kB",
      "",
    ]);
  });
});

test("refuses an output that is not empty, and leaves it as it is", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "notes.txt": "mine" });
    const { code, out, said } = await recoverDemo("--path_tuned", folder);
    assert.deepEqual([code, out], [4, ""]);
    assert.deepEqual(said.slice(-2), [
      `weight-diff: error: ${folder}: is not empty`,
      "weight-diff: hint: give another output directory, or replace the model in it with --force",
    ]);
    assert.deepEqual(await list(folder), ["notes.txt"]);
  });
});

test("refuses an output that is a file", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { out: "mine" });
    const { code, said } = await recoverDemo("--path_tuned", join(folder, "out"));
    assert.equal(code, 4);
    assert.equal(said.at(-2), `weight-diff: error: ${join(folder, "out")}: is a file, not a directory`);
  });
});

test("--force replaces every old weight file and index, and nothing else", async () => {
  await withFolder(async (folder) => {
    const old = {
      "pytorch_model-00001-of-00002.bin": "x",
      "pytorch_model-00002-of-00002.bin": "x",
      "pytorch_model.bin.index.json": "x",
      "model-00001-of-00009.safetensors": "x",
      "model.safetensors.index.json": "x",
      "consolidated.00.pth": "x",
      "tf_model.h5": "x",
      "flax_model.msgpack": "x",
      "old.gguf": "x",
      "weight-diff.json": "x",
    };
    const mine = { "notes.txt": "x", "training_args.bin": "x", "sub/model.safetensors": "x", "tokenizer.json": "old" };
    await writeFiles(folder, { ...old, ...mine });
    const { code } = await recoverDemo("--path_tuned", folder, "--force");
    assert.equal(code, 0);
    assert.deepEqual(await list(folder), [...FILES, "notes.txt", "sub", "training_args.bin"].sort());
    assert.deepEqual(await list(join(folder, "sub")), ["model.safetensors"]);
    assert.equal(JSON.parse(await readFile(join(folder, "weight-diff.json"), "utf8")).operation, "recover");
    assert.deepEqual(await readFile(join(folder, "tokenizer.json")), await readFile(join(DIFF, "tokenizer.json")));
  });
});

test("--force keeps the old model when the new one cannot be made", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "pytorch_model.bin": "old", "weight-diff.json": "old" });
    const pair = join(FIXTURES, "refuse/flipped-byte");
    const flags = ["--path_raw", join(pair, "base"), "--path_diff", join(pair, "diff"), "--path_tuned", folder];
    const { code } = await weightDiff(["recover", ...flags, "--force"]);
    assert.equal(code, 4);
    assert.deepEqual(await list(folder), ["pytorch_model.bin", "weight-diff.json"]);
  });
});

test("--resume verifies an output that is finished", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "out");
    await recoverDemo("--path_tuned", tuned);
    const { code, out } = await recoverDemo("--path_tuned", tuned, "--resume");
    assert.equal(code, 0);
    const [first, , , checked] = out.split("\n");
    assert.equal(first, `${tuned} is finished already: 21 tensors verified against weight-diff.json`);
    assert.equal(checked, "  checked  sha256 of every tensor");
    assert.deepEqual(await list(tuned), FILES);
  });
});

test("--resume refuses an output that was finished from another base or in another dtype", async () => {
  await withFolder(async (folder) => {
    const [first, second] = [join(folder, "first"), join(folder, "second")];
    await recoverDemo("--path_tuned", first);
    await recoverDemo("--path_tuned", second);
    for (const [base, dtype, what] of [
      [first, "float32", "another base"],
      [BASE, "float16", "another dtype"],
    ] as const) {
      const flags = ["--path_raw", base, "--path_diff", DIFF, "--path_tuned", second, "--dtype", dtype, "--resume"];
      const { code, said } = await weightDiff(["recover", ...flags]);
      assert.equal(code, 4);
      assert.deepEqual(said.slice(-2), [
        `weight-diff: error: ${second}: holds a finished model that was made otherwise: ${what}`,
        "weight-diff: hint: give another output directory, or replace the model in it with --force",
      ]);
    }
  });
});

test("--resume finds a flipped byte in a finished output: exit code 3 and the tensor's name", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "out");
    await recoverDemo("--path_tuned", tuned);
    const file = await open(join(tuned, "model.safetensors"), "r+");
    await file.write(Buffer.from([0x55]), 0, 1, 669_439);
    await file.close();
    const { code, said } = await recoverDemo("--path_tuned", tuned, "--resume");
    assert.equal(code, 3);
    assert.match(
      said.at(-2) ?? "",
      /^weight-diff: error: .*\/out: 1 of 21 tensors are not what weight-diff\.json says: "[\w.]+"$/,
    );
    assert.equal(said.at(-1), "weight-diff: hint: make it again with --force");
  });
});

test("--resume finds a finished output whose weights are cut off or gone: exit code 3", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "out");
    await recoverDemo("--path_tuned", tuned);
    const file = await open(join(tuned, "model.safetensors"), "r+");
    await file.truncate(600_000);
    await file.close();
    const { code, said } = await recoverDemo("--path_tuned", tuned, "--resume");
    assert.equal(code, 3);
    assert.match(said.at(-2) ?? "", /^weight-diff: error: .*model\.safetensors/);
    assert.equal(said.at(-1), "weight-diff: hint: make it again with --force");
  });
});

test("a sum that does not fit is exit code 3, and the output stays", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "out");
    const { code, out } = await recoverDemo("--path_tuned", tuned, "--expect-sum", "50637.1836");
    assert.equal(code, 3);
    assert.match(
      out,
      /^ {2}verdict {2}fail: sum 141\.998734, expected 50637\.1836: off by 50495\.\d{4}: another base, another diff, or damaged files$/m,
    );
    assert.deepEqual(await list(tuned), FILES);
  });
});

test("a sum that fits is exit code 0, with or without the buffers", async () => {
  for (const [sum, words] of [
    ["139.0733", /verdict {2}pass: sum 139\.073288, expected 139\.0733: within 0\.01 without the inv_freq buffers/],
    ["141.9987", /verdict {2}pass: sum 141\.998734, expected 141\.9987: within 0\.01 with the inv_freq buffers/],
    ["141.97", /verdict {2}pass within noise: sum 141\.998734, expected 141\.97: off by 0\.0287 with/],
  ] as const) {
    const { code, out } = await recoverDemo("--expect-sum", sum);
    assert.equal(code, 0);
    assert.match(out, words);
  }
});

test("values that float16 cannot hold are a warning with a count, and exit code 0", async () => {
  const pair = join(FIXTURES, "recover/wide-range");
  const expected = JSON.parse(await readFile(join(pair, "expected.json"), "utf8")).outputs.float16.overflow;
  assert.ok(expected > 0);
  const flags = ["--path_raw", join(pair, "base"), "--path_diff", join(pair, "diff"), "--dtype", "float16", "--quiet"];
  const { code, out, said } = await weightDiff(["recover", ...flags, "--json"]);
  assert.equal(code, 0);
  assert.equal(
    JSON.parse(out).overflow.reduce((sum: number, { count }: { count: number }) => sum + count, 0),
    expected,
  );
  assert.equal(said.length, 1);
  assert.match(
    said[0] ?? "",
    new RegExp(
      `^weight-diff: warning: ${expected} values in \\d+ tensors \\(first: [\\w.]+\\) are too large for float16 and became infinite; float32 or bfloat16 hold them$`,
    ),
  );
});
