/** recover --dtype auto as a user runs it: what it says, JSON, exit codes, and the same bytes from either kernel. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { narrowBits, toBits } from "../../src/kernel/bits.js";
import { safetensors, withFolder, writeFiles } from "../support/checkpoints.js";
import { BASE, DIFF, recoverDemo, weightDiff } from "./command.js";

interface Document {
  readonly dtype: string;
  readonly tensors: readonly unknown[];
}

test("the demo comes back in bfloat16, from either kernel, and is what --dtype bfloat16 gives", async () => {
  const json = async (dtype: string, env: Readonly<Record<string, string>> = {}): Promise<Document> => {
    const words = ["recover", "--path_raw", BASE, "--path_diff", DIFF, "--dtype", dtype, "--json", "--quiet"];
    const { code, out, said } = await weightDiff(words, env);
    assert.equal(code, 0, said.join("\n"));
    return JSON.parse(out) as Document;
  };
  const auto = await json("auto");
  assert.equal(auto.dtype, "bfloat16");
  assert.deepEqual(auto.tensors, (await json("bfloat16")).tensors);
  assert.deepEqual(auto.tensors, (await json("auto", { WEIGHT_DIFF_KERNEL: "scalar" })).tensors);
});

test("a dry run says what would be taken, and why", async () => {
  const { code, out, said } = await recoverDemo("--dtype", "auto", "--dry-run");
  assert.equal(code, 0);
  assert.match(out, /^would write nothing \(no --path_tuned\) as bfloat16$/m);
  assert.ok(said.some((line) => /^weight-diff: dtype auto: bfloat16: it holds all \d+ sampled values/.test(line)));
});

for (const kernel of ["simd", "scalar"]) {
  test(`${kernel}: a value that does not fit ends with exit code 3, the tensor and the remedies, and leaves nothing`, async () => {
    await withFolder(async (folder) => {
      const name = "model.layers.0.mlp.up_proj.weight";
      const base = Float32Array.from({ length: 64 * 1024 }, (_, i) => halved(0.01 + i / 2 ** 24));
      const tuned = base.map((value) => halved(value * 1.5));
      // Neither among the first values nor among the last, which are sampled.
      tuned[30_000] = 0.0212345;
      const diff = tuned.map((value, i) => value - (base[i] ?? 0));
      const write = (side: string, data: Float32Array): Promise<string> =>
        writeFiles(join(folder, side), { "model.safetensors": safetensors([name, "F32", [64, 1024], data]) });
      const places = ["--path_raw", await write("base", base), "--path_diff", await write("diff", diff)];
      const out = join(folder, "out");
      const words = ["recover", ...places, "--path_tuned", out, "--scheme", "open-instruct", "--ignore", "not-a-diff"];
      const { code, said } = await weightDiff([...words, "--dtype", "auto"], { WEIGHT_DIFF_KERNEL: kernel });
      assert.equal(code, 3, said.join("\n"));
      assert.deepEqual(said.slice(-2), [
        `weight-diff: error: tensor "${name}": of its first 65536 values one is not exact in bfloat16, and only a sample was looked at when that dtype was chosen`,
        "weight-diff: hint: keep every value with --dtype float32, or round such values with --dtype bfloat16",
      ]);
      assert.ok(!existsSync(out));
    });
  });
}

/** To the nearest bfloat16. */
function halved(value: number): number {
  return new Float32Array(Uint32Array.of(narrowBits("BF16", toBits(value)) << 16).buffer)[0] ?? 0;
}
