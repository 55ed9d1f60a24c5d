/** Names that one side has and the other lacks, as the schemes' scripts treat them, and the order that names come in. */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { quote } from "../formats/quote.js";
import { type DriverRole, INV_FREQ, type Pair, type PairingOptions } from "./pair.js";

/** Names that only one side has, by what became of them. */
export interface OnlySide {
  readonly kept: string[];
  readonly dropped: string[];
  readonly copied: string[];
}

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
export function copied(name: string, raw: Checkpoint, { names }: PairingOptions, only: OnlySide): Pair | null {
  const tensor = raw.stateDict.get(name.slice(names?.prefix.length ?? 0));
  if (names?.baseOnly !== "copy" || tensor === undefined || INV_FREQ.test(name)) {
    return null;
  }
  only.copied.push(name);
  return { name, ...names.keep(name, tensor), driver: tensor, fromRaw: true, raw: null, mean: null };
}

export function onlyNotes({ kept, dropped, copied }: OnlySide, role: DriverRole): readonly string[] {
  const some = (names: readonly string[]): string =>
    `${names.length} ${names.length === 1 ? "tensor" : "tensors"} (${names.slice(0, 3).map(quote).join(", ")}${names.length > 3 ? ", …" : ""})`;
  return [
    ...(kept.length === 0
      ? []
      : [`${some(kept)} of the ${role} have no counterpart in the base, and are kept as they are`]),
    ...(dropped.length === 0 ? [] : [`${some(dropped)} are in the ${role} only, and left out as by the script`]),
    ...(copied.length === 0 ? [] : [`${some(copied)} are in the base only, and copied from it`]),
  ];
}
