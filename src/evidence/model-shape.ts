/** What shapes and config tell of a model: its family, its sizes, and whether the two agree (ARTIFACTS 2). */
import type { StateDict, StoredTensor } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import type { Report } from "../finding.js";
import { shapeText } from "../plan/pairing.js";

/** Sizes read off the tensors; null where there is none of the kind. */
export interface ModelShape {
  readonly family: "llama" | "gpt_neox" | null;
  readonly layers: number;
  readonly hiddenSize: number | null;
  readonly intermediateSize: number | null;
  /** Rows of the input embedding, and of the output embedding. */
  readonly vocabulary: number | null;
  readonly outputRows: number | null;
}

const INPUT = /(^|\.)(embed_tokens|embed_in|wte|word_embeddings)\.weight$/;
const OUTPUT = /(^|\.)(lm_head|embed_out)\.weight$/;
const MLP_UP = /(^|\.)(gate_proj|up_proj|dense_h_to_4h|fc1)\.weight$/;
const MLP_DOWN = /(^|\.)(down_proj|dense_4h_to_h)\.weight$/;
const LAYER = /(?:^|\.)layers\.(\d{1,6})\./;

export function modelShape(stateDict: StateDict): ModelShape {
  const find = (pattern: RegExp): StoredTensor | undefined =>
    [...stateDict].find(([name, { shape }]) => pattern.test(name) && shape.length === 2)?.[1];
  const input = find(INPUT);
  const layers = new Set([...stateDict.keys()].flatMap((name) => LAYER.exec(name)?.[1] ?? [])).size;
  const has = (pattern: RegExp): boolean => [...stateDict.keys()].some((name) => pattern.test(name));
  return {
    family:
      has(/(^|\.)self_attn\.q_proj\.weight$/) && has(/gate_proj\.weight$/)
        ? "llama"
        : has(/(^|\.)attention\.query_key_value\.weight$/) && has(/dense_h_to_4h\.weight$/)
          ? "gpt_neox"
          : null,
    layers,
    hiddenSize: input?.shape[1] ?? null,
    intermediateSize: find(MLP_UP)?.shape[0] ?? find(MLP_DOWN)?.shape[1] ?? null,
    vocabulary: input?.shape[0] ?? null,
    outputRows: find(OUTPUT)?.shape[0] ?? null,
  };
}

/** Does config.json describe these tensors? */
export function checkConfig(config: ModelConfig, stateDict: StateDict, report: Report): void {
  const shape = modelShape(stateDict);
  const file = "config.json";
  const expect = (key: string, stated: number | null, found: number | null, what: string): void => {
    if (stated !== null && found !== null && stated !== found) {
      report("error", `${key} is ${stated}, ${what} ${found}`, { file });
    }
  };
  expect("vocab_size", config.vocabSize, shape.vocabulary, "the rows of the input embedding are");
  expect("vocab_size", config.vocabSize, shape.outputRows, "the rows of the output embedding are");
  expect("hidden_size", config.hiddenSize, shape.hiddenSize, "the columns of the input embedding are");
  expect("intermediate_size", config.intermediateSize, shape.intermediateSize, "the rows of the first MLP matrix are");
  expect("num_hidden_layers", config.layers, shape.layers, "the number of layers among the tensors is");
  checkLayers(stateDict, config, report);
  if (config.tied === false && shape.vocabulary !== null && shape.outputRows === null) {
    report("error", "tie_word_embeddings is false, and there is no output embedding", { file });
  } else if (config.tied === true && shape.outputRows !== null) {
    report("warning", "tie_word_embeddings is true, and an output embedding is stored: loaders ignore it", { file });
  }
}

/** Every layer has the tensors of the others, of the same shapes, and what hangs on hidden_size has it. */
function checkLayers(stateDict: StateDict, config: ModelConfig, report: Report): void {
  const kinds = new Map<string, { readonly shape: string; readonly layers: Set<string> }>();
  const layers = new Set<string>();
  for (const [name, tensor] of stateDict) {
    const layer = LAYER.exec(name)?.[1];
    if (layer === undefined) {
      continue;
    }
    layers.add(layer);
    const suffix = name.slice(name.indexOf(`layers.${layer}.`) + `layers.${layer}.`.length);
    const kind = kinds.get(suffix);
    if (kind === undefined) {
      kinds.set(suffix, { shape: shapeText(tensor.shape), layers: new Set([layer]) });
      continue;
    }
    kind.layers.add(layer);
    if (kind.shape !== shapeText(tensor.shape)) {
      const message = `has shape ${shapeText(tensor.shape)}, in other layers ${kind.shape}`;
      report(config.modelType === null ? "warning" : "error", message, { file: tensor.shard.file, tensor: name });
    }
  }
  for (const [suffix, kind] of kinds) {
    const missing = [...layers].filter((layer) => !kind.layers.has(layer));
    // Two in three layers make the rule: some models differ from layer to layer by design.
    if (missing.length > 0 && missing.length * 3 <= layers.size) {
      report("error", `missing in layer ${missing.join(", ")}, all other layers have it`, {
        tensor: `layers.*.${suffix}`,
      });
    }
  }
}
