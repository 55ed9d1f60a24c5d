/** The frequencies of every kind of rotary positions are those of transformers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configReader } from "../../../src/inference/config-reader.js";
import { MODEL_FAMILIES, type ModelFamily } from "../../../src/inference/families.js";
import { ropeOf } from "../../../src/inference/rope.js";
import { MODELS, readFixture, readVector } from "../../support/inference.js";

interface Frequencies {
  readonly rope_parameters: Readonly<Record<string, unknown>>;
  readonly head_dim: number;
  readonly inv_freq: readonly number[];
}

/** Within the last bit of F32: powers are rounded a little differently by every library. */
function near(found: Float32Array, expected: readonly number[]): void {
  assert.equal(found.length, expected.length);
  expected.forEach((value, i) => {
    assert.ok(Math.abs((found[i] ?? 0) - value) <= value * 2 ** -22, `${found[i]} at ${i}, expected ${value}`);
  });
}

const LLAMA = MODEL_FAMILIES.get("llama") as ModelFamily;

const ropes = readFixture("rope.json") as Readonly<Record<string, Frequencies>>;

for (const [name, { rope_parameters: parameters, head_dim: size, inv_freq: expected }] of Object.entries(ropes)) {
  test(`${name}: the frequencies of transformers, by the keys of transformers 5 and 4`, () => {
    near(
      ropeOf(configReader("config.json", { rope_parameters: parameters }, LLAMA.defaults), size, LLAMA.rope).inverse,
      expected,
    );
    const { rope_theta: theta, rope_type: type, ...rest } = parameters;
    for (const scaling of [
      { type, ...rest },
      { rope_type: type, ...rest },
    ]) {
      const config = { rope_theta: theta, rope_scaling: type === "default" ? null : scaling };
      near(ropeOf(configReader("config.json", config, LLAMA.defaults), size, LLAMA.rope).inverse, expected);
    }
  });
}

for (const name of MODELS) {
  test(`${name}: its frequencies`, () => {
    const { config, inv_freq: expected } = readVector(name);
    const { defaults, rope } = MODEL_FAMILIES.get(String(config.model_type)) as ModelFamily;
    const reader = configReader("config.json", config, defaults);
    const size =
      reader.orNull("head_dim", reader.count) ?? reader.count("hidden_size") / reader.count("num_attention_heads");
    near(ropeOf(reader, size, rope).inverse, expected);
  });
}
