/** Opens a chain, finds the path to the wanted version, and opens the model with which the path begins. */
import { type Chain, chainError, type Version } from "../../chain/chain.js";
import { findChain, openChain } from "../../chain/open.js";
import { type BaseOption, type ChainPath, pathTo } from "../../chain/path.js";
import { holdsPayloads } from "../../chain/shards.js";
import { type Checkpoint, openCheckpoint } from "../../checkpoint/checkpoint.js";
import { configOf, type ModelConfig } from "../../checkpoint/config.js";
import { WeightDiffError } from "../../errors.js";
import type { Hub } from "../../hub/place.js";
import { DEFAULTS } from "../../plan/defaults.js";
import type { ExpectedSum } from "../../plan/plan-update.js";
import type { ChainChoice } from "./options.js";
import { refuseOtherTensors } from "./same-tensors.js";

export interface ChainSource {
  readonly chain: Chain;
  readonly path: ChainPath;
  /** Which version `model` is. */
  readonly baseVersion: number;
  readonly baseOption: BaseOption;
  readonly model: Checkpoint;
  readonly config: ModelConfig | null;
  /** Is `model` the base, and not a full version of the chain? */
  readonly isBase: boolean;
  /** The checksums by tensor that a full version states of itself. */
  readonly sums: ReadonlyMap<string, ExpectedSum>;
}

/** A choice, with the name of the option by which the user says what the base is: "baseVersion" by default. */
interface NamedChoice extends ChainChoice {
  readonly baseOption?: BaseOption;
}

/** @throws {WeightDiffError} as openChain and pathTo. */
export async function readPath(
  choice: NamedChoice & { readonly raw?: string | null },
  hub: Hub,
): Promise<{ readonly chain: Chain; readonly path: ChainPath }> {
  const chain = await openChain(choice.chain, hub, choice).catch(async (error: unknown) => {
    const { raw = null } = choice;
    if (error instanceof WeightDiffError && error.code === "NOT_FOUND" && raw !== null && (await isChain(raw, hub))) {
      const { code, fact, at } = error;
      throw new WeightDiffError(code, fact, `${raw} is one: exchange the two paths`, { at, cause: error });
    }
    throw error;
  });
  const path = await pathTo(chain, {
    to: choice.to ?? null,
    base: choice.baseVersion ?? DEFAULTS.baseVersion,
    baseOption: choice.baseOption ?? "baseVersion",
    maxSteps: choice.maxSteps ?? DEFAULTS.maxSteps,
  });
  return { chain, path };
}

/** @throws {WeightDiffError} USAGE if the path begins with the base and none is given; as openCheckpoint. */
export async function openSource(
  { chain, path }: { readonly chain: Chain; readonly path: ChainPath },
  raw: string | null,
  choice: NamedChoice,
  hub: Hub,
): Promise<ChainSource> {
  const { start } = path;
  const { baseOption = "baseVersion" } = choice;
  if (start?.checkpoint != null) {
    const model = start.checkpoint;
    if (chain.layout === "modelexpress" && raw !== null) {
      const base = await openCheckpoint(raw, hub);
      refuseOtherTensors(start, base, await configOf(base));
    }
    const baseVersion = start.number;
    const sums = sumsOf(start);
    return { chain, path, baseVersion, baseOption, model, config: await configOf(model), isBase: false, sums };
  }
  if (raw === null) {
    throw new WeightDiffError(
      "USAGE",
      `the way to version ${path.target.id} begins with the base, and none is given`,
      undefined,
      { advice: [{ to: "give it", option: "raw" }] },
    );
  }
  const model = await openBase(raw, hub);
  const baseVersion = choice.baseVersion ?? DEFAULTS.baseVersion;
  const config = await configOf(model);
  return { chain, path, baseVersion, baseOption, model, config, isBase: true, sums: new Map() };
}

/** @throws {WeightDiffError} with `why` "wrong-base" if a chain, or one of its versions, was given as the base; as openCheckpoint. */
async function openBase(raw: string, hub: Hub): Promise<Checkpoint> {
  const none = (): WeightDiffError =>
    chainError(
      "wrong-base",
      "the base holds updates of a chain, and no model",
      "give the model that the chain starts from, or a version that was materialised",
      { file: raw },
    );
  const model = await openCheckpoint(raw, hub).catch(async (error: unknown) => {
    throw error instanceof WeightDiffError && error.kind === "input" && (await isChain(raw, hub)) ? none() : error;
  });
  if (model.shards.length > 0 && model.shards.every(({ header }) => holdsPayloads(header))) {
    throw none();
  }
  return model;
}

async function isChain(path: string, hub: Hub): Promise<boolean> {
  return (await findChain(path, hub).catch(() => null)) !== null; // the caller tells what cannot be read
}

function sumsOf({ id, place, sums }: Version): ReadonlyMap<string, ExpectedSum> {
  return new Map(
    [...sums].map(([name, checksum]) => [name, { version: id, file: place, checksum, full: true as const }]),
  );
}
