/** What models are called. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModelConfig } from "../../../src/checkpoint/config.js";
import { familyName, isHalfPrecisionOriginal } from "../../../src/evidence/family.js";
import type { ModelShape } from "../../../src/evidence/model-shape.js";
import { filesOfSize, fileWithDigest, KNOWN_FILES } from "../../../src/known/files.js";
import { KNOWN_SUMS, publishedSum, sumNamed } from "../../../src/known/sums.js";
import { refuses } from "../../support/refusal.js";

function shape(family: ModelShape["family"], hiddenSize: number, layers: number, intermediateSize: number): ModelShape {
  return { family, layers, hiddenSize, intermediateSize, vocabulary: 32_000, outputRows: 32_000 };
}

function config(context: number | null, normEps: number | null): ModelConfig {
  return {
    nameOrPath: null,
    path: "config.json",
    text: "{}",
    tied: null,
    ropeTheta: 1e4,
    headSize: null,
    layers: null,
    modelType: "other",
    vocabSize: null,
    hiddenSize: null,
    intermediateSize: null,
    dtype: null,
    architecture: null,
    normEps,
    context,
    activation: null,
    heads: null,
    keyValueHeads: null,
    quantised: false,
    ownCode: false,
    values: {},
  };
}

test("tells LLaMA from Llama 2, whose shapes are the same, by config", () => {
  const seven = shape("llama", 4096, 32, 11008);
  assert.equal(familyName(seven, config(2048, 1e-6)), "LLaMA 7B");
  assert.equal(familyName(seven, config(4096, 1e-5)), "Llama 2 7B");
  assert.equal(familyName(seven, config(null, 1e-5)), "Llama 2 7B");
  assert.equal(familyName(seven, null), "LLaMA 7B or Llama 2 7B");
  assert.equal(familyName(shape("llama", 8192, 80, 22016), config(2048, 1e-5)), "LLaMA 65B");
  assert.equal(familyName(shape("llama", 8192, 80, 28672), null), "Llama 2 70B");
});

test("names Pythia by layers where sizes are the same, and unknown sizes by architecture", () => {
  assert.equal(familyName(shape("gpt_neox", 2048, 16, 8192), null), "Pythia 1B");
  assert.equal(familyName(shape("gpt_neox", 2048, 24, 8192), null), "Pythia 1.4B");
  assert.equal(familyName(shape("gpt_neox", 4096, 32, 16384), null), "Pythia 6.9B");
  assert.equal(familyName(shape("llama", 64, 2, 176), null), "LLaMA architecture");
  assert.equal(familyName(shape(null, 1, 1, 1), config(null, null)), "other");
});

test("only the first LLaMA lost bits in bfloat16", () => {
  assert.ok(isHalfPrecisionOriginal("LLaMA 13B"));
  for (const name of ["Llama 2 13B", "LLaMA 7B or Llama 2 7B", "Pythia 12B", null]) {
    assert.ok(!isHalfPrecisionOriginal(name), String(name));
  }
});

test("knows published files by digest, and hints by size", () => {
  assert.ok(KNOWN_FILES.every(({ sha256 }) => /^[0-9a-f]{64}$/.test(sha256)));
  assert.equal(new Set(KNOWN_FILES.map(({ sha256 }) => sha256)).size, KNOWN_FILES.length);
  const tokenizer = "9e556afd44213b6bd1be2b850ebbbd98f5481437a8021afaf58ee7fb1818d347";
  assert.equal(fileWithDigest(tokenizer)?.what, "the LLaMA and Llama 2 tokenizer");
  assert.equal(fileWithDigest("0".repeat(64)), null);
  assert.deepEqual(
    filesOfSize(9_976_642_750).map(({ what }) => what),
    ["lmsys/vicuna-7b-delta-v0, file 1 of 2"],
  );
});

test("knows published sums by name and by repository or folder, not by names of Object's own", async () => {
  assert.equal(sumNamed("Alpaca-7B").value, 50637.1836);
  assert.equal(publishedSum({ repo: "tatsu-lab/alpaca-7b-wdiff", directory: null })?.name, "alpaca-7b");
  assert.equal(publishedSum({ repo: null, directory: "/models/alpaca-7b-wdiff/" })?.name, "alpaca-7b");
  for (const repo of ["allenai/tulu-7b", "x/__proto__", "x/constructor", "alpaca-7b-wdiff-2"]) {
    assert.equal(publishedSum({ repo, directory: null }), null, repo);
  }
  for (const [repo, value, tolerance] of [
    ["fnlp/moss-rlhf-reward-model-7B-en", 50810.703125, 0.50810704],
    ["fnlp/moss-rlhf-sft-model-7B-en", 50874.84765625, 0.50874849],
    ["Ablustrund/moss-rlhf-reward-model-7B-zh", 49954.0859375, 0.49954087],
    ["jayelm/llama-7b-gist-1", 50547.957, 0.01],
    ["jayelm/llama-7b-pos_control-1", 50596.9141, 0.01],
    ["jayelm/llama-7b-neg_control-1", 50503.8789, 0.01],
    ["zjunlp/zhixi-13b-diff", 94052.2891, 0.01],
    ["epfml/landmark-attention-llama7b-wdiff", 49798.7656, 0.01],
    ["Neutralzz/BiLLa-7B-SFT", -3756.942626953125, 0.2501],
  ] as const) {
    const found = publishedSum({ repo, directory: null });
    assert.equal(found?.value, value, repo);
    assert.ok(Math.abs((found?.tolerance ?? 0) - tolerance) < 1e-8, `${repo}: ${found?.tolerance}`);
  }
  assert.equal(sumNamed("billa-7b-sft-embedding").tensor, "model.embed_tokens.weight");
  assert.ok(KNOWN_SUMS.every(({ repos }) => repos.every((repo) => repo === repo.toLowerCase())));
  // The script of the policy model compares with 0, whatever comes out: no sum was published.
  assert.equal(publishedSum({ repo: "fnlp/moss-rlhf-policy-model-7B-en", directory: null }), null);
  assert.equal(new Set(KNOWN_SUMS.map(({ name }) => name)).size, KNOWN_SUMS.length);
  await refuses(() => sumNamed("constructor"), "USAGE", /no sum is known/);
});
