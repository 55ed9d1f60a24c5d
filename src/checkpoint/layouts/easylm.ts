/**
 * EasyLM's LLaMA (young-geng/EasyLM EasyLM/models/llama/convert_torch_to_easylm.py), read as Meta's layout in one part, from which it was
 * made. It has flax's names, and every matrix except the embedding is transposed. This file handles only names and places, and reads no
 * bytes.
 */
import { WeightDiffError } from "../../errors.js";
import { quote } from "../../formats/quote.js";
import type { TensorInfo } from "../../formats/tensor-info.js";

/** [EasyLM's name, Meta's name, is it a matrix that Meta stores transposed?] */
type Row = readonly [theirs: string, metas: string, transposed: boolean];

const OUTER: readonly Row[] = [
  ["transformer.wte.embedding", "tok_embeddings.weight", false],
  ["transformer.ln_f.kernel", "norm.weight", false],
  ["lm_head.kernel", "output.weight", true],
];
const LAYER: readonly Row[] = [
  ...["attention.wq", "attention.wk", "attention.wv", "attention.wo"].map((name) => matrix(name)),
  ...["feed_forward.w1", "feed_forward.w2", "feed_forward.w3"].map((name) => matrix(name)),
  ["attention_norm.kernel", "attention_norm.weight", false],
  ["ffn_norm.kernel", "ffn_norm.weight", false],
];
const IN_LAYER = /^transformer\.h\.(0|[1-9]\d{0,5})\.(.+)$/;
/** Prefixes of the names: none in a file with parameters alone; otherwise what flax and a train state add. */
const PREFIXES = ["", "params.", "params.params."] as const;
const HINT = "of EasyLM's checkpoints the LLaMA models are read: parameters, or a train state with them (Koala)";

function matrix(name: string): Row {
  return [`${name}.kernel`, `${name}.weight`, true];
}

/**
 * The tensors of `file` under Meta's names, with matrices as transposed views. Other values of a train state are left out.
 * @throws {WeightDiffError} FORMAT_UNSUPPORTED if it is not a LLaMA; MISMATCH for a name that no LLaMA has.
 */
export function metaTensors(tensors: readonly TensorInfo[], file: string): readonly TensorInfo[] {
  const prefix = PREFIXES.find((each) => tensors.some(({ name }) => name === `${each}transformer.wte.embedding`));
  if (prefix === undefined) {
    const [first] = tensors;
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `an EasyLM checkpoint, but not of a LLaMA: it has no "transformer.wte.embedding"${first === undefined ? "" : `; its first tensor is ${quote(first.name)}`}`,
      HINT,
      { at: { file } },
    );
  }
  return tensors
    .filter(({ name }) => name.startsWith(prefix))
    .map((tensor) => {
      const found = rowOf(tensor.name.slice(prefix.length));
      if (found === null) {
        throw new WeightDiffError("MISMATCH", `tensor ${quote(tensor.name)} does not belong to a LLaMA`, HINT, {
          at: { file },
        });
      }
      return renamed(tensor, found.name, found.transposed);
    });
}

function rowOf(name: string): { readonly name: string; readonly transposed: boolean } | null {
  const [, layer, inner] = IN_LAYER.exec(name) ?? [];
  const row = (layer === undefined ? OUTER : LAYER).find(([theirs]) => theirs === (inner ?? name));
  return row === undefined
    ? null
    : { name: layer === undefined ? row[1] : `layers.${layer}.${row[1]}`, transposed: row[2] };
}

function renamed(tensor: TensorInfo, name: string, transposed: boolean): TensorInfo {
  const [rows, columns] = tensor.shape;
  const named = { ...tensor, name, path: [name] };
  // A tensor of another rank fits no LLaMA. The error should show its own shape.
  return transposed && tensor.shape.length === 2 && rows !== undefined && columns !== undefined
    ? { ...named, shape: [columns, rows], strides: [1, columns] }
    : named;
}
