/** What try takes and what it refuses: containers, the Hub, prompts of any bytes, and what is no language model. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { filesOf } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";
import { indexText, safetensors, type TensorSpec, withFolder, writeFiles } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { readWeights, type Weights } from "../support/trained.js";
import { tokenizerOf, trained } from "../support/tried.js";
import { BIN, weightDiff } from "./command.js";

const BASE = join(FIXTURES, "trained/llama/base");
const RUN = ["--raw", "the model", "--max-new-tokens", "6", "--quiet"];

/** A folder with the trained base and a tokenizer of letters; its weights are F16. */
async function model(folder: string): Promise<string> {
  await cp(BASE, folder, { recursive: true });
  await writeFile(join(folder, "tokenizer.json"), tokenizerOf(trained.texts.base[0] ?? ""));
  return folder;
}

/** What is printed, but for where the model lies and how long it took. */
const told = (out: string): string => out.replace(/^.*: llama, /, "").replace(/^ {2}took .*$/m, "");

async function specs(): Promise<readonly TensorSpec[]> {
  const weights: Weights = await readWeights(BASE);
  return [...weights].map(([name, { shape, bits }]) => [name, "F32", shape, bits]);
}

let expected: string;

before(async () => {
  await withFolder(async (folder) => {
    const { code, out } = await weightDiff(["try", await model(join(folder, "m")), ...RUN]);
    assert.equal(code, 0, out);
    assert.match(out, /^ {2}verdict {2}speaks: 0\.\d\d nats/m);
    expected = told(out);
  });
});

test("one file, named itself or its folder, and shards say the same", async () => {
  await withFolder(async (folder) => {
    const path = await model(join(folder, "m"));
    const file = await weightDiff(["try", join(path, "model.safetensors"), ...RUN]);
    assert.deepEqual([file.code, told(file.out)], [0, expected]);
    const all = await specs();
    const parts = [all.slice(0, 7), all.slice(7)];
    const names = parts.map((_, place) => `model-0000${place + 1}-of-00002.safetensors`);
    const map = Object.fromEntries(parts.flatMap((part, place) => part.map(([name]) => [name, names[place] ?? ""])));
    await rm(join(path, "model.safetensors"));
    await writeFiles(path, {
      "model.safetensors.index.json": indexText(map),
      ...Object.fromEntries(parts.map((part, place) => [names[place], safetensors(...part)])),
    });
    const sharded = await weightDiff(["try", path, ...RUN]);
    assert.deepEqual([sharded.code, told(sharded.out)], [0, expected]);
    const part = await weightDiff(["try", join(path, names[0] ?? ""), ...RUN]);
    assert.equal(part.code, 4);
    assert.match(part.said.join("\n"), /tensors are missing/);
  });
});

const python = process.env.WEIGHT_DIFF_PYTHON;

test(".bin says the same, whole and in parts", {
  skip: python === undefined && process.env.CI !== "true" ? "WEIGHT_DIFF_PYTHON names no Python with torch" : false,
}, async () => {
  await withFolder(async (folder) => {
    const path = await model(join(folder, "m"));
    const script = `
import json, sys, torch
from safetensors.torch import load_file
state, names = load_file(sys.argv[1] + "/model.safetensors"), []
torch.save(state, sys.argv[1] + "/pytorch_model.bin")
names = list(state)
files = [f"pytorch_model-0000{i + 1}-of-00003.bin" for i in range(3)]
for i, file in enumerate(files):
    torch.save({name: state[name].clone() for name in names[i::3]}, sys.argv[2] + "/" + file)
json.dump({"metadata": {}, "weight_map": {name: files[i % 3] for i, name in enumerate(names)}}, open(sys.argv[2] + "/pytorch_model.bin.index.json", "w"))`;
    const parts = join(folder, "parts");
    await mkdir(parts);
    const made = spawnSync(python ?? "", ["-c", script, path, parts], { encoding: "utf8" });
    assert.equal(made.status, 0, made.stderr);
    await rm(join(path, "model.safetensors"));
    const whole = await weightDiff(["try", path, ...RUN]);
    assert.deepEqual([whole.code, told(whole.out)], [0, expected]);
    await rm(join(path, "pytorch_model.bin"));
    for (const file of await readdir(parts)) {
      await rename(join(parts, file), join(path, file));
    }
    const sharded = await weightDiff(["try", path, ...RUN]);
    assert.deepEqual([sharded.code, told(sharded.out)], [0, expected]);
  });
});

let hub: TestHub;
before(async () => {
  hub = await startHub();
});
after(() => hub.close());

