/** Every supported layout, one row each, in the order in which a directory is checked for them. */
import type { ShardHeader } from "../../formats/tensor-info.js";
import { metaTensors } from "./easylm.js";
import { findHuggingface, indexedState, loneState } from "./huggingface.js";
import type {
  FoundWeights,
  Layout,
  LayoutInput,
  LayoutModel,
  LayoutName,
  Refusal,
  Stored,
  StoredPieceIn,
  WeightFile,
} from "./layout.js";
import { metaConfigText } from "./meta/config.js";
import { type MetaModel, type MetaTensor, readMetaLayout } from "./meta/layout.js";
import { refuseOtherNorms } from "./meta/norms.js";
import { FETCH_PARAMS, type MetaParams, PARAMS, parseParams } from "./meta/params.js";
import { isMetaPart, metaPartName } from "./meta/parts.js";

const HUGGINGFACE: Layout = {
  name: "huggingface",
  find: findHuggingface,
  isPart: () => false,
  isWhole: () => false,
  params: null,
  tokenizer: "beside",
  released: false,
  async read({ shards, index, path }) {
    const [lone] = shards;
    const named =
      index === null && lone !== undefined
        ? loneState(lone)
        : indexedState(shards, index?.weightMap ?? new Map(), index?.file ?? "");
    return { ...named, ...plainModel(path) };
  },
};

/** What a model in Hugging Face's layout adds to its tensors. @param path as the user wrote it. */
export function plainModel(path: string): Pick<LayoutModel<never>, "layout" | "configText" | "unconvertible"> {
  const unconvertible: Refusal = {
    code: "FORMAT_UNSUPPORTED",
    fact: "not in Meta's layout (params.json, consolidated.00.pth): there is nothing to convert",
    hint: "recover, make-diff and verify read it as it is",
    file: path,
  };
  return { layout: "huggingface", configText: null, unconvertible };
}

/** The weights as Meta released them. */
const META: Layout = {
  name: "meta",
  find(names) {
    const files = [...names].filter(isMetaPart).sort();
    return files.length === 0 ? null : { files, index: null, others: [] };
  },
  isPart: isMetaPart,
  isWhole: () => false,
  params: PARAMS,
  tokenizer: "above",
  released: true,
  async read(input) {
    const { shards, directory } = input;
    const params = paramsOf(input);
    const parts = shards.map(({ file, header }) => ({ file, tensors: header.tensors }));
    const model = readMetaLayout(parts, params, directory);
    await refuseOtherNorms(
      shards.flatMap((shard) => {
        const tensor = shard.header.tensors.find(({ name }) => name === "norm.weight");
        return tensor === undefined ? [] : [{ shard, tensor }];
      }),
    );
    const dtypes = [...new Set(model.tensors.map(({ dtype }) => dtype))].join(" and ");
    const count = shards.length === 1 ? "one part" : `${shards.length} parts`;
    return {
      layout: "meta",
      stateDict: stateOf(model, shards),
      notes: [
        `Meta's own layout in ${count}, read as transformers' converter would write it, with the values as stored (${dtypes})`,
        ...(params === null ? [`no ${PARAMS}: sizes are read off the shapes, heads are taken to have 128 values`] : []),
      ],
      configText: metaConfigText(model, params),
      unconvertible: unconvertibleBy(params, input),
    };
  },
};

/** EasyLM's stream, read as Meta's layout in one part: it has other names and transposed matrices. */
const EASYLM: Layout = {
  name: "easylm",
  find: () => null,
  isPart: () => false,
  isWhole: ({ format }) => format === "easylm",
  params: PARAMS,
  tokenizer: "above",
  released: false,
  async read(input) {
    const { shards } = input;
    const params = paramsOf(input);
    const parts = shards.map(({ path, header }, part) => ({
      file: metaPartName(part),
      tensors: metaTensors(header.tensors, path),
    }));
    const model = readMetaLayout(parts, params, `${shards[0]?.path ?? ""} (as Meta's layout)`);
    const heads = params === null ? ", with heads of 128 values" : "";
    return {
      layout: "easylm",
      stateDict: stateOf(model, shards),
      notes: [`an EasyLM checkpoint, read as its own converter would write it for transformers${heads}`],
      // Without params.json, the config of the other side tells more.
      configText: params === null ? null : metaConfigText(model, params),
      unconvertible: unconvertibleBy(params, input),
    };
  },
};

const LAYOUTS: readonly Layout[] = [HUGGINGFACE, META, EASYLM];

export function layoutNamed(name: LayoutName): Layout {
  return LAYOUTS.find((layout) => layout.name === name) ?? HUGGINGFACE;
}

/** The weights among a directory's names, and their layout; null if there are none. */
export function findWeights(names: ReadonlySet<string>): (FoundWeights & { readonly layout: LayoutName }) | null {
  for (const { name, find } of LAYOUTS) {
    const found = find(names);
    if (found !== null) {
      return { ...found, layout: name };
    }
  }
  return null;
}

/** The layout in which a file of this name is one part of a model. */
export function layoutOfPart(file: string): Layout | undefined {
  return LAYOUTS.find(({ isPart }) => isPart(file));
}

/** The layout of a model in one file. */
export function layoutOfFile(header: ShardHeader): Layout {
  return LAYOUTS.find(({ isWhole }) => isWhole(header)) ?? HUGGINGFACE;
}

function paramsOf({ params }: Pick<LayoutInput<unknown>, "params">): MetaParams | null {
  return params === null ? null : parseParams(params.text, params.path);
}

function unconvertibleBy(params: MetaParams | null, { path }: Pick<LayoutInput<unknown>, "path">): Refusal | null {
  if (params === null) {
    return {
      code: "NOT_FOUND",
      fact: "has no params.json: the config of the converted model needs its norm_eps",
      hint: FETCH_PARAMS,
      file: path,
    };
  }
  return params.scaledRope
    ? {
        code: "FORMAT_UNSUPPORTED",
        fact: "use_scaled_rope: a Llama 3.1 or later, whose config has values that are not known here",
        hint: "take the publisher's own files in Hugging Face's format",
        file: params.path,
      }
    : null;
}

/** The tensors of a model, with the files that hold them. @param shards the parts. */
function stateOf<S extends WeightFile>({ tensors }: MetaModel, shards: readonly S[]): ReadonlyMap<string, Stored<S>> {
  const stored = ({ part, pieces, ...info }: MetaTensor): readonly Stored<S>[] => {
    const shard = shards[part];
    const placed = pieces?.flatMap(({ part: at, ...piece }): readonly StoredPieceIn<S>[] => {
      const own = shards[at];
      return own === undefined ? [] : [{ ...piece, shard: own }];
    });
    return shard === undefined ? [] : [{ ...info, shard, ...(placed === undefined ? {} : { pieces: placed }) }];
  };
  return new Map(tensors.flatMap(stored).map((tensor) => [tensor.name, tensor]));
}
