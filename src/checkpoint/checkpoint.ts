/**
 * A model's weights as names mapped to byte ranges, whatever held them: a directory, one file, or a Hub cache folder.
 * Only headers are read. `weight_map` is the only list of shards: nothing is globbed (docs/formats.md 2.1).
 */

import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { decodeText, openFileSource } from "../files/file-source.js";
import { headerBudget } from "../formats/header-budget.js";
import type { Piece } from "../formats/pieces.js";
import { quote } from "../formats/quote.js";
import type { StoredRecord, TensorInfo } from "../formats/tensor-info.js";
import { MAX_INDEX, parseWeightIndex, type WeightIndex } from "../formats/weight-index.js";
import type { Hub } from "../hub/place.js";
import { metaTensors } from "./layouts/easylm.js";
import { metaConfigText } from "./layouts/meta/config.js";
import { type MetaModel, type MetaTensor, readMetaLayout } from "./layouts/meta/layout.js";
import { refuseOtherNorms } from "./layouts/meta/norms.js";
import { type MetaParams, PARAMS, parseParams } from "./layouts/meta/params.js";
import { metaPartName } from "./layouts/meta/parts.js";
import { type Location, locate } from "./locate.js";
import { openEach, openShard, type Shard } from "./shard.js";
import { refusePlaceholder } from "./side-files.js";

/** A tensor and the shard that holds it. */
export interface StoredTensor extends TensorInfo {
  readonly shard: Shard;
  /** Only where it is cut up or its rows are stored in another order; `shard` and `range` are then the first one's. */
  readonly pieces?: readonly StoredPiece[];
}

/** Part of a tensor, in a shard of its own. */
export interface StoredPiece extends Piece {
  readonly shard: Shard;
  /** Name of what is stored there. */
  readonly name: string;
  readonly record?: StoredRecord;
}

/** Ordered names -> tensors: shard by shard as the files are named, within a shard as the file has them. */
export type StateDict = ReadonlyMap<string, StoredTensor>;

export interface Checkpoint {
  /** As the user wrote it. */
  readonly path: string;
  /** Where config and tokenizer lie; null when a lone file was given. */
  readonly directory: string | null;
  /** "org/name" and commit where the path is a repository or a Hub cache folder. */
  readonly repo: string | null;
  readonly commit: string | null;
  readonly shards: readonly Shard[];
  /** Under the names used for pairing: a lone wrapper key ("model", "state_dict", "module") around the dict is left out. */
  readonly stateDict: StateDict;
  /** What a user should know about the files, one sentence each. */
  readonly notes: readonly string[];
  /** Only of Meta's layout, and EasyLM's, which have no config.json. */
  readonly meta?: { readonly configText: string; readonly params: MetaParams | null };
}

/** The containers that trainers put around a state dict. */
const WRAPPERS: ReadonlySet<string> = new Set(["model", "state_dict", "module"]);

/**
 * Reads every header of the checkpoint at `path`.
 * @throws {WeightDiffError} NOT_FOUND (no such path, no weights, shard or index missing), NOT_WEIGHTS, TRUNCATED, FORMAT_INVALID,
 * FORMAT_UNSUPPORTED, PICKLE_GLOBAL, LIMIT, MISMATCH (index and shards disagree), IO.
 */
export async function openCheckpoint(path: string, hub: Hub | null = null): Promise<Checkpoint> {
  const location = await locate(path, (await hub?.find(path)) ?? null);
  const { directory, repo, commit, others } = location;
  const base = { path, directory: location.single ? null : directory, repo, commit };
  const opened = await (location.parts.length > 0 ? openMeta(location) : openShards(location)).catch(
    (error: unknown) => {
      throw nameOthers(error, location);
    },
  );
  if (opened.stateDict.size === 0) {
    throw new WeightDiffError(
      "NOT_WEIGHTS",
      "no tensor in it",
      "save the model's state_dict(), or get the file again",
      {
        at: { file: path },
      },
    );
  }
  const used = location.index ?? location.file;
  const note = `${used} is used; ${others.join(", ")} ${others.length === 1 ? "is" : "are"} not read (the order of transformers)`;
  const notes = [...(location.hub?.notes ?? []), ...(others.length === 0 ? [] : [note]), ...opened.notes];
  return { ...base, ...opened, notes };
}

