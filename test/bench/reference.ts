/**
 * Part 7: against a copy of the reference script, unmodified. Its tokenizers must have as many words as the embeddings have rows,
 * so the demo's is filled up. Current transformers draws new rows from the old ones' covariance first (mean_resizing), which
 * takes long and is overwritten by the script: a second run goes without.
 */
import { copyFile, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Bench, clearOutput, outputOf, recoverCommand, warmRival, weightDiff } from "./bench.js";
import { interleave, run } from "./measure.js";
import { LAYOUTS, type Model, type ModelName, prepareModel } from "./model.js";
import { costTable } from "./table.js";

const DEMO = new URL("../../../fixtures/demo/base/", import.meta.url).pathname;
/** A round takes minutes. */
const MAX_ROUNDS = 3;

const NO_MEAN_RESIZING = `import functools, os, runpy, sys
import transformers
resize = transformers.PreTrainedModel.resize_token_embeddings
transformers.PreTrainedModel.resize_token_embeddings = functools.partialmethod(resize, mean_resizing=False)
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
runpy.run_path(sys.argv[0], run_name="__main__")
`;

/** What Stanford's script imports from train.py, for a copy that came without: a real one beside the script goes first. */
const TRAIN = `def smart_tokenizer_and_embedding_resize(special_tokens_dict, tokenizer, model):
    added = tokenizer.add_special_tokens(special_tokens_dict)
    model.resize_token_embeddings(len(tokenizer))
    for embedding in (model.get_input_embeddings(), model.get_output_embeddings()):
        if added > 0:
            embedding.weight.data[-added:] = embedding.weight.data[:-added].mean(dim=0, keepdim=True)
`;

export async function againstReference(bench: Bench): Promise<void> {
  if (bench.reference === null) {
    bench.print("\n7. skipped: give --reference PATH/TO/weight_diff.py, and --python with torch and transformers");
    return;
  }
  const script = resolve(bench.reference);
  const source = await readFile(script, "utf8");
  const tools = join(bench.dir, "python");
  await mkdir(tools, { recursive: true });
  await writeFile(join(tools, "no_mean_resizing.py"), NO_MEAN_RESIZING);
  await writeFile(join(tools, "train.py"), TRAIN);
  const naive = source.includes("check_integrity_naively") ? ["--check_integrity_naively", "False"] : [];
  for (const name of ["0.27G", "1.07G"] as const) {
    const model = await withTokenizers(bench, name);
    const places = ["--path_raw", model.base, "--path_diff", model.diff, "--path_tuned", outputOf(bench)];
    const python = (...args: string[]): readonly string[] => [
      ...["env", `PYTHONPATH=${tools}`, bench.python, ...args],
      ...["recover", ...places, "--test_inference", "False", ...naive],
    ];
    const ours = recoverCommand(bench, model, "--path_tuned", outputOf(bench));
    const theirs = python(script);
    const rivals = [
      warmRival(bench, "weight-diff recover", model, ours),
      warmRival(bench, "weight_diff.py recover", model, theirs),
      warmRival(bench, "… without mean_resizing", model, python(join(tools, "no_mean_resizing.py"), script)),
    ];
    const costs = await interleave(rivals, Math.min(bench.rounds, MAX_ROUNDS));
    costTable(bench.print, `7. ${script}, ${name} parameters, inputs cached`, costs);
    bench.print(`\n${await compare(bench, ours, theirs)} tensors equal (sha256)`);
    await rm(join(bench.dir, `${name}-tokenizers`), { recursive: true });
  }
  await clearOutput(bench);
}

/** Runs both once more. @returns how many tensors are the same. @throws {Error} naming one that is not. */
async function compare(bench: Bench, ours: readonly string[], theirs: readonly string[]): Promise<number> {
  const digests = async (command: readonly string[]): Promise<ReadonlyMap<string, string>> => {
    await clearOutput(bench);
    await run(command);
    const { stdout } = await run(weightDiff(bench, "inspect", outputOf(bench), "--digest", "--json"));
    const report = JSON.parse(stdout) as {
      readonly tensors: readonly { readonly name: string; readonly sha256: string }[];
    };
    return new Map(report.tensors.map(({ name, sha256 }) => [name, sha256]));
  };
  const [mine, other] = [await digests(ours), await digests(theirs)];
  const wrong = [...new Set([...mine.keys(), ...other.keys()])].find((name) => mine.get(name) !== other.get(name));
  if (wrong !== undefined) {
    throw new Error(`${wrong} differs: sha256 ${mine.get(wrong)} here, ${other.get(wrong)} by the reference`);
  }
  return mine.size;
}

/** The model seen through links, with tokenizers beside it. */
async function withTokenizers(bench: Bench, name: ModelName): Promise<Model> {
  const model = await prepareModel(bench.dir, name);
  const root = join(bench.dir, `${name}-tokenizers`);
  const tokenizer = JSON.parse(await readFile(join(DEMO, "tokenizer.json"), "utf8")) as {
    readonly model: { readonly vocab: Record<string, number> };
  };
  for (let id = Object.keys(tokenizer.model.vocab).length; id < LAYOUTS[name].vocab; id++) {
    tokenizer.model.vocab[`filler${id}`] = id;
  }
  await rm(root, { recursive: true, force: true });
  const files = [...model.inputs, join(model.base, "config.json"), join(model.diff, "config.json")];
  const moved = (path: string): string => join(root, path.slice(dirname(model.base).length));
  for (const side of [model.base, model.diff]) {
    await mkdir(moved(side), { recursive: true });
    await writeFile(join(moved(side), "tokenizer.json"), JSON.stringify(tokenizer));
    for (const file of ["tokenizer_config.json", "special_tokens_map.json"]) {
      await copyFile(join(DEMO, file), join(moved(side), file));
    }
  }
  for (const file of files) {
    await symlink(file, moved(file));
  }
  return { ...model, base: moved(model.base), diff: moved(model.diff) };
}
