/**
 * The sizes of a model. If its config names a known architecture, they are read from the shapes of that architecture's tensors. If nothing
 * names the architecture, the tensor names of LLaMA and GPT-NeoX are tried. Models of other architectures have no sizes here.
 */
import type { StateDict, StoredTensor } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import {
  familyByNames,
  headOf,
  type KnownPart,
  knownParts,
  layersOf,
  type PlainNames,
  plainNames,
} from "./architecture.js";

/** Sizes read from the tensors; null if there is no such tensor, or if it is unknown which one it is. */
export interface ModelShape {
  readonly family: "llama" | "gpt_neox" | null;
  /** 0 if unknown. */
  readonly layers: number;
  readonly hiddenSize: number | null;
  readonly intermediateSize: number | null;
  /** Rows of the input embedding, and of the output embedding. */
  readonly vocabulary: number | null;
  readonly outputRows: number | null;
}

const INPUT = /(^|\.)(embed_tokens|embed_in)\.weight$/;
const OUTPUT = /(^|\.)(lm_head|embed_out)\.weight$/;
const MLP_UP = /(^|\.)(gate_proj|up_proj|dense_h_to_4h)\.weight$/;
const MLP_DOWN = /(^|\.)(down_proj|dense_4h_to_h)\.weight$/;
const LAYER = /(?:^|\.)layers\.(\d{1,6})\./;

export function modelShape(stateDict: StateDict, config: ModelConfig | null): ModelShape {
  const names = plainNames(stateDict);
  const part = knownParts(names, config).find(({ architecture }) => architecture.embedding !== null);
  const said = familyOf(config);
  if (part !== undefined) {
    return { family: said, ...sizesOf(part, names) };
  }
  const family = said ?? (config?.modelType == null ? familyByNames(names) : null);
  return family === null
    ? {
        family,
        layers: config?.layers ?? 0,
        hiddenSize: config?.hiddenSize ?? null,
        intermediateSize: config?.intermediateSize ?? null,
        vocabulary: null,
        outputRows: null,
      }
    : { family, ...sizesByNames(stateDict) };
}

function familyOf(config: ModelConfig | null): ModelShape["family"] {
  return config?.modelType === "llama" || config?.modelType === "gpt_neox" ? config.modelType : null;
}

function sizesOf(part: KnownPart, names: PlainNames): Omit<ModelShape, "family"> {
  const { architecture, prefix, config } = part;
  const stated = architecture.sizes(config);
  const size = (letter: string): number | null => {
    for (const { name, shape } of architecture.tensors) {
      const index = shape.split(" ").indexOf(letter);
      const found = index < 0 ? undefined : names.tensors.get(`${prefix}${name.replaceAll("*", "0")}`)?.shape;
      if (found !== undefined && found.length === shape.split(" ").length) {
        return found[index] ?? null;
      }
    }
    return stated[letter] ?? null;
  };
  const embedding = names.tensors.get(`${prefix}${architecture.embedding}`);
  return {
    layers: layersOf(part, names).size,
    hiddenSize: size("H"),
    intermediateSize: size("I"),
    vocabulary: embedding?.shape[0] ?? null,
    outputRows: headOf(part, names)?.shape[0] ?? null,
  };
}

/** The sizes by the tensor names of LLaMA and GPT-NeoX. */
function sizesByNames(stateDict: StateDict): Omit<ModelShape, "family"> {
  const find = (pattern: RegExp): StoredTensor | undefined =>
    [...stateDict].find(([name, { shape }]) => pattern.test(name) && shape.length === 2)?.[1];
  const input = find(INPUT);
  return {
    layers: new Set([...stateDict.keys()].flatMap((name) => LAYER.exec(name)?.[1] ?? [])).size,
    hiddenSize: input?.shape[1] ?? null,
    intermediateSize: find(MLP_UP)?.shape[0] ?? find(MLP_DOWN)?.shape[1] ?? null,
    vocabulary: input?.shape[0] ?? null,
    outputRows: find(OUTPUT)?.shape[0] ?? null,
  };
}
