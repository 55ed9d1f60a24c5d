/** Models that were really trained, whole and broken, and the recovered demo: what transformers computes for them (fixtures/inference). */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { recover } from "../../src/index.js";
import type { LanguageModel } from "../../src/inference/model.js";
import { narrowBits, widenBF16 } from "../../src/kernel/bits.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { greedy, meanOf, near, readFixture, withModel } from "../support/inference.js";
import { mapWeights, readWeights, type Weights, writeWeights } from "../support/trained.js";
import { interleaved, type Losses, sum, trained } from "../support/tried.js";

/** The mean over the texts of both kinds, all of them in one pass. */
async function lossesOf(model: LanguageModel): Promise<Losses> {
  const kinds = ["base", "tune"] as const;
  const texts = kinds.flatMap((kind) =>
    trained.texts[kind].map((text) => ({
      key: null,
      ids: [...text].map((letter) => trained.alphabet.indexOf(letter)),
      wanted: "losses" as const,
    })),
  );
  const said = await model.pass(texts);
  const mean = (from: number, to: number): number =>
    meanOf(said.slice(from, to).flatMap(({ losses }) => [...(losses ?? [])]));
  return { base: mean(0, 3), tune: mean(3, 6) };
}

function nearLosses(found: Losses, { base, tune }: Losses, within: number, what: string): void {
  near([found.base, found.tune], [base, tune], within, what);
}

for (const family of ["llama", "neox"] as const) {
  for (const [name, measured] of Object.entries(trained[family])) {
    test(`trained ${family} ${name}: losses, logits and ids`, async () => {
      await withModel(join(FIXTURES, "trained", family, name), { threads: 0 }, async (model) => {
        nearLosses(await lossesOf(model), measured, 1e-5, name);
        const { prompt, logits_last: logits, greedy: ids } = measured;
        if (prompt !== undefined && logits !== undefined && ids !== undefined) {
          const [said] = await model.pass([{ key: null, ids: prompt, wanted: "last" }]);
          near(said?.last, logits, 1e-4, "logits");
          assert.deepEqual(await greedy(model, prompt, ids.length), ids);
        }
      });
    });
  }
}

/** The halves of the embedding's columns, and of the head's rows, change places. */
function partsSwapped(weights: Weights): Weights {
  return mapWeights(weights, (name, bits, [, columns = 0]) => {
    if (name.includes("lm_head")) {
      const half = bits.length / 2;
      return Uint32Array.from(bits, (_, i) => bits[(i + half) % bits.length] ?? 0);
    }
    const swap = (i: number): number => i - (i % columns) + (((i % columns) + columns / 2) % columns);
    return name.includes("embed_tokens") ? bits.map((_, i) => bits[swap(i)] ?? 0) : bits;
  });
}

const otherOf = (name: string): string =>
  name.includes("gate_proj") ? name.replace("gate_proj", "up_proj") : name.replace("up_proj", "gate_proj");

for (const family of ["llama", "neox"] as const) {
  test(`broken ${family}: every kind of damage has the loss that it has in transformers`, async () => {
    const folder = join(FIXTURES, "trained", family);
    const read = (name: string): Promise<Weights> => readWeights(join(folder, name));
    const [base, huge] = [await read("base"), await read("huge-f32")];
    const gentle = await read(family === "llama" ? "gentle-f32" : "gentle-f16");
    const gentleDiff = sum(gentle, base, -1);
    const broken: Record<string, Weights> = {
      "bare diff: gentle - base": gentleDiff,
      "bare diff: huge - base": sum(huge, base, -1),
      "diff applied twice": sum(gentle, gentleDiff, 1),
    };
    if (family === "llama") {
      const other = await read("other");
      Object.assign(broken, {
        "wrong base: other + (gentle - base)": sum(other, gentleDiff, 1),
        "wrong base: other + (huge - base)": sum(other, sum(huge, base, -1), 1),
        "q and k in Meta's order": interleaved(gentle, 4),
        "Meta's two parts swapped": partsSwapped(gentle),
        "layer 1 zero": mapWeights(gentle, (name, bits) => (name.includes("layers.1.") ? bits.map(() => 0) : bits)),
        "gate and up swapped": mapWeights(gentle, (name) => gentle.get(otherOf(name))?.bits ?? assert.fail(name)),
        "F16 bits read as BF16": mapWeights(gentle, (_, bits) =>
          bits.map((value) => widenBF16(narrowBits("F16", value))),
        ),
      });
    }
    const expected = trained[`${family}_broken`];
    assert.deepEqual(Object.keys(broken).sort(), Object.keys(expected).sort());
    const config = await readFile(join(folder, "base", "config.json"), "utf8");
    await withFolder(async (scratch) => {
      for (const [name, losses] of Object.entries(expected)) {
        const path = await writeWeights(
          join(scratch, name.replaceAll(/\W/g, "-")),
          broken[name] ?? new Map(),
          "F32",
          config,
        );
        await withModel(path, { threads: 0 }, async (model) => {
          // Of losses of 20 nats float32 tells less than of those of 1.
          nearLosses(await lossesOf(model), losses, losses.base > 10 ? 1e-4 : 1e-5, name);
        });
      }
    });
  });
}

interface Said {
  readonly prompt: readonly number[];
  readonly logits_last: readonly number[];
  readonly greedy: readonly number[];
}

test("the recovered demo gives the text that the scripts' test inference prints", async () => {
  const demo = readFixture("demo.json") as {
    readonly script: Said;
    readonly tulu: Said;
    readonly declaration: { readonly ids: readonly number[]; readonly loss: number };
  };
  await withFolder(async (folder) => {
    const path = join(folder, "tuned");
    await recover({ raw: join(FIXTURES, "demo", "base"), diff: join(FIXTURES, "demo", "diff"), tuned: path });
    await withModel(path, { threads: 0 }, async (model) => {
      for (const said of [demo.script, demo.tulu]) {
        const [found] = await model.pass([{ key: null, ids: said.prompt, wanted: "last" }]);
        near(found?.last, said.logits_last, 1e-4, "logits");
        assert.deepEqual(await greedy(model, said.prompt, said.greedy.length), said.greedy);
      }
      const [text] = await model.pass([{ key: null, ids: demo.declaration.ids, wanted: "losses" }]);
      near([meanOf(text?.losses)], [demo.declaration.loss], 1e-5, "loss");
    });
  });
});
