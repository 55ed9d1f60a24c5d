/** What is said of a directory without weights: what it holds, and what to give instead; where that is a path, it leads to weights. */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { locate } from "../../../src/checkpoint/locate.js";
import { nothingHere } from "../../../src/checkpoint/nothing-here.js";
import { type ErrorCode, WeightDiffError } from "../../../src/errors.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

const SIDE = { "config.json": "{}", "tokenizer.json": "{}" };

/** The refusal of a directory with these files; a name that ends in "/" is an empty folder. */
async function refusalOf(
  names: readonly string[],
  side: Readonly<Record<string, string>> = SIDE,
): Promise<WeightDiffError> {
  return withFolder(async (folder) => {
    await writeFiles(folder, {
      ...side,
      ...Object.fromEntries(names.filter((name) => !name.endsWith("/")).map((name) => [name, "x"])),
    });
    for (const name of names.filter((each) => each.endsWith("/"))) {
      await mkdir(join(folder, name), { recursive: true });
    }
    try {
      await locate(folder);
    } catch (error) {
      assert.ok(error instanceof WeightDiffError, String(error));
      assert.equal(error.at.file, folder);
      return error;
    }
    return assert.fail("found weights");
  });
}

const UNSUPPORTED: readonly (readonly [names: readonly string[], fact: RegExp, hint: RegExp])[] = [
  [["adapter_model.bin"], /^holds adapter_model\.bin: a LoRA adapter/, /merge_and_unload/],
  [["adapter_model.safetensors", "README.md"], /a LoRA adapter/, /peft/],
  [["pytorch_model.bin.0123.enc"], /XOR-encrypted files/, /give the directory as the diff/],
  [["global_step1000/", "latest", "zero_to_fp32.py"], /a DeepSpeed checkpoint/, /zero_to_fp32\.py/],
  [["zero_pp_rank_0_mp_rank_00_optim_states.pt", "mp_rank_00_model_states.pt"], /a DeepSpeed checkpoint/, /gather/],
  [["bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"], /a DeepSpeed checkpoint/, /gather/],
  [["__0_0.distcp", "__1_0.distcp", ".metadata"], /sharded checkpoint of torch\.distributed/, /dcp_to_torch/],
  [["pytorch_model_fsdp_0/", "optimizer_0/"], /sharded checkpoint of torch\.distributed/, /accelerate merge-weights/],
  [["consolidated.safetensors", "params.json", "tekken.json"], /Mistral's own format/, /Hugging Face files/],
  [["consolidated-00001-of-00002.safetensors"], /Mistral's own format/, /Hugging Face files/],
  [["gptq_model-4bit-128g.safetensors", "quantize_config.json"], /quantised weights/, /original float weights/],
  [["vicuna-7b-4bit-128g.safetensors"], /quantised weights/, /original float weights/],
  [["llama-7b-GPTQ.safetensors"], /quantised weights/, /original float weights/],
  [["model_AWQ.pt"], /quantised weights/, /original float weights/],
  [["llama-7b.Q4_0.gguf"], /llama\.cpp files/, /quantised/],
  [["ggml-model-q4_0.bin"], /llama\.cpp files/, /quantised/],
  [["koala_7b_diff_v2"], /EasyLM checkpoints/, /one of these files/],
  [["latest_checkpointed_iteration.txt", "iter_0001000/"], /a Megatron checkpoint/, /converter/],
  [["flax_model.msgpack"], /a Flax checkpoint/, /safetensors/],
  [["tf_model.h5"], /a TensorFlow checkpoint/, /safetensors/],
  [["model.onnx", "model.onnx_data"], /another runtime/, /safetensors/],
  [["openvino_model.bin", "openvino_model.xml"], /another runtime/, /safetensors/],
  [["weights.npz"], /another runtime/, /safetensors/],
  [["tulu-diff-7b.tar.gz"], /a packed archive/, /unpack/],
  [["model.zip"], /a packed archive/, /unpack/],
  [["models--org--name/"], /models--org--name: a whole Hub cache/, /one of its/],
  [["\u001b[2J.gguf"], /^holds "\\u001b\[2J\.gguf"/, /quantised/],
];
for (const [names, fact, hint] of UNSUPPORTED) {
  test(`says what a directory with ${JSON.stringify(names[0])} holds, and what to do`, async () => {
    const error = await refusalOf(names);
    assert.equal(error.code, "FORMAT_UNSUPPORTED" satisfies ErrorCode);
    assert.match(error.fact, fact);
    assert.match(error.hint ?? "", hint);
  });
}

const MISSING: readonly (readonly [what: string, names: readonly string[], fact: RegExp, hint: RegExp])[] = [
  [
    "shards without their index",
    ["pytorch_model-00002-of-00003.bin"],
    /^has shards \(pytorch_model-00002-of-00003\.bin\) without/,
    /^fetch pytorch_model\.bin\.index\.json/,
  ],
  [
    "shards with odd numbers",
    ["pytorch_model-1.bin"],
    /has shards \(pytorch_model-1\.bin\) without/,
    /^fetch pytorch_model\.bin/,
  ],
  [
    "safetensors shards",
    ["model-00001-of-00002.safetensors"],
    /without their index model\.safetensors\.index\.json/,
    /^fetch model\.safetensors/,
  ],
  ["a name in capitals", ["Model.safetensors"], /Model\.safetensors is not model\.safetensors/, /^rename it/],
  [
    "an unfinished download",
    ["model.safetensors.incomplete"],
    /not finished: model\.safetensors\.incomplete$/,
    /hf download goes on/,
  ],
  ["an unfinished download of aria2", ["pytorch_model.bin.aria2"], /not finished/, /again/],
  [
    "an unfinished download of a browser",
    ["Unconfirmed 12.crdownload", "x.part"],
    /not finished: Unconfirmed 12\.crdownload, x\.part$/,
    /again/,
  ],
  [
    "an unfinished hf download",
    [".cache/huggingface/download/model.safetensors.abc.incomplete"],
    /not finished: \.cache.huggingface.download.model\.safetensors\.abc\.incomplete$/,
    /hf download/,
  ],
  [
    "one oddly named file",
    ["tulu-7b.safetensors"],
    /but tulu-7b\.safetensors$/,
    /^give that file itself, .*tulu-7b\.safetensors, or rename it model\.safetensors/,
  ],
  ["a variant", ["pytorch_model.fp16.bin"], /but pytorch_model\.fp16\.bin$/, /rename it pytorch_model\.bin/],
  [
    "the only shard",
    ["model-00001-of-00001.safetensors"],
    /but model-00001-of-00001\.safetensors$/,
    /rename it model\.safetensors/,
  ],
  ["several of them", ["a.pt", "b.pth", "training_args.bin"], /but a\.pt, b\.pth$/, /^give one of these files itself/],
  [
    "config and tokenizer alone",
    ["training_args.bin", "optimizer.bin", "rng_state_0.pth"],
    /only what lies beside them \(config\.json, tokenizer\.json\)$/,
    /^fetch model\.safetensors/,
  ],
];
for (const [what, names, fact, hint] of MISSING) {
  test(`says what a directory with ${what} holds, and what to do`, async () => {
    const error = await refusalOf(names);
    assert.equal(error.code, "NOT_FOUND");
    assert.match(error.fact, fact);
    assert.match(error.hint ?? "", hint);
  });
}

for (const [what, names, given] of [
  [
    "a trainer's output",
    ["checkpoint-500/model.safetensors", "checkpoint-900/pytorch_model.bin.index.json", "runs/x"],
    ["checkpoint-500", "checkpoint-900"],
  ],
  ["an unpacked archive", ["tulu-7b/pytorch_model.bin"], ["tulu-7b"]],
  ["Meta's download", ["7B/consolidated.00.pth", "7B/params.json", "tokenizer.model"], ["7B"]],
  ["snapshots of a cache", [`${"a".repeat(40)}/model.safetensors`], ["a".repeat(40)]],
] as const) {
  test(`sends whoever gives ${what} one folder deeper, and finds the weights there`, async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, Object.fromEntries(names.map((name) => [name, "x"])));
      const named = new RegExp(`no weights here, but .*in ${given.join(", ")}$`);
      await refuses(() => locate(folder), "NOT_FOUND", named);
      for (const inner of given) {
        assert.equal((await locate(join(folder, inner))).directory, join(folder, inner));
      }
    });
  });
}

