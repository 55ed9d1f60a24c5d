/** Meta's parts as transformers' state dict: what makes one model, and what is refused before a byte is read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readMetaLayout } from "../../../../../src/checkpoint/layouts/meta/layout.js";
import { type MetaParams, parseParams } from "../../../../../src/checkpoint/layouts/meta/params.js";
import { type MetaPart, metaPartName } from "../../../../../src/checkpoint/layouts/meta/parts.js";
import { type Dtype, tensorBytes } from "../../../../../src/formats/dtype.js";
import type { TensorInfo } from "../../../../../src/formats/tensor-info.js";
import { refuses } from "../../../../support/refusal.js";

interface Sizes {
  readonly dim: number;
  readonly heads: number;
  readonly keyValueHeads?: number;
  readonly inter: number;
  readonly vocab: number;
  readonly layers: number;
  readonly parts: number;
  readonly dtype?: Dtype;
}

const SMALL: Sizes = { dim: 24, heads: 4, inter: 20, vocab: 10, layers: 2, parts: 2 };

function part(sizes: Sizes, number: number): MetaPart {
  const { dim, heads, keyValueHeads = heads, inter, vocab, layers, parts, dtype = "F16" } = sizes;
  const keys = (keyValueHeads * dim) / heads / parts;
  let at = 0;
  const tensor = (name: string, ...shape: number[]): TensorInfo => {
    const begin = at;
    at += tensorBytes(dtype, shape) ?? 0;
    return { name, path: [name], dtype, shape, range: { begin, end: at } };
  };
  const layer = (prefix: string): TensorInfo[] => [
    tensor(`${prefix}.attention.wq.weight`, dim / parts, dim),
    tensor(`${prefix}.attention.wk.weight`, keys, dim),
    tensor(`${prefix}.attention.wv.weight`, keys, dim),
    tensor(`${prefix}.attention.wo.weight`, dim, dim / parts),
    tensor(`${prefix}.feed_forward.w1.weight`, inter / parts, dim),
    tensor(`${prefix}.feed_forward.w2.weight`, dim, inter / parts),
    tensor(`${prefix}.feed_forward.w3.weight`, inter / parts, dim),
    tensor(`${prefix}.attention_norm.weight`, dim),
    tensor(`${prefix}.ffn_norm.weight`, dim),
  ];
  return {
    file: metaPartName(number),
    tensors: [
      tensor("tok_embeddings.weight", vocab, dim / parts),
      tensor("norm.weight", dim),
      tensor("output.weight", vocab / parts, dim),
      ...Array.from({ length: layers }, (_, index) => layer(`layers.${index}`)).flat(),
      tensor("rope.freqs", dim / heads / 2),
      tensor("layers.0.attention.inner_attention.rope.freqs", dim / heads / 2),
    ],
  };
}

const partsOf = (sizes: Sizes): readonly MetaPart[] =>
  Array.from({ length: sizes.parts }, (_, number) => part(sizes, number));

function params({ dim, heads, layers, keyValueHeads = heads }: Sizes, more: Partial<MetaParams> = {}): MetaParams {
  return {
    path: "dir/params.json",
    dim,
    heads,
    keyValueHeads: keyValueHeads === heads ? null : keyValueHeads,
    layers,
    normEps: 1e-6,
    vocabulary: null,
    ropeTheta: null,
    scaledRope: false,
    ...more,
  };
}

/** Changes tensors of the last part; null leaves one out. */
function spoiled(name: string, change: Partial<TensorInfo> | null, sizes = SMALL): readonly MetaPart[] {
  const parts = partsOf(sizes);
  return parts.map((one, number) =>
    number < parts.length - 1
      ? one
      : {
          ...one,
          tensors: one.tensors.flatMap((tensor) =>
            tensor.name !== name ? [tensor] : change === null ? [] : [{ ...tensor, ...change }],
          ),
        },
  );
}

test("gives transformers' names in their order of early 2023, with the shapes of the whole", () => {
  const { tensors, ...sizes } = readMetaLayout(partsOf(SMALL), params(SMALL), "dir");
  assert.deepEqual(sizes, {
    hiddenSize: 24,
    layers: 2,
    heads: 4,
    keyValueHeads: 4,
    intermediateSize: 20,
    vocabulary: 10,
  });
  assert.equal(tensors.length, 21);
  assert.deepEqual(
    tensors.slice(0, 10).map(({ name, shape }) => [name.replace("model.layers.0.", ""), shape]),
    [
      ["model.embed_tokens.weight", [10, 24]],
      ["self_attn.q_proj.weight", [24, 24]],
      ["self_attn.k_proj.weight", [24, 24]],
      ["self_attn.v_proj.weight", [24, 24]],
      ["self_attn.o_proj.weight", [24, 24]],
      ["mlp.gate_proj.weight", [20, 24]],
      ["mlp.down_proj.weight", [24, 20]],
      ["mlp.up_proj.weight", [20, 24]],
      ["input_layernorm.weight", [24]],
      ["post_attention_layernorm.weight", [24]],
    ],
  );
  assert.deepEqual(
    tensors.slice(-2).map(({ name }) => name),
    ["model.norm.weight", "lm_head.weight"],
  );
});

