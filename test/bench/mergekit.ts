/** Part 8: against mergekit, whose linear merge with weights 1 and 1 is the same sum; it refuses a diff with more rows than the base. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Bench, clearOutput, outputOf, recoverCommand, warmRival } from "./bench.js";
import { interleave } from "./measure.js";
import { prepareModel } from "./model.js";
import { costTable } from "./table.js";

const MAX_ROUNDS = 3;

export async function againstMergekit(bench: Bench): Promise<void> {
  if (bench.mergekit === null) {
    bench.print("\n8. skipped: no mergekit-yaml on PATH, and no --mergekit");
    return;
  }
  const model = await prepareModel(bench.dir, "1.07G-equal-vocab");
  const recipe = join(bench.dir, "linear.yaml");
  const models = [model.base, model.diff].map((path) => ({ model: path, parameters: { weight: 1 } }));
  // JSON is YAML.
  const merge = { merge_method: "linear", dtype: "float32", parameters: { normalize: false }, models };
  await writeFile(recipe, JSON.stringify(merge));
  const out = outputOf(bench);
  const rivals = [
    warmRival(bench, "weight-diff recover", model, recoverCommand(bench, model, "--path_tuned", out)),
    warmRival(bench, "mergekit-yaml", model, [bench.mergekit, recipe, out, "--no-copy-tokenizer"]),
    warmRival(bench, "mergekit-yaml --lazy-unpickle", model, [
      ...[bench.mergekit, recipe, out, "--no-copy-tokenizer", "--lazy-unpickle"],
    ]),
  ];
  const costs = await interleave(rivals, Math.min(bench.rounds, MAX_ROUNDS));
  costTable(bench.print, `8. mergekit, ${model.name} parameters, inputs cached`, costs);
  await clearOutput(bench);
}