type Opened = Pick<Checkpoint, "shards" | "stateDict" | "notes" | "meta">;

async function openShards(location: Location): Promise<Opened> {
  const { directory, file: lone, index } = location;
  if (index === null) {
    const shard = await openShard(location, lone, headerBudget());
    return shard.header.format === "easylm" ? openEasylm(shard, location) : { shards: [shard], ...loneState(shard) };
  }
  const { weightMap } = await readIndex(directory, index);
  const shards = await openEach(location, [...new Set(weightMap.values())].sort());
  return { shards, ...collect(shards, weightMap, index) };
}

/** Where the first of several sets of weights cannot be read, no other is taken silently; the user is told of it. */
function nameOthers(error: unknown, { index, file, others }: Location): unknown {
  const [next] = others;
  if (!(error instanceof WeightDiffError) || next === undefined) {
    return error;
  }
  const hint = error.hint === undefined ? "" : `${error.hint}; `;
  const remedy = `or move ${index ?? file} to another place: then ${next} beside it is used`;
  return new WeightDiffError(error.code, error.fact, `${hint}${remedy}`, {
    at: error.at,
    advice: error.advice,
    cause: error,
  });
}

/** The weights as Meta released them. */
async function openMeta(location: Location): Promise<Opened> {
  const { directory, parts, params: hasParams } = location;
  const shards = await openEach(location, parts);
  const params = hasParams ? await readParams(directory) : null;
  const model = readMetaLayout(
    shards.map(({ file, header }) => ({ file, tensors: header.tensors })),
    params,
    directory,
  );
  await refuseOtherNorms(
    shards.flatMap((shard) => {
      const tensor = shard.header.tensors.find(({ name }) => name === "norm.weight");
      return tensor === undefined ? [] : [{ shard, tensor }];
    }),
  );
  const dtypes = [...new Set(model.tensors.map(({ dtype }) => dtype))].join(" and ");
  const count = shards.length === 1 ? "one part" : `${shards.length} parts`;
  return {
    shards,
    stateDict: metaState(model, shards),
    notes: [
      `Meta's own layout in ${count}, read as transformers' converter would write it, with the values as stored (${dtypes})`,
      ...(params === null ? [`no ${PARAMS}: sizes are read off the shapes, heads are taken to have 128 values`] : []),
    ],
    meta: { configText: metaConfigText(model, params), params },
  };
}

/** EasyLM's stream: Meta's layout in one part, with other names and transposed matrices. */
async function openEasylm(shard: Shard, { directory, params: hasParams }: Location): Promise<Opened> {
  const params = hasParams ? await readParams(directory) : null;
  const part = { file: metaPartName(0), tensors: metaTensors(shard.header.tensors, shard.path) };
  const model = readMetaLayout([part], params, `${shard.path} (as Meta's layout)`);
  const heads = params === null ? ", with heads of 128 values" : "";
  return {
    shards: [shard],
    stateDict: metaState(model, [shard]),
    notes: [`an EasyLM checkpoint, read as its own converter would write it for transformers${heads}`],
    // Without params.json, the other side's config says more.
    ...(params === null ? {} : { meta: { configText: metaConfigText(model, params), params } }),
  };
}

async function readParams(directory: string): Promise<MetaParams> {
  const path = join(directory, PARAMS);
  return parseParams(decodeText(await readSmall(directory, PARAMS, MAX_PARAMS_BYTES), path), path);
}

/** The tensors of a model, with the shards that hold them. @param shards its parts. */
function metaState({ tensors }: MetaModel, shards: readonly Shard[]): StateDict {
  const stored = ({ part, pieces, ...info }: MetaTensor): readonly StoredTensor[] => {
    const shard = shards[part];
    const placed = pieces?.flatMap(({ part: at, ...piece }): readonly StoredPiece[] => {
      const own = shards[at];
      return own === undefined ? [] : [{ ...piece, shard: own }];
    });
    return shard === undefined ? [] : [{ ...info, shard, ...(placed === undefined ? {} : { pieces: placed }) }];
  };
  return new Map(tensors.flatMap(stored).map((tensor) => [tensor.name, tensor]));
}