test("a model of one part has pieces in q and k only", () => {
  const { tensors } = readMetaLayout(partsOf({ ...SMALL, parts: 1 }), params(SMALL), "dir");
  const cut = tensors.filter(({ pieces }) => pieces !== undefined).map(({ name }) => name.split(".").at(-2));
  assert.deepEqual(cut, ["q_proj", "k_proj", "q_proj", "k_proj"]);
});

test("grouped heads: fewer keys and values, read off the shapes", () => {
  const sizes = { ...SMALL, keyValueHeads: 2 };
  assert.equal(readMetaLayout(partsOf(sizes), params(sizes), "dir").keyValueHeads, 2);
});

test("without params.json, the sizes that Meta released have heads of 128 values", async () => {
  const seven = { dim: 4096, heads: 32, inter: 11008, vocab: 32000, layers: 2, parts: 1 };
  assert.equal(readMetaLayout(partsOf(seven), null, "dir").heads, 32);
  const seventy = { dim: 8192, heads: 64, keyValueHeads: 8, inter: 28672, vocab: 32000, layers: 1, parts: 8 };
  const { heads, keyValueHeads } = readMetaLayout(partsOf(seventy), null, "dir");
  assert.deepEqual([heads, keyValueHeads], [64, 8]);
  await refuses(
    () => readMetaLayout(partsOf(SMALL), null, "dir"),
    "NOT_FOUND",
    /no params\.json, and a hidden size of 24/,
  );
});

test("names the parts that are missing, by their numbers or by the shapes", async () => {
  const eight = partsOf({ ...SMALL, dim: 48, heads: 8, inter: 16, vocab: 16, parts: 8 });
  const without = (...numbers: readonly number[]): readonly MetaPart[] =>
    eight.filter((_, at) => !numbers.includes(at));
  const read = (parts: readonly MetaPart[]): unknown =>
    readMetaLayout(parts, params({ ...SMALL, dim: 48, heads: 8 }), "dir");
  await refuses(() => read(without(3)), "NOT_FOUND", /7 of 8 parts .*: consolidated\.03\.pth is missing/);
  await refuses(
    () => read(without(6, 7)),
    "NOT_FOUND",
    /6 of 8 parts .*: consolidated\.06\.pth, consolidated\.07\.pth are/,
  );
  await refuses(() => read(eight.slice(0, 1)), "NOT_FOUND", /1 of 8 parts .*consolidated\.01\.pth, /);
});

test("more parts than the shapes allow are of several models", async () => {
  const parts = [part({ ...SMALL, parts: 1 }, 0), part({ ...SMALL, parts: 1 }, 1)];
  await refuses(() => readMetaLayout(parts, params(SMALL), "dir"), "MISMATCH", /of a model of 1 part, there are 2/);
});

for (const [what, parts, message] of [
  ["a tensor missing from one part", spoiled("output.weight", null), /01\.pth: tensor "output\.weight" is missing/],
  [
    "a part of a wider model",
    spoiled("norm.weight", { shape: [48] }),
    /"norm\.weight" has shape \[48\], expected \[24\]/,
  ],
  [
    "parts of different dtypes",
    spoiled("layers.1.ffn_norm.weight", { dtype: "F32" }),
    /is F32, in consolidated\.00\.pth F16/,
  ],
  [
    "embeddings cut by rows, as Llama 3 has them",
    spoiled("tok_embeddings.weight", { shape: [5, 24] }),
    /has shape \[5, 24\], expected \[10, 12\]/,
  ],
  ["another layer in one part", spoiled("layers.1.ffn_norm.weight", null), /"layers\.1\.ffn_norm\.weight" is missing/],
  ["a tensor of no LLaMA", spoiled("rope.freqs", { name: "lora.weight" }), /tensor "lora\.weight" belongs to no LLaMA/],
  ["a matrix that is a list", spoiled("layers.0.attention.wo.weight", { shape: [288] }), /expected \[24, 12\]/],
] as const) {
  test(`refuses ${what}`, async () => {
    await refuses(() => readMetaLayout(parts, params(SMALL), "dir"), "MISMATCH", message);
  });
}

