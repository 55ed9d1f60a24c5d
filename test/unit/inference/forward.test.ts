/** What a model says is what transformers says, for each family; and the same bits however it is asked. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { OpenModelOptions } from "../../../src/inference/forward.js";
import type { LanguageModel, Said, Text } from "../../../src/inference/model.js";
import { withFolder } from "../../support/checkpoints.js";
import {
  argmax,
  greedy,
  MODELS,
  meanOf,
  near,
  readVector,
  tensorsOf,
  type Vector,
  withModel,
  writeModel,
} from "../../support/inference.js";
import { refuses } from "../../support/refusal.js";

/** A difference in the last places of float32, summed in another order, over two or three layers; the mean of 23 losses is nearer. */
const LOGITS = 1e-4;
const LOSSES = 1e-5;

const scratch = mkdtempSync(join(tmpdir(), "weight-diff-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const folders = new Map<string, Promise<string>>();
function folderOf(name: (typeof MODELS)[number], vector: Vector): Promise<string> {
  const folder = folders.get(name) ?? writeModel(join(scratch, name), vector.config, tensorsOf(vector));
  folders.set(name, folder);
  return folder;
}

/** All that a model says of a text, id by id: the logits after each, and the losses. */
async function sayAll(model: LanguageModel, ids: readonly number[], key = "all"): Promise<readonly Float32Array[]> {
  const said: Float32Array[] = [];
  for (const id of ids) {
    const [one] = await model.pass([{ key, ids: [id], wanted: "last" }]);
    said.push(one?.last ?? assert.fail("no logits"));
  }
  return said;
}

const bitsOf = (values: Float32Array | null | undefined): Uint32Array =>
  new Uint32Array((values ?? assert.fail("no logits")).slice().buffer);

for (const name of MODELS) {
  const vector = readVector(name);
  const { prompt, config } = vector;

  test(`${name}: logits, losses and 64 ids as transformers has them`, async () => {
    await withModel(await folderOf(name, vector), { threads: 0 }, async (model) => {
      assert.equal(model.family, config.model_type);
      assert.equal(model.vocabulary, config.vocab_size);
      assert.equal(model.layers, config.num_hidden_layers);
      assert.equal(model.positions, config.max_position_embeddings);
      assert.deepEqual(model.notes, []);
      const texts: readonly Text[] = [
        { key: null, ids: prompt, wanted: "both" },
        { key: null, ids: prompt.slice(0, 1), wanted: "both" },
      ];
      const [whole, first] = await model.pass(texts);
      near(whole?.last, vector.logits_last, LOGITS, "logits after the prompt");
      near(first?.last, vector.logits_first, LOGITS, "logits after the first id");
      near(whole?.losses, vector.nll, LOGITS, "losses");
      near([meanOf(whole?.losses)], [vector.loss], LOSSES, "their mean");
      assert.equal(first?.losses?.length, 0);
      const all = await sayAll(model, prompt);
      near(
        all.map((logits) => Math.max(...logits)),
        vector.top,
        LOGITS,
        "largest logits",
      );
      assert.deepEqual(all.map(argmax), vector.argmax);
      assert.deepEqual(await greedy(model, prompt, 64), vector.greedy);
    });
  });

  test(`${name}: the same bits token by token and all at once, alone and with others, by any threads and windows`, async () => {
    const folder = await folderOf(name, vector);
    const texts: readonly Text[] = [
      { key: "a", ids: prompt, wanted: "both" },
      { key: null, ids: prompt.slice(3, 11), wanted: "both" },
      { key: "c", ids: prompt.slice(7), wanted: "last" },
    ];
    const plain = await withModel(folder, { threads: 0 }, async (model) => {
      const alone: Said[] = [];
      for (const text of texts) {
        alone.push(...(await model.pass([{ ...text, key: null }])));
      }
      const all = await sayAll(model, prompt);
      assert.deepEqual(bitsOf(all.at(-1)), bitsOf(alone[0]?.last), "token by token");
      return alone;
    });
    const ways: readonly OpenModelOptions[] = [
      { threads: 0, windowBytes: 1 << 16 },
      { threads: 1 },
      { threads: 2, windowBytes: 1 << 20 },
    ];
    for (const way of ways) {
      const together = await withModel(folder, way, (model) => model.pass(texts));
      assert.deepEqual(together, plain, JSON.stringify(way));
    }
  });
}

for (const name of ["llama2-gqa", "mistral-window", "qwen3-norm", "neox-parallel"] as const) {
  test(`${name}: heads that are computed one after the other, as for long texts, have the same bits`, async () => {
    const vector = readVector(name);
    const texts: readonly Text[] = [
      { key: "a", ids: vector.prompt, wanted: "both" },
      { key: null, ids: vector.prompt.slice(5), wanted: "both" },
    ];
    const say = (folder: string): Promise<readonly (readonly Said[])[]> =>
      withModel(folder, { threads: 0 }, async (model) => [
        await model.pass(texts),
        await model.pass([{ key: "a", ids: [7, 8], wanted: "last" }]),
      ]);
    const together = await say(await folderOf(name, vector));
    await withFolder(async (folder) => {
      // Of so many positions, the heads of a layer would take more than their room.
      await writeModel(folder, { ...vector.config, max_position_embeddings: 2 ** 19 }, tensorsOf(vector));
      assert.deepEqual(await say(folder), together);
    });
  });
}

test("a text may come in any pieces, beside another that does", async () => {
  const vector = readVector("llama2-gqa");
  const { prompt } = vector;
  await withModel(await folderOf("llama2-gqa", vector), { threads: 0 }, async (model) => {
    const [whole] = await model.pass([{ key: null, ids: prompt, wanted: "last" }]);
    const other = [...prompt].reverse();
    const [reversed] = await model.pass([{ key: null, ids: other, wanted: "last" }]);
    let said: readonly Said[] = [];
    for (const [from, to] of [
      [0, 5],
      [5, 6],
      [6, 24],
    ] as const) {
      said = await model.pass([
        { key: "one", ids: prompt.slice(from, to), wanted: "last" },
        { key: "other", ids: other.slice(from, to), wanted: "last" },
      ]);
    }
    assert.deepEqual(bitsOf(said[0]?.last), bitsOf(whole?.last));
    assert.deepEqual(bitsOf(said[1]?.last), bitsOf(reversed?.last));
  });
});

test("a text that takes several rounds gives the same result", async () => {
  const vector = readVector("qwen3-norm");
  const ids = Array.from({ length: 1100 }, (_, i) => vector.prompt[i % 24] ?? 0);
  await withModel(await folderOf("qwen3-norm", vector), { threads: 0 }, async (model) => {
    const [whole] = await model.pass([{ key: null, ids, wanted: "both" }]);
    let last: Said | undefined;
    for (let i = 0; i < ids.length; i += 100) {
      [last] = await model.pass([{ key: "pieces", ids: ids.slice(i, i + 100), wanted: "last" }]);
    }
    assert.deepEqual(bitsOf(whole?.last), bitsOf(last?.last));
    assert.equal(whole?.losses?.length, 1099);
    const [start] = await model.pass([{ key: null, ids: vector.prompt, wanted: "losses" }]);
    assert.deepEqual(whole?.losses?.slice(0, 23), start?.losses);
    assert.ok(meanOf(whole?.losses) > 0);
  });
});

test("the scalar kernel gives the same result", async () => {
  const before = process.env.WEIGHT_DIFF_KERNEL;
  for (const name of ["llama1-mha", "neox-parallel"] as const) {
    const vector = readVector(name);
    const folder = await folderOf(name, vector);
    const texts: readonly Text[] = [{ key: null, ids: vector.prompt, wanted: "both" }];
    const say = (): Promise<readonly Said[]> => withModel(folder, { threads: 0 }, (model) => model.pass(texts));
    try {
      process.env.WEIGHT_DIFF_KERNEL = "scalar";
      const scalar = await say();
      process.env.WEIGHT_DIFF_KERNEL = "simd";
      assert.deepEqual(await say(), scalar);
    } finally {
      if (before === undefined) {
        delete process.env.WEIGHT_DIFF_KERNEL;
      } else {
        process.env.WEIGHT_DIFF_KERNEL = before;
      }
    }
  }
});

test("progress adds up to the bytes of a pass, and ids or texts beyond the model's limits are refused", async () => {
  const vector = readVector("llama3-tied");
  await withModel(await folderOf("llama3-tied", vector), { threads: 0 }, async (model) => {
    let read = 0;
    const { prompt } = vector;
    await model.pass([{ key: "a", ids: prompt, wanted: "last" }], (bytes) => {
      assert.ok(bytes >= read);
      read = bytes;
    });
    assert.equal(read, model.passBytes);
    const pass = (ids: readonly number[], key: string | null = null): Promise<unknown> =>
      model.pass([{ key, ids, wanted: "last" }]);
    for (const id of [-1, 520, 1.5, Number.NaN, 2 ** 40]) {
      await refuses(() => pass([1, id]), "USAGE", /520 rows/);
    }
    await refuses(() => pass([]), "USAGE", /0 ids/);
    const long = Array.from({ length: 513 }, () => 1);
    await refuses(() => pass(long), "USAGE", /513 ids/);
    await refuses(() => pass(long.slice(24), "a"), "USAGE", /513 ids/);
    await pass(long.slice(25), "a");
  });
});

test("two texts with one key in a pass are the caller's mistake: the second would follow nothing", async () => {
  const name = "llama1-mha";
  await withModel(await folderOf(name, readVector(name)), {}, async (model) => {
    const text: Text = { key: "a", ids: [1, 2], wanted: "last" };
    await assert.rejects(model.pass([text, text]), /two texts with one key/);
    assert.equal((await model.pass([text]))[0]?.last?.length, model.vocabulary);
  });
});
