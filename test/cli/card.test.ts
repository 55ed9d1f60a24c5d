/**
 * The command that make-diff prints in the model card, run as it stands there, for fine-tuned models with any number of new vocabulary
 * rows: the result is the fine-tuned model, and verify --path_raw says so before it is recovered.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type TensorSpec, withFolder } from "../support/checkpoints.js";
import { llama, writeModel } from "../support/diffs.js";
import { type Outcome, weightDiff } from "./command.js";

const OLD_ROWS = 20;
const HIDDEN = 16;

/** In bfloat16, with so many more rows in each embedding; a tied model has no head. */
function model(seed: number, newRows: number, tied: boolean): readonly TensorSpec[] {
  return llama(seed)
    .filter(([name]) => !tied || name !== "lm_head.weight")
    .map(([name, , shape, data]): TensorSpec => {
      const old = data as Float32Array;
      const grown = shape[0] === OLD_ROWS && shape.length === 2;
      const more = Float32Array.from(
        { length: grown ? newRows * HIDDEN : 0 },
        (_, index) => Math.sin(index + seed) / 50,
      );
      const words = new Uint32Array(Float32Array.from([...old, ...more]).buffer);
      const rows = grown ? [OLD_ROWS + newRows, HIDDEN] : shape;
      return [name, "BF16", rows, Uint16Array.from(words, (word) => word >>> 16)];
    });
}

interface Places {
  readonly base: string;
  readonly tuned: string;
  readonly diff: string;
  readonly out: string;
}

async function withModels(newRows: number, tied: boolean, look: (places: Places) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const [base, tuned] = [join(folder, "base"), join(folder, "tuned")];
    const config = (rows: number): object => ({ torch_dtype: "bfloat16", vocab_size: rows, tie_word_embeddings: tied });
    await writeModel(base, model(1, 0, tied), { config: config(OLD_ROWS) });
    await writeModel(tuned, model(7, newRows, tied), { config: config(OLD_ROWS + newRows) });
    await look({ base, tuned, diff: join(folder, "diff"), out: join(folder, "out") });
  });
}

const make = ({ base, tuned, diff }: Places, ...more: readonly string[]): Promise<Outcome> =>
  weightDiff(["make-diff", "--path_raw", base, "--path_tuned", tuned, "--path_diff", diff, ...more]);

/** The words of the card's command, its places filled in. */
async function cardsCommand({ base, diff, out }: Places): Promise<readonly string[]> {
  const card = await readFile(join(diff, "README.md"), "utf8");
  const [line = ""] = card.match(/^weight-diff recover .*$/m) ?? [];
  const places = line.replace("<folder of base>", base).replace("<this folder>", diff).replace("<output folder>", out);
  assert.doesNotMatch(places, /[<>]/, "every place was one of these");
  return places.split(" ").slice(1);
}

for (const tied of [false, true]) {
  for (const [newRows, flags] of [
    [0, []],
    [1, []],
    [64, []],
    [65, ["--rows", "mean"]],
    [92, ["--rows", "mean"]],
    [92, ["--encoding", "exact"]],
    [92, ["--encoding", "exact", "--rows", "mean"]],
  ] as const) {
    const what = `${newRows} new rows${tied ? ", tied" : ""}, make-diff ${flags.join(" ")}`;
    test(`the card's command recovers the fine-tuned model: ${what}`, async () => {
      await withModels(newRows, tied, async (places) => {
        const { base, tuned, diff, out } = places;
        const made = await make(places, ...flags);
        assert.equal(made.code, 0, made.said.join("\n"));
        const checked = await weightDiff(["verify", diff, "--path_raw", base]);
        assert.equal(checked.code, 0, `${checked.out}${checked.said.join("\n")}`);
        assert.match(checked.out, /^sound: /m);
        const run = await weightDiff(await cardsCommand(places));
        assert.equal(run.code, 0, run.said.join("\n"));
        const same = await weightDiff(["verify", out, "--against", tuned]);
        assert.equal(same.code, 0, same.out);
        assert.match(same.out, / (equal after rounding|identical), /);
        // What the command line may add besides changes nothing.
        const again = await weightDiff([...(await cardsCommand(places)), "--resume"]);
        assert.equal(again.code, 0, again.said.join("\n"));
        if (!flags.some((flag) => flag === "exact")) {
          const more = await weightDiff(["recover", "--path_raw", base, "--path_diff", diff, "--rows", "mean"]);
          assert.equal(more.code, 0, more.said.join("\n"));
        }
      });
    });
  }
}

test("past 64 new rows make-diff asks, and says for what", async () => {
  await withModels(92, false, async (places) => {
    const { code, said } = await make(places);
    assert.equal(code, 4);
    assert.match(said.join("\n"), /92 new rows/);
    assert.match(said.join("\n"), /--rows mean/);
  });
});

test("many new rows of a diff that says nothing of itself are asked for, however many", async () => {
  await withModels(1, false, async ({ base, diff }) => {
    for (const rows of [2, 64, 65, 92]) {
      const tensors = model(7, rows, false).map(([name, , shape]): TensorSpec => {
        const count = shape.reduce((product, size) => product * size, 1);
        return [name, "F32", shape, Float32Array.from({ length: count }, (_, index) => Math.sin(index) / 1000)];
      });
      await writeModel(diff, tensors, { config: { vocab_size: OLD_ROWS + rows } });
      const { code, said } = await weightDiff(["recover", "--path_raw", base, "--path_diff", diff]);
      assert.equal(code, 4);
      assert.match(said.join("\n"), new RegExp(`has ${rows} vocabulary rows more than the base`));
    }
  });
});