for (const [what, more, message] of [
  ["dim", { dim: 32 }, /dim is 32, the length of the norm weights is 24/],
  ["n_layers", { layers: 1e9 }, /n_layers is 1000000000, the number of layers among the tensors is 2/],
  ["n_kv_heads", { keyValueHeads: 2 }, /n_kv_heads is 2, the heads among the rows of wk are 4/],
  ["vocab_size", { vocabulary: 32000 }, /vocab_size is 32000, the rows of tok_embeddings are 10/],
  ["n_heads that divide nothing", { heads: 7 }, /n_heads is 7, which does not divide/],
  ["n_heads of one odd row each", { heads: 24 }, /n_heads is 24, which does not divide/],
  ["n_heads that cannot be cut into parts", { heads: 3 }, /3 heads cannot be cut into 2 parts/],
] as const) {
  test(`refuses params.json with another ${what}`, async () => {
    await refuses(() => readMetaLayout(partsOf(SMALL), params(SMALL, more), "dir"), "MISMATCH", message);
  });
}

test("lists at most 20 problems", async () => {
  const parts = partsOf({ ...SMALL, layers: 30 }).map((one, number) =>
    number === 0 ? one : { ...one, tensors: one.tensors.filter(({ name }) => !name.includes("wo")) },
  );
  const sizes = params({ ...SMALL, layers: 30 });
  await refuses(
    () => readMetaLayout(parts, sizes, "dir"),
    "MISMATCH",
    /30 things do not fit\n(.*\n){20} {2}and 10 more$/,
  );
});

test("130,000 layers are refused with 20 problems, and not by the stack", async () => {
  const [one] = partsOf({ ...SMALL, parts: 1 });
  const more = Array.from({ length: 130_000 }, (_, layer): TensorInfo => {
    return { name: `layers.${layer}.`, path: [], dtype: "F16", shape: [0], range: { begin: 0, end: 0 } };
  });
  const parts = [{ file: "consolidated.00.pth", tensors: [...(one?.tensors ?? []), ...more] }];
  await refuses(
    () => readMetaLayout(parts, params(SMALL), "dir"),
    "MISMATCH",
    /^dir: .* 1299983 things do not fit\n(.*\n){20} {2}and 1299963 more$/,
  );
});

test("a layer number far beyond the others is a gap, not a loop", async () => {
  const [one] = partsOf({ ...SMALL, parts: 1 });
  const tensors = one?.tensors.map((tensor) => ({
    ...tensor,
    name: tensor.name.replace("layers.1.", "layers.999999."),
  }));
  const parts = [{ file: "consolidated.00.pth", tensors: tensors ?? [] }];
  await refuses(
    () => readMetaLayout(parts, params(SMALL), "dir"),
    "MISMATCH",
    /layer 1 is missing, the highest is 999999/,
  );
});

for (const [what, tensors] of [
  ["nothing", []],
  ["other names", [{ name: "a", path: ["a"], dtype: "F16", shape: [1], range: { begin: 0, end: 2 } }]],
] as const) {
  test(`refuses a part that holds ${what}`, async () => {
    await refuses(
      () => readMetaLayout([{ file: "consolidated.00.pth", tensors }], null, "dir"),
      "MISMATCH",
      /consolidated\.00\.pth: has no tensor "norm\.weight": not a LLaMA/,
    );
  });
}

const GOOD = { dim: 4096, multiple_of: 256, n_heads: 32, n_layers: 32, norm_eps: 1e-6, vocab_size: -1 };

test("reads the params.json of LLaMA, Llama 2 and Code Llama", () => {
  const read = (more: object): MetaParams => parseParams(JSON.stringify({ ...GOOD, ...more }), "p");
  assert.deepEqual([read({}).vocabulary, read({}).keyValueHeads, read({}).ropeTheta], [null, null, null]);
  assert.equal(read({ n_kv_heads: 8, ffn_dim_multiplier: 1.3, multiple_of: 4096 }).keyValueHeads, 8);
  assert.deepEqual([read({ vocab_size: 32016 }).vocabulary, read({ rope_theta: 1e6 }).ropeTheta], [32016, 1e6]);
});

for (const [what, text] of [
  ["text", "params"],
  ["a list", "[]"],
  ["null", "null"],
  ["no dim", JSON.stringify({ ...GOOD, dim: undefined })],
  ["a fraction of a layer", JSON.stringify({ ...GOOD, n_layers: 31.5 })],
  ["negative heads", JSON.stringify({ ...GOOD, n_heads: -32 })],
  ["no layers", JSON.stringify({ ...GOOD, n_layers: 0 })],
  ["more layers than there can be", JSON.stringify({ ...GOOD, n_layers: 1e18 })],
  ["a size in words", JSON.stringify({ ...GOOD, dim: "4096" })],
  ["an epsilon of 0", JSON.stringify({ ...GOOD, norm_eps: 0 })],
  ["an infinite rope_theta", JSON.stringify(GOOD).replace("}", ',"rope_theta":1e999}')],
  ["a vocabulary of -2", JSON.stringify({ ...GOOD, vocab_size: -2 })],
] as const) {
  test(`refuses a params.json with ${what}`, async () => {
    await refuses(() => parseParams(text, "dir/params.json"), "FORMAT_INVALID", /^dir\/params\.json/);
  });
}
