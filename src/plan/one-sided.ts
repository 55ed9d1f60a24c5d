/** Names that one side has and the other lacks, as the schemes' scripts treat them, and the order that names come in. */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { INV_FREQ, type Outcome, type PairingOptions } from "./pair.js";

/** The driver's tensors in the order of the output; null for a name that only raw has. */
export function inOrder(
  raw: Checkpoint,
  driver: Checkpoint,
  { names }: PairingOptions,
): Iterable<readonly [name: string, tensor: StoredTensor | null]> {
  if (names?.order !== "raw") {
    return driver.stateDict;
  }
  const both = [...raw.stateDict.keys()].map((name) => names.prefix + name);
  const listed = new Set(both);
  return [
    ...both.map((name) => [name, driver.stateDict.get(name) ?? null] as const),
    ...[...driver.stateDict].filter(([name]) => !listed.has(name)),
  ];
}

/** What only raw has goes into the output as it is, where the script copies it; else `baseOnly` judges it. */
export function copied(name: string, raw: Checkpoint, { names }: PairingOptions): Outcome {
  const tensor = raw.stateDict.get(name.slice(names?.prefix.length ?? 0));
  if (names?.baseOnly !== "copy" || tensor === undefined || INV_FREQ.test(name)) {
    return { kind: "left out" };
  }
  const pair = { name, ...names.keep(name, tensor), driver: tensor, fromRaw: true, raw: null, mean: null } as const;
  return { kind: "paired", pair, step: { kind: "copied", name } };
}
