/** What a config.json leaves out, or sets to null, is what transformers' config classes have: fixtures/inference/configs.json. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Architecture, architectureOf } from "../../../src/inference/architecture.js";
import { imagine } from "../../support/checkpoints.js";
import { type ConfigCase, type ConfigExpected, readConfigs } from "../../support/inference.js";
import { refuses } from "../../support/refusal.js";

type Shapes = Readonly<Record<string, readonly number[]>>;
type Config = Readonly<Record<string, unknown>>;

/** The model that has a config and tensors of these shapes, which stand for every layer. */
function architecture(config: Config, shapes: Shapes, layers: number): Promise<Architecture> {
  const tensors = Object.entries(shapes).flatMap(([name, shape]) =>
    Array.from({ length: name.includes(".layers.0.") ? layers : 1 }, (_, layer) => ({
      name: name.replace(".layers.0.", `.layers.${layer}.`),
      shape,
    })),
  );
  return architectureOf({ ...imagine("model", tensors), directory: "model", configText: JSON.stringify(config) });
}

/** As configs.py tells it. */
function told(found: Architecture) {
  const { heads, keyHeads, headSize, eps, windows, positions, parallel, layers, rope } = found;
  return {
    ...{ layers: layers.length, heads, key_heads: keyHeads, head_size: headSize, eps, windows, positions, parallel },
    turns: rope.inverse.length,
  };
}

/** transformers 5 refuses these. Nothing here looks at the first, as the embedding has its rows; 4 took the second for false. */
const TAKEN = ["vocab_size", "tie_word_embeddings"];

const changed = (config: Config, { without, with: more }: Pick<ConfigCase, "without" | "with">): Config => ({
  ...Object.fromEntries(Object.entries(config).filter(([key]) => !without.includes(key))),
  ...more,
});

for (const [family, { config, expected: base, cases }] of Object.entries(readConfigs())) {
  for (const each of [{ without: [], with: {}, ...base }, ...cases]) {
    const said = `${family}, ${[...each.without.map((key) => `no ${key}`), JSON.stringify(each.with)].join(", ")}`;
    const own = changed(config, each);
    if ("shapes" in each || !("refused" in each)) {
      test(`${said}: as in transformers`, () => holds(own, { ...base, ...each }));
    } else if (TAKEN.some((key) => each.with[key] === null)) {
      test(`${said}: runs`, async () => void (await architecture(own, base.shapes, base.layers)));
    } else if (family === "mistral" && each.with.num_key_value_heads === null) {
      // transformers 4 takes it: below.
    } else {
      const why = / is null, expected|not a multiple|it has no|elements of a head turn|layer_types (names|has)/;
      test(`${said}: refused, as by transformers`, () =>
        assert.rejects(architecture(own, base.shapes, base.layers), why));
    }
  }
}

async function holds(config: Config, expected: ConfigExpected): Promise<void> {
  const { shapes, layers, heads, key_heads, head_size, eps, windows, positions, parallel, inv_freq } = expected;
  const found = await architecture(config, shapes, layers);
  const [turns, middle, last] = inv_freq;
  assert.deepEqual(told(found), { layers, heads, key_heads, head_size, eps, windows, positions, parallel, turns });
  for (const [at, value] of [
    [Math.floor(turns / 2), middle],
    [turns - 1, last],
  ] as const) {
    assert.ok(Math.abs((found.rope.inverse[at] ?? 0) - value) <= value * 2 ** -22, `frequency ${at}`);
  }
  // Every tensor that transformers has takes part, biases too.
  const notes = found.notes.filter((note) => !note.includes("a head is stored"));
  assert.deepEqual(notes, []);
  for (const [name, shape] of Object.entries(shapes)) {
    const other = { ...shapes, [name]: shape.map((size) => size + 2) };
    await assert.rejects(architecture(config, other, layers), /have other shapes/, name);
  }
}

test("Mistral with null heads of keys has as many as of queries, as transformers 4 has it", async () => {
  const { config } = readConfigs().mistral as ReturnType<typeof readConfigs>[string];
  const { expected } = readConfigs().llama as ReturnType<typeof readConfigs>[string];
  const shapes = Object.fromEntries(
    Object.entries(expected.shapes).map(([name, shape]) => [
      name,
      /[kv]_proj/.test(name) ? [80, ...shape.slice(1)] : shape,
    ]),
  );
  assert.equal((await architecture({ ...config, num_key_value_heads: null }, shapes, 2)).keyHeads, 4);
});

test("an error about shapes names the defaults that were assumed", async () => {
  const { config, expected } = readConfigs().qwen3 as ReturnType<typeof readConfigs>[string];
  const own = changed(config, { without: ["head_dim", "num_key_value_heads"], with: { num_attention_heads: 32 } });
  await refuses(
    () => architecture(own, expected.shapes, expected.layers),
    "MISMATCH",
    /other shapes than .*config\.json says \(not in config\.json, so transformers' defaults: head_dim 128, num_key_value_heads 32\)/,
  );
  await refuses(
    () => architecture(changed(config, { without: ["num_key_value_heads"], with: {} }), expected.shapes, 2),
    "FORMAT_INVALID",
    /num_attention_heads 4 is not a multiple of num_key_value_heads 32 \(not in config\.json/,
  );
});

test("biases that the config does not ask for take no part, and those it asks for are zeros where they are missing", async () => {
  const { config, expected } = readConfigs().llama as ReturnType<typeof readConfigs>[string];
  const without = changed(config, { without: ["attention_bias", "mlp_bias"], with: {} });
  const stray = await architecture(without, expected.shapes, expected.layers);
  assert.match(
    stray.notes.join(),
    /tensors that are not used: "model\.layers\.0\.self_attn\.q_proj\.bias".* and 11 more/,
  );
  assert.ok(stray.layers.every(({ attention, down }) => [...attention, down].every(({ bias }) => bias === null)));
  const bare = Object.fromEntries(Object.entries(expected.shapes).filter(([name]) => !name.endsWith(".bias")));
  const zeros = await architecture(config, bare, expected.layers);
  assert.match(
    zeros.notes.join(),
    /biases that are missing, so zeros.*"model\.layers\.0\.self_attn\.q_proj\.bias".* and 11 more/,
  );
});
