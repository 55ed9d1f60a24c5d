/**
 * What the opcodes of a pickle make: tuples, lists, dicts, names and calls. Nothing is executed: a callable is a name, and calling one gives
 * a record of the call. The memory of all values is counted.
 */
import { WeightDiffError } from "../errors.js";
import { invalid } from "./pickle-input.js";
import { COST, type Machine, popCount, push, spend, top } from "./pickle-machine.js";
import {
  isKind,
  type PickleDict,
  type PickleGlobal,
  type PickleList,
  type PickleTuple,
  type PickleValue,
} from "./pickle-value.js";
import { quote } from "./quote.js";

const ORDERED_DICT = "collections.OrderedDict";

/** The content of every empty container, until something is put into it. */
const NO_ITEMS: PickleValue[] = [];
const NO_ENTRIES: PickleDict["entries"] = new Map();

export function sequence(machine: Machine, kind: "tuple" | "list", items: PickleValue[]): PickleTuple | PickleList {
  spend(machine, COST.object + (items.length === 0 ? 0 : COST.array + COST.item * items.length));
  return { kind, items: items.length === 0 ? NO_ITEMS : items };
}

export function dict(machine: Machine): PickleDict {
  spend(machine, COST.object);
  return { kind: "dict", entries: NO_ENTRIES };
}

export function append(machine: Machine, items: PickleValue[]): void {
  const list = top(machine);
  if (!isKind(list, "list")) {
    throw invalid(machine, "appends to something that is not a list");
  }
  if (list.items.length === 0) {
    spend(machine, COST.array + COST.item * items.length);
    list.items = items;
    return;
  }
  // An array that grows makes room for sixteen elements, and for half as many as it has.
  spend(machine, (list.items.length === 1 ? 16 * COST.item : 0) + 1.5 * COST.item * items.length);
  for (const item of items) {
    list.items.push(item);
  }
}

export function setItems(machine: Machine, pairs: readonly PickleValue[]): void {
  const target = top(machine);
  if (!isKind(target, "dict") || pairs.length % 2 !== 0) {
    throw invalid(machine, "sets items of something that is not a dict");
  }
  for (let index = 0; index < pairs.length; index += 2) {
    setItem(machine, target, pairs[index], pairs[index + 1]);
  }
}

function setItem(
  machine: Machine,
  target: PickleDict,
  key: PickleValue | undefined,
  value: PickleValue | undefined,
): void {
  if (value === undefined || (typeof key !== "string" && typeof key !== "number" && typeof key !== "bigint")) {
    if (value !== undefined && isPlain(value)) {
      return; // neither a tensor nor part of a tensor's name
    }
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `pickle has a dict whose keys are neither strings nor integers, with more than numbers in it (at byte ${machine.at})`,
      undefined,
      { at: { file: machine.rules.name } },
    );
  }
  if (target.entries.has(key)) {
    throw invalid(machine, `has the dict key ${quote(String(key))} twice`);
  }
  if (target.entries.size === 0) {
    spend(machine, COST.map);
    target.entries = new Map();
  }
  spend(machine, COST.entry);
  target.entries.set(key, value);
}

function isPlain(value: PickleValue): boolean {
  return typeof value !== "object" || value === null || value.kind === "opaque";
}

export function global(machine: Machine, module: PickleValue | undefined, name: PickleValue | undefined): PickleGlobal {
  if (typeof module !== "string" || typeof name !== "string") {
    throw invalid(machine, "names a global by something that is not a string");
  }
  const full = `${module}.${name}`;
  const before = machine.globals.get(full);
  if (before !== undefined) {
    return before;
  }
  if (!machine.rules.allows(full)) {
    const known = machine.rules.explains?.(full);
    if (known !== undefined) {
      throw new WeightDiffError("FORMAT_UNSUPPORTED", `holds ${known.what}`, known.hint, {
        at: { file: machine.rules.name },
      });
    }
    throw new WeightDiffError(
      "PICKLE_GLOBAL",
      `pickle asks for ${quote(full)}, which no plain weight file needs`,
      "nothing was executed; the file is not plain weights, and may be malicious: get a safetensors version of it; only if " +
        "you trust its origin, load it with torch and save its state_dict()",
      { at: { file: machine.rules.name } },
    );
  }
  const allowed: PickleGlobal = { kind: "global", name: full };
  machine.globals.set(full, allowed);
  return allowed;
}

/** REDUCE and NEWOBJ: callable and arguments become a record. Only OrderedDict becomes a dict. */
export function call(machine: Machine): void {
  const [callable, args] = popCount(machine, 2);
  if (!isKind(callable, "global") || !isKind(args, "tuple")) {
    throw invalid(machine, "calls something that is not a name, or without a tuple");
  }
  if (callable.name === ORDERED_DICT) {
    push(machine, orderedDict(machine, args.items));
  } else {
    spend(machine, COST.object);
    push(machine, { kind: "call", name: callable.name, args: args.items });
  }
}

/** OrderedDict(), or OrderedDict([[key, value], …]) as Python 2 wrote it. */
function orderedDict(machine: Machine, args: readonly PickleValue[]): PickleDict {
  const wrong = (): WeightDiffError =>
    invalid(machine, "makes an OrderedDict of something that is not a list of pairs");
  const result = dict(machine);
  const [pairs] = args;
  if (pairs !== undefined && (args.length !== 1 || !isKind(pairs, "list"))) {
    throw wrong();
  }
  for (const pair of isKind(pairs, "list") ? pairs.items : []) {
    if (!(isKind(pair, "list") || isKind(pair, "tuple")) || pair.items.length !== 2) {
      throw wrong();
    }
    // The list may be recalled from the memo, so that a few bytes copy it again.
    setItem(machine, result, pair.items[0], pair.items[1]);
  }
  return result;
}

/** Module.state_dict() ends in BUILD {"_metadata": …} on its OrderedDict. This does not affect tensors. */
export function build(machine: Machine): void {
  const [state] = popCount(machine, 1);
  if (!isKind(top(machine), "dict") || !isKind(state, "dict")) {
    throw invalid(machine, "sets the state of something that is not an OrderedDict");
  }
}
