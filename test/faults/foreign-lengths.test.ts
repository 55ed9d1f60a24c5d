/**
 * Lengths, depths and counts that a file states reach neither the stack nor an allocation: small files that ended in a RangeError, or in
 * gigabytes, end as input that cannot be used, in little memory.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type TensorSpec, withFolder, writeFiles } from "../support/checkpoints.js";
import { llama, writeModel } from "../support/diffs.js";
import { op, pickleOf, safetensorsFile, torchZip } from "../support/hostile-files.js";
import { putStrays } from "../support/large-inputs.js";
import { CAN_MEASURE, peakOf } from "../support/peak.js";

const MOST = 256_000_000;

async function ends(code: number, words: RegExp, ...args: readonly string[]): Promise<void> {
  const found = await peakOf([...args, "--quiet"]);
  assert.equal(found.code, code, `${args.join(" ")}: ${found.said}`);
  assert.match(found.said, words);
  assert.doesNotMatch(found.said, /RangeError|a bug/);
  assert.ok(!CAN_MEASURE || found.peak < MOST, `${args.join(" ")}: ${found.peak} bytes`);
}

test("130,000 layers in Meta's layout are not taken for a LLaMA", async () => {
  await withFolder(async (folder) => {
    const empty = (name: string): string => `"${name}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`;
    const layers = Array.from({ length: 130_000 }, (_, index) => empty(`layers.${index}.`));
    const text = `{${[
      '"norm.weight":{"dtype":"U8","shape":[4096,0],"data_offsets":[0,0]}',
      '"layers.0.attention.wq.weight":{"dtype":"U8","shape":[4096,0],"data_offsets":[0,0]}',
      ...layers,
    ].join(",")}}`;
    await writeFiles(folder, { "consolidated.00.pth": safetensorsFile(text) });
    await ends(4, /not a LLaMA as Meta released it/, "inspect", folder);
    await ends(4, /not a LLaMA as Meta released it/, "convert", folder, join(folder, "out"));
  });
});

test("a storage seventy dicts deep below one key of 10 MB", async () => {
  const key = op.text("k".repeat(10_000_000));
  const storage = Buffer.concat([
    op.mark,
    ...[op.text("storage"), op.global("torch", "FloatStorage"), op.text("0"), op.text("cpu"), op.int(2)],
    ...[op.tuple, op.persistent],
  ]);
  const depth = 70;
  const deeper = Buffer.concat(Array.from({ length: depth }, () => Buffer.concat([op.emptyDict, op.get(0)])));
  // One dict, its key kept in the memo; inside it dict after dict under the same key.
  const pickle = pickleOf(
    ...[op.emptyDict, key, op.put(0), op.pop, op.pop],
    ...[deeper, storage, Buffer.alloc(depth, op.setItem)],
  );
  await withFolder(async (folder) => {
    await writeFiles(folder, { "pytorch_model.bin": torchZip(pickle) });
    await ends(4, /the headers of the checkpoint take more than/, "inspect", folder);
    await ends(4, /the headers of the checkpoint take more than/, "verify", folder);
  });
});

test("240 names for one file of 7,000 tensors", { skip: process.platform === "win32" }, async () => {
  await withFolder(async (folder) => {
    await putStrays(folder);
    await ends(4, /./, "inspect", folder);
    const verified = await peakOf(["verify", folder, "--json", "--quiet"]);
    assert.equal(verified.code, 3, verified.said);
    assert.ok(verified.printed < 1_000_000, `${verified.printed} bytes printed`);
    assert.ok(!CAN_MEASURE || verified.peak < MOST, `${verified.peak} bytes`);
  });
});

for (const size of ["1e300", "1e15", "4294967296", "-8", "0.5", '"16"']) {
  test(`a config that states a hidden_size of ${size} makes no rotary buffer of that length`, async () => {
    const buffer: TensorSpec = ["model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [4], new Float32Array(4)];
    await withFolder(async (folder) => {
      const [base, diff] = [join(folder, "base"), join(folder, "diff")];
      await writeModel(base, llama(1));
      const small = llama(7).map(([name, dtype, shape, data]): TensorSpec => {
        return [name, dtype, shape, (data as Float32Array).map((value) => value / 1000)];
      });
      await writeModel(diff, [...small, buffer]);
      const config = `{"model_type": "llama", "hidden_size": ${size}, "num_attention_heads": 1, "vocab_size": 20}`;
      await writeFiles(base, { "config.json": config });
      await writeFiles(diff, { "config.json": config });
      const args = ["recover", "--path_raw", base, "--path_diff", diff, "--inv-freq", "keep", "--ignore"];
      const found = await peakOf([...args, "not-a-diff,wrong-base,bit-census", "--path_tuned", join(folder, "out")]);
      assert.ok(found.code === 0 || found.code === 4, found.said);
      assert.ok(!CAN_MEASURE || found.peak < MOST, `${found.peak} bytes`);
    });
  });
}