test("a repository of the Hub: fetched, from the cache, by ranges, and a gated one with a token and without", async () => {
  await withFolder(async (folder) => {
    const path = await model(join(folder, "m"));
    const files = filesOf(path);
    hub.add("org/toy", files);
    hub.add("org/gated-toy", files, { gated: true });
    hub.account("hf_in", { accepted: ["org/gated-toy"] });
    const home = join(folder, "home");
    const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_TOKEN: "" };
    const size = files.get("model.safetensors")?.bytes.length ?? assert.fail("no weights");
    const fromCdn = (): number => hub.log.reduce((sum, { port, sent }) => sum + (port === "cdn" ? sent : 0), 0);
    const ranged = await weightDiff(["try", "org/toy", ...RUN, "--no-cache"], env);
    assert.deepEqual([ranged.code, told(ranged.out)], [0, expected], ranged.said.join("\n"));
    // By ranges, with each pass once more: the embedding's rows and six passes.
    assert.ok(hub.log.some(({ range }) => range !== null));
    assert.deepEqual(await readdir(home).catch(() => []), []);
    await hub.forget();
    const cold = await weightDiff(["try", "org/toy", ...RUN], env);
    assert.deepEqual([cold.code, told(cold.out)], [0, expected]);
    assert.ok(fromCdn() >= size && fromCdn() < 2 * size, `${fromCdn()} of ${size} bytes`);
    await hub.forget();
    const warm = await weightDiff(["try", "org/toy", ...RUN], env);
    assert.deepEqual([warm.code, told(warm.out), fromCdn()], [0, expected, 0]);
    const closed = await weightDiff(["try", "org/gated-toy", ...RUN], env);
    assert.equal(closed.code, 4, closed.said.join("\n"));
    assert.match(closed.said.join("\n"), /org\/gated-toy.*gated|gated.*org\/gated-toy/s);
    assert.equal(closed.out, "");
    const open = await weightDiff(["try", "org/gated-toy", ...RUN], { ...env, HF_TOKEN: "hf_in" });
    assert.deepEqual([open.code, told(open.out)], [0, expected]);
  });
});

test("a Unigram tokenizer is refused, and ids run without it", async () => {
  await withFolder(async (folder) => {
    const path = await model(folder);
    const unigram = {
      added_tokens: [],
      model: {
        type: "Unigram",
        unk_id: 0,
        vocab: [
          ["<unk>", 0],
          ["a", -1],
        ],
      },
    };
    await writeFile(join(path, "tokenizer.json"), JSON.stringify(unigram));
    const { code, said } = await weightDiff(["try", path, ...RUN]);
    assert.equal(code, 4);
    assert.match(said.join("\n"), /its model is "Unigram"; only BPE is supported\n.*--prompt-ids 1,450/);
    const ids = await weightDiff(["try", path, "--prompt-ids", "20,8,5", "--max-new-tokens", "2"]);
    assert.equal(ids.code, 0, ids.said.join("\n"));
    assert.match(ids.said.join("\n"), /warning: the tokenizer is not used: .*Unigram/);
    assert.match(ids.out, /no figure: without a tokenizer there is no known text/);
  });
});

