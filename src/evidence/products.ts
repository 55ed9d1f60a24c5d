/** How alike two stretches of values are: the products behind cosines and sizes, and the median over several stretches. */

interface DotProducts {
  /** Sum of diff x raw. */
  readonly both: number;
  /** Sums of squares. */
  readonly diff: number;
  readonly raw: number;
}

/** @param diff values of the diff. @param raw values of the base at the same places, equally many. */
export function productsOf(diff: Float32Array, raw: Float32Array): DotProducts {
  let [both, ours, theirs] = [0, 0, 0];
  for (let index = 0; index < diff.length; index++) {
    const x = diff[index] ?? 0;
    const y = raw[index] ?? 0;
    both += x * y;
    ours += x * x;
    theirs += y * y;
  }
  return { both, diff: ours, raw: theirs };
}

/** The products of several stretches together. */
export function sumOf(stretches: readonly DotProducts[]): DotProducts {
  return stretches.reduce(
    (sum, one) => ({ both: sum.both + one.both, diff: sum.diff + one.diff, raw: sum.raw + one.raw }),
    { both: 0, diff: 0, raw: 0 },
  );
}

/** From -1 to 1; NaN if one of the two is all zero. */
export function cosineOf({ both, diff, raw }: DotProducts): number {
  return both / Math.sqrt(raw * diff);
}

/** The upper median. @param values at least one. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