test("the one file that it names can be given itself", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "tulu-7b.safetensors": "x" });
    assert.deepEqual((await locate(join(folder, "tulu-7b.safetensors"))).files, ["tulu-7b.safetensors"]);
  });
});

test("an empty directory is called empty, and one with other things is not", async () => {
  assert.match(
    (await refusalOf([], {})).fact,
    /^no weights here \(looked for model\.safetensors, .*\): the directory is empty$/,
  );
  assert.match((await refusalOf(["notes.txt"], {})).fact, /^no weights here \(looked for .*index\.json\)$/);
});

test("for a repository, the hint names its folders without looking into them", async () => {
  const hub = { id: "org/name", folder: "", folders: ["original", "fp16"] };
  const error = await nothingHere({ path: "org/name", directory: "/nowhere", names: ["README.md"], hub });
  assert.match(error.fact, /, but folders: original, fp16$/);
  assert.equal(error.hint, "give the one with the weights: org/name/original, org/name/fp16");
});

test("a folder that hides a repository of its name says so, and how to name the repository", async () => {
  const bare = (path: string) => nothingHere({ path, directory: "/nowhere", names: [], hub: null });
  for (const [path, name] of [
    ["org/name", "hf://org/name"],
    ["org/name/", "hf://org/name"],
    ["org/name@v1", "hf://org/name@v1"],
    ["huggingface.co/org/name", "hf://org/name"],
  ] as const) {
    const hint = (await bare(path)).hint ?? "";
    assert.ok(hint.endsWith(`; this folder hides the Hub's repository of that name, which is ${name}`), hint);
  }
  for (const path of ["./org/name", "/org/name", "name", "a/b/c"]) {
    assert.doesNotMatch((await bare(path)).hint ?? "", /hides/);
  }
});

test("thousands of files take no more than a line", async () => {
  const names = Array.from({ length: 5000 }, (_, index) => `part-${String(index).padStart(5, "0")}.pt`);
  const error = await nothingHere({ path: "x", directory: "/nowhere", names, hub: null });
  assert.match(error.fact, /part-00004\.pt and 4995 more$/);
});

test("the error about an adapter names its base if adapter_config.json does", async () => {
  for (const [config, message] of [
    ['{"base_model_name_or_path": "org/base"}', /a LoRA adapter for "org\/base", not whole weights$/],
    ['{"base_model_name_or_path": "\\u001b[31m"}', /a LoRA adapter for "\\u001b\[31m", not whole weights$/],
    ['{"base_model_name_or_path": 7}', /a LoRA adapter, not whole weights$/],
    ["{", /a LoRA adapter, not whole weights$/],
  ] as const) {
    const { fact } = await refusalOf(["adapter_model.safetensors"], { "adapter_config.json": config });
    assert.match(fact, message);
  }
});