/** Spelled out for what most tensors are: of a spread, V8 makes a hidden class for each object, of 300 bytes. */
export function storedIn(shard: Shard, tensor: TensorInfo): StoredTensor {
  const { name, path, dtype, shape, range, strides, bigEndian, record } = tensor;
  if (strides !== undefined || bigEndian !== undefined) {
    return { ...tensor, shard };
  }
  return record === undefined
    ? { name, path, dtype, shape, range, shard }
    : { name, path, dtype, shape, range, record, shard };
}

/** The state dict of a file that is the whole checkpoint. */
export function loneState(shard: Shard): Pick<Checkpoint, "stateDict" | "notes"> {
  const wrapper = loneWrapper(shard.header.tensors);
  const entries = shard.header.tensors.map((tensor): [string, StoredTensor] => [
    wrapper === null ? tensor.name : tensor.path.slice(1).join("."),
    storedIn(shard, tensor),
  ]);
  const notes = wrapper === null ? [] : [`${shard.file}: the state dict lies under the key "${wrapper}"`];
  return { stateDict: new Map(entries), notes };
}

/** @throws {WeightDiffError} NOT_FOUND, NOT_WEIGHTS, FORMAT_INVALID, LIMIT, IO. */
export async function readIndex(
  directory: string,
  index: string,
): Promise<WeightIndex & { readonly bytes: Uint8Array }> {
  const bytes = await readSmall(directory, index, MAX_INDEX);
  return { ...parseWeightIndex(bytes, join(directory, index)), bytes };
}

/** A small file of which placeholders are refused. @param most bytes. */
async function readSmall(directory: string, file: string, most: number): Promise<Uint8Array> {
  await refusePlaceholder(join(directory, file), file);
  const source = await openFileSource(join(directory, file));
  try {
    if (source.size > most) {
      throw new WeightDiffError(
        "LIMIT",
        `${source.size} bytes, at most ${most} are read`,
        "real ones are much smaller: fetch it again",
        { at: { file: source.path } },
      );
    }
    return await source.readAt(0, source.size);
  } finally {
    await source.close();
  }
}

/** Real ones have a hundred bytes. */
const MAX_PARAMS_BYTES = 1_000_000;

function loneWrapper(tensors: readonly TensorInfo[]): string | null {
  const first = tensors[0]?.path[0];
  if (first === undefined || !WRAPPERS.has(first)) {
    return null;
  }
  return tensors.every((tensor) => tensor.path.length > 1 && tensor.path[0] === first) ? first : null;
}

/** Tensors that are named where index and shards disagree; the rest is counted. */
const SHOWN = 20;

/** Takes from each shard what the index assigns to it; lists what the index promises and the shard lacks. */
function collect(
  shards: readonly Shard[],
  weightMap: ReadonlyMap<string, string>,
  index: string,
): Pick<Checkpoint, "stateDict" | "notes"> {
  const stateDict = new Map<string, StoredTensor>();
  const strays: string[] = [];
  let others = 0;
  for (const shard of shards) {
    for (const tensor of shard.header.tensors) {
      if (weightMap.get(tensor.name) === shard.file) {
        stateDict.set(tensor.name, storedIn(shard, tensor));
      } else if (strays.length < SHOWN) {
        strays.push(`${shard.file}: tensor ${quote(tensor.name)} is in the file and not in ${index}: ignored`);
      } else {
        others++;
      }
    }
  }
  const missing = [...weightMap].filter(([name]) => !stateDict.has(name));
  if (missing.length > 0) {
    const shown = missing.slice(0, SHOWN).map(([name, file]) => `tensor ${quote(name)} is not in ${file}`);
    const rest = missing.length > SHOWN ? `\n  and ${missing.length - SHOWN} more` : "";
    throw new WeightDiffError(
      "MISMATCH",
      `${missing.length} of its ${weightMap.size} entries are wrong\n  ${shown.join("\n  ")}${rest}`,
      "index and shards are from different uploads: fetch the index and the shards again",
      { at: { file: index } },
    );
  }
  if (others > 0) {
    strays.push(`${others} more tensors are in the files and not in ${index}: ignored`);
  }
  return { stateDict, notes: strays };
}