const LORA: TensorSpec = ["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "F32", [4, 48]];
const REFUSED: readonly (readonly [
  what: string,
  change: (
    config: Readonly<Record<string, unknown>>,
    tensors: readonly TensorSpec[],
  ) => Readonly<Record<string, string | Uint8Array>>,
  message: RegExp,
])[] = [
  [
    "a LoRA adapter",
    () => ({
      "adapter_config.json": '{"peft_type": "LORA", "base_model_name_or_path": "org/base"}',
      "adapter_model.safetensors": safetensors(LORA),
    }),
    /holds adapter_model\.safetensors: a LoRA adapter for "org\/base", not whole weights.*\n.*merge_and_unload/,
  ],
  [
    "a reward model",
    (config, tensors) => ({
      "config.json": JSON.stringify({ ...config, architectures: ["LlamaForSequenceClassification"] }),
      "model.safetensors": safetensors(...tensors.filter(([name]) => name !== "lm_head.weight"), [
        "score.weight",
        "F32",
        [1, 48],
      ]),
    }),
    /the model has no output head: there is no lm_head\.weight.*\n.*a reward or base model does not write text/,
  ],
  [
    "a model without its head, by its names",
    (config, tensors) => ({
      "config.json": JSON.stringify({ ...config, architectures: ["LlamaModel"] }),
      "model.safetensors": safetensors(
        ...tensors.flatMap(([name, ...rest]): TensorSpec[] =>
          name === "lm_head.weight" ? [] : [[name.replace("model.", ""), ...rest]],
        ),
      ),
    }),
    /the model has no output head/,
  ],
  [
    "an encoder",
    () => ({
      "config.json": '{"model_type": "bert", "architectures": ["BertForMaskedLM"]}',
      "model.safetensors": safetensors(["bert.embeddings.word_embeddings.weight", "F32", [8, 4]]),
    }),
    /models of type "bert" are not supported.*\n.*these run: llama, mistral, qwen2, qwen3, gpt_neox/,
  ],
  [
    "an encoder with a decoder",
    () => ({
      "config.json": '{"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}',
      "model.safetensors": safetensors(["shared.weight", "F32", [8, 4]]),
    }),
    /models of type "t5" are not supported/,
  ],
  [
    "an architecture that nobody knows",
    () => ({
      "config.json": '{"architectures": ["FooBarForCausalLM"]}',
      "model.safetensors": safetensors(["foo.weight", "F32", [8, 4]]),
    }),
    /"FooBarForCausalLM" are not supported/,
  ],
];

for (const [what, change, message] of REFUSED) {
  test(`refuses ${what}`, async () => {
    await withFolder(async (folder) => {
      const config = JSON.parse(await readFile(join(BASE, "config.json"), "utf8"));
      await writeFiles(folder, { "tokenizer.json": tokenizerOf("a"), ...change(config, await specs()) });
      const { code, out, said } = await weightDiff(["try", folder, ...RUN]);
      assert.deepEqual([code, out], [4, ""]);
      assert.match(said.join("\n"), message);
    });
  });
}

test("prompts longer than the model's positions are refused, and one of that length runs and ends", async () => {
  await withFolder(async (folder) => {
    const path = await model(folder);
    const config = JSON.parse(await readFile(join(path, "config.json"), "utf8"));
    await writeFile(join(path, "config.json"), JSON.stringify({ ...config, max_position_embeddings: 9 }));
    for (const args of [
      ["--raw", "the model "],
      ["--prompt-ids", "1,2,3,4,5,6,7,8,9,10"],
    ]) {
      const { code, out, said } = await weightDiff(["try", path, ...args, "--quiet"]);
      assert.deepEqual([code, out], [2, ""]);
      assert.match(
        said.join("\n"),
        /the prompt has 10 tokens, but the model was made for 9 \(max_position_embeddings\)/,
      );
    }
    const { out } = await weightDiff(["try", path, "--raw", "the mode", "--quiet"]);
    assert.match(out, /^ {2}ended {4}after 1 token: the model was made for no more tokens$/m);
  });
});

/** Runs it with arguments that are bytes: a shell gives them as they are. */
function bytes(path: string, flag: string, octal: string) {
  const line = `exec "$0" "$1" try "$2" ${flag} "$(printf '${octal}')" --max-new-tokens 1 --json`;
  const { status, stdout, stderr } = spawnSync("bash", ["-c", line, process.execPath, BIN, path], { encoding: "utf8" });
  return { status, report: JSON.parse(stdout), stderr };
}

test("any bytes are a prompt: what is no UTF-8 is said, and what is no letter stays as it is", async () => {
  await withFolder(async (folder) => {
    const path = await model(folder);
    for (const flag of ["--raw", "--prompt"]) {
      for (const octal of ["the\\377 model", "the\\355\\240\\275 model", "the\\360\\237\\231 model"]) {
        const { status, report, stderr } = bytes(path, flag, octal);
        assert.equal(status, 0, stderr);
        assert.match(report.prompt, /^the\ufffd+ model$/);
        assert.match(stderr, /warning: the prompt holds half a character.*sent as U\+FFFD/);
      }
    }
    for (const text of ["e\u0301 \u202e\ufeff\u200b\u0007\u001b[31m", "\u{1f642}\u{10ffff}", "\r\n\t ", "-"]) {
      const { code, out, said } = await weightDiff(["try", path, "--raw", text, "--max-new-tokens", "1", "--json"]);
      assert.equal(code, 0, said.join("\n"));
      assert.equal(JSON.parse(out).prompt, text);
      assert.ok(!said.join().includes("no character"));
      const shown = await weightDiff(["try", path, "--raw", text, "--max-new-tokens", "1", "--quiet"]);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: no terminal is told what to do
      assert.doesNotMatch(shown.out, /[\u0000-\u0009\u000b-\u001f\u202e\ufeff]/);
    }
    const none = await weightDiff(["try", path, "--raw", "", "--quiet"]);
    assert.equal(none.code, 2);
    assert.match(none.said.join("\n"), /an empty prompt has no token, and this tokenizer adds none before a text/);
  });
});
