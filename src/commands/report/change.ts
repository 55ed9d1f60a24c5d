/** From measured tensors to figures, for one tensor or for several together. All sums follow the order of the tensors. */
import type { Measured } from "../../engine/job/result.js";
import type { Change, ChangeReport } from "./options.js";

/** @param parts in a fixed order. */
export function changeOf(parts: readonly Measured[]): Change {
  const total = (of: (part: Measured) => number): number => parts.reduce((sum, part) => sum + of(part), 0);
  const counts = {
    elements: total(({ elements }) => elements),
    compared: total(({ compared }) => compared),
    changed: total(({ changed }) => changed),
  };
  const valued = parts.flatMap((part) => (part.values === null || part.compared === 0 ? [] : [part.values]));
  if (valued.length === 0) {
    const none = { baseNorm: null, tunedNorm: null, differenceNorm: null, relative: null, largest: null, cosine: null };
    return { ...counts, ...none, steps: null, bits: null };
  }
  const squares = valued.reduce(
    (sum, { difference, base, tuned, product, most }) => ({
      difference: sum.difference + difference,
      base: sum.base + base,
      tuned: sum.tuned + tuned,
      product: sum.product + product,
      most: Math.max(sum.most, most),
    }),
    { difference: 0, base: 0, tuned: 0, product: 0, most: 0 },
  );
  const stepped = parts.flatMap(({ units, compared }) => (units === null ? [] : [{ ...units, compared }]));
  const counted = stepped.reduce((sum, { compared }) => sum + compared, 0);
  return {
    ...counts,
    baseNorm: Math.sqrt(squares.base),
    tunedNorm: Math.sqrt(squares.tuned),
    differenceNorm: Math.sqrt(squares.difference),
    relative: squares.base === 0 ? null : Math.sqrt(squares.difference / squares.base),
    // The kernel leaves NaN out of it. Where there is one, the largest difference of the others would read as that of all.
    largest: Number.isNaN(squares.difference) ? Number.NaN : squares.most,
    cosine:
      squares.base * squares.tuned === 0 ? null : squares.product / Math.sqrt(squares.base) / Math.sqrt(squares.tuned),
    steps: counted === 0 ? null : addLists(stepped.map(({ steps }) => steps)),
    bits: counted === 0 ? null : stepped.reduce((sum, { bits }) => sum + bits, 0) / counted,
  };
}

/** The figures of a diff without its base: all that need the base's values are null. @param parts differences, in a fixed order. */
export function changeAlone(parts: readonly Measured[]): Change {
  const found = changeOf(parts);
  const counted = parts.filter(({ units }) => units !== null);
  const elements = counted.reduce((sum, part) => sum + part.elements, 0);
  const bits = counted.reduce((sum, { units }) => sum + (units?.bits ?? 0), 0);
  return {
    ...{ ...found, baseNorm: null, tunedNorm: null, relative: null, cosine: null, steps: null },
    bits: elements === 0 ? null : bits / elements,
  };
}

/** Relative to the base. Without a base, the root mean square of the differences. */
export function movedBy({ relative, baseNorm, differenceNorm, compared }: Change): number | null {
  return baseNorm === null && differenceNorm !== null && compared > 0 ? differenceNorm / Math.sqrt(compared) : relative;
}

interface MapFigure {
  /** For example "relative change". */
  readonly title: string;
  /** Null if there is no such figure: the tensor is then left out of the map. */
  of(change: Change): number | null;
}

/** The figure of a map: how far values moved. For a diff alone whose differences have no size, it is how many are not zero. */
export function mapFigure({ base, total }: Pick<ChangeReport, "base" | "total">): MapFigure {
  const unmoved = ({ changed, compared }: Change): number | null => (changed === 0 && compared > 0 ? 0 : null);
  if (base === null && total.differenceNorm === null && total.compared > 0) {
    return {
      title: "share of the differences that are not zero",
      of: ({ changed, compared }) => (compared === 0 ? null : changed / compared),
    };
  }
  return {
    title: base === null ? "root mean square of the differences" : "relative change",
    of: (change) => movedBy(change) ?? unmoved(change),
  };
}

function addLists(lists: readonly (readonly number[])[]): readonly number[] {
  const sums: number[] = [];
  for (const list of lists) {
    list.forEach((count, at) => {
      sums[at] = (sums[at] ?? 0) + count;
    });
  }
  return sums;
}

/** Splits a name at its first number. */
export function placeOf(name: string): { readonly layer: number | null; readonly module: string } {
  const [, number, rest] = /^(?:.*?\.)??(\d{1,6})\.(.+)$/.exec(name) ?? [];
  return number === undefined || rest === undefined
    ? { layer: null, module: name }
    : { layer: Number(number), module: rest.replaceAll(/(^|\.)\d+(?=\.|$)/g, "$1*") };
}
