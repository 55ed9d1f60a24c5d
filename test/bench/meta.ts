/** Part 9: the same model as a base in Hugging Face's format and as Meta has it, in 1, 2 and 8 parts. */
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Bench, clearOutput, outputOf, recoverCommand, warmRival } from "./bench.js";
import { interleave } from "./measure.js";
import { fillWith, LAYOUTS, type Model, prepareModel } from "./model.js";
import { costTable } from "./table.js";
import { type BinTensor, writeTorchBin } from "./torch-bin.js";

const NAME = "0.53G";
const HEADS = 32;

export async function againstMeta(bench: Bench): Promise<void> {
  const model = await prepareModel(bench.dir, NAME);
  const bases: readonly (readonly [string, Model])[] = [
    ["Hugging Face's format", model],
    ["Meta's, 1 part", await prepareMeta(bench, model, 1)],
    ["Meta's, 2 parts", await prepareMeta(bench, model, 2)],
    ["Meta's, 8 parts", await prepareMeta(bench, model, 8)],
  ];
  const rivals = bases.map(([name, base]) =>
    warmRival(bench, name, base, recoverCommand(bench, base, "--path_tuned", outputOf(bench))),
  );
  costTable(bench.print, `9. recover, ${NAME}, by the format of the base`, await interleave(rivals, bench.rounds));
  await clearOutput(bench);
}

/** The base in so many parts, written if it is not there yet; values are of the same kind, not the same. */
export async function prepareMeta(bench: Bench, model: Model, parts: number): Promise<Model> {
  const place = join(bench.dir, `${NAME}-meta-${parts}`);
  const files = Array.from({ length: parts }, (_, part) => `consolidated.${String(part).padStart(2, "0")}.pth`);
  if ((await stat(place).catch(() => null)) === null) {
    const partial = `${place}.partial`;
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { recursive: true });
    const fill = fillWith(0.02, 1);
    for (const file of files) {
      await writeTorchBin(join(partial, file), tensorsOf(parts), fill);
    }
    const { hidden, layers } = LAYOUTS[NAME];
    const params = { dim: hidden, multiple_of: 256, n_heads: HEADS, n_layers: layers, norm_eps: 1e-6, vocab_size: -1 };
    await writeFile(join(partial, "params.json"), JSON.stringify(params));
    await rename(partial, place);
  }
  return { ...model, base: place, inputs: [...files.map((file) => join(place, file)), ...model.diffFiles] };
}

/** What each part holds. */
function tensorsOf(parts: number): readonly BinTensor[] {
  const { hidden, intermediate, layers, vocab } = LAYOUTS[NAME];
  const tensor = (name: string, ...shape: number[]): BinTensor => ({ name: `${name}.weight`, dtype: "F16", shape });
  const layer = (index: number): readonly BinTensor[] => [
    ...["wq", "wk", "wv"].map((name) => tensor(`layers.${index}.attention.${name}`, hidden / parts, hidden)),
    tensor(`layers.${index}.attention.wo`, hidden, hidden / parts),
    tensor(`layers.${index}.feed_forward.w1`, intermediate / parts, hidden),
    tensor(`layers.${index}.feed_forward.w2`, hidden, intermediate / parts),
    tensor(`layers.${index}.feed_forward.w3`, intermediate / parts, hidden),
    tensor(`layers.${index}.attention_norm`, hidden),
    tensor(`layers.${index}.ffn_norm`, hidden),
  ];
  return [
    tensor("tok_embeddings", vocab, hidden / parts),
    tensor("norm", hidden),
    tensor("output", vocab / parts, hidden),
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
  ];
}
