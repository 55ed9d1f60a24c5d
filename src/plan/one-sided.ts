/** How the scripts treat names that only one side has, and the order of names in the output. */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { INV_FREQ, type Outcome, type PairingOptions } from "./pair.js";
import { type LoadedSide, loadedTensor } from "./ties.js";

/** The last norm of a language model, in Hugging Face's names. */
export const LAST_NORM = /(^|\.)(model|transformer|gpt_neox)\.(norm|ln_f|final_layer_norm)\.weight$/;
const LAYER = /(^|\.)(layers|layer|h|blocks|block)\.\d+\./;

/**
 * Which names does an incomplete base lack? It lacks a kind of `vital` of which it has none, and in a layer it lacks what its other layers
 * have. The scripts build the base from its config and never meet an incomplete one, so their rules for names on one side do not apply to
 * such names.
 */
export function lackOf({ stateDict }: Checkpoint, vital: readonly RegExp[]): (name: string) => boolean {
  // Most pairs have no name that only the driver has, so this is computed on demand.
  const known = once(() => {
    const names = [...stateDict.keys()];
    return {
      absent: vital.filter((kind) => !names.some((name) => kind.test(name))),
      layers: new Set(names.map(layerOf)),
      members: new Set(names.map(anyLayer)),
    };
  });
  return (name) => {
    const { absent, layers, members } = known();
    return (
      absent.some((kind) => kind.test(name)) ||
      (LAYER.test(name) && layers.has(layerOf(name)) && members.has(anyLayer(name)))
    );
  };
}

function once<T extends object>(compute: () => T): () => T {
  let value: T | null = null;
  return () => (value ??= compute());
}

/** The name up to the number of its layer. */
function layerOf(name: string): string {
  const found = LAYER.exec(name);
  return found === null ? "" : name.slice(0, found.index + found[0].length);
}

function anyLayer(name: string): string {
  return name.replace(LAYER, "$1$2.*.");
}

/** The driver's tensors in the order of the output; null for a name that only raw has. */
export function inOrder(
  raw: LoadedSide,
  driver: LoadedSide,
  { names }: PairingOptions,
): Iterable<readonly [name: string, tensor: StoredTensor | null]> {
  if (names?.order !== "raw") {
    return driver.stateDict;
  }
  const both = [...raw.stateDict.keys()].map((name) => names.prefix + name);
  const listed = new Set(both);
  return [
    ...both.map((name) => [name, loadedTensor(driver, name) ?? null] as const),
    ...[...driver.stateDict].filter(([name]) => !listed.has(name)),
  ];
}

/** If the script copies tensors that only raw has, they go into the output unchanged. Otherwise `baseOnly` judges them. */
export function copied(name: string, raw: LoadedSide, { names }: PairingOptions): Outcome {
  const tensor = raw.stateDict.get(name.slice(names?.prefix.length ?? 0));
  if (names?.baseOnly !== "copy" || tensor === undefined || INV_FREQ.test(name)) {
    return { kind: "left out" };
  }
  const pair = { name, ...names.keep(name, tensor), driver: tensor, fromRaw: true, raw: null, mean: null } as const;
  return { kind: "paired", pair, step: { kind: "copied", name } };
}
