/** How the bytes of a compressed diff are distributed: by the role of its tensors in a layer, and by layer. */
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { unitCount, unitOf } from "../../formats/coded/units.js";
import { dtypeBits, elementCount } from "../../formats/dtype.js";
import { type CodedEntry, readCoded } from "../../plan/coded.js";
import { encodingOf } from "../../plan/exact.js";

export interface CodedShare {
  /** For example "model.layers.*.mlp.up_proj.weight", or "model.layers.3". */
  readonly name: string;
  readonly tensors: number;
  readonly elements: number;
  /** The bytes of their coded form. */
  readonly bytes: number;
  readonly bitsPerElement: number;
  /**
   * Share of the elements that have the base's bits, over dtypes of 8, 16 and 32 bits. Null if there are none of those: a 64-bit element is
   * coded as two units, and several packed elements as one, so the diff does not tell how many of them changed.
   */
  readonly unchanged: number | null;
}

export interface CodedShares {
  readonly all: CodedShare;
  /** The kinds with the most bytes first. */
  readonly kinds: readonly CodedShare[];
  /** In the order of the files; empty if names have no numbers. */
  readonly layers: readonly CodedShare[];
}

/** Null if it is not a compressed diff. @throws {WeightDiffError} as readCoded. */
export function codedShares(checkpoint: Checkpoint): CodedShares | null {
  if (encodingOf(checkpoint) !== "compressed") {
    return null;
  }
  const entries = readCoded(checkpoint);
  const tensors = [...checkpoint.stateDict].flatMap(([name, { range }]): readonly Coded[] => {
    const entry = entries.get(name);
    return entry === undefined ? [] : [{ ...entry, bytes: range.end - range.begin }];
  });
  const layers = tensors.filter(({ name }) => LAYER.test(name));
  const kinds = groupBy(tensors, ({ name }) => name.replaceAll(NUMBER, "$1*")).map(([name, some]) => share(name, some));
  return {
    all: share("all", tensors),
    kinds: kinds.sort((a, b) => b.bytes - a.bytes),
    layers: groupBy(layers, ({ name }) => LAYER.exec(name)?.[0] ?? "").map(([name, some]) => share(name, some)),
  };
}

type Coded = CodedEntry & { readonly bytes: number };

const NUMBER = /(^|\.)\d+(?=\.)/g;
/** The part of a name up to its first number. */
const LAYER = /^(?:.*?\.)?\d+(?=\.)/;

function groupBy(tensors: readonly Coded[], key: (tensor: Coded) => string): readonly [string, readonly Coded[]][] {
  const groups = new Map<string, Coded[]>();
  for (const tensor of tensors) {
    const group = groups.get(key(tensor)) ?? [];
    groups.set(key(tensor), group);
    group.push(tensor);
  }
  return [...groups];
}

function share(name: string, tensors: readonly Coded[]): CodedShare {
  const total = (of: (tensor: Coded) => number): number => tensors.reduce((sum, tensor) => sum + of(tensor), 0);
  const elements = total(({ shape }) => elementCount(shape) ?? 0);
  const bytes = total((tensor) => tensor.bytes);
  const single = tensors.filter(({ dtype }) => dtypeBits(dtype) === 8 * unitOf(dtype).width);
  const units = single.reduce((sum, { dtype, shape }) => sum + (unitCount(dtype, shape) ?? 0), 0);
  const unchanged = single.reduce((sum, tensor) => sum + tensor.unchanged, 0);
  return {
    name,
    tensors: tensors.length,
    elements,
    bytes,
    bitsPerElement: elements === 0 ? 0 : (8 * bytes) / elements,
    unchanged: units === 0 ? (tensors.length > 0 && single.length === 0 ? null : 1) : unchanged / units,
  };
}
