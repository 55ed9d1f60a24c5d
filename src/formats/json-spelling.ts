/**
 * How a value is spelled, but for its whole numbers. The entries of a header mostly differ in nothing else from the one before. Then what was
 * checked of that one holds for the next, too, and only its numbers are read.
 */
import { sameBytes } from "./same-bytes.js";

const ZERO = 0x30;
/** A number of so many digits is below 2^53. */
const SAFE_DIGITS = 15;

/** The runs of text before, between and after the numbers: where each begins and ends. None if nothing is known yet. */
export class Spelling {
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  /** Begins anew, with a value that begins here. */
  begin(start: number): void {
    this.forget();
    this.starts.push(start);
  }

  /** The value has this number, spelled without a sign, a point or an exponent, which ends here. */
  number(value: number, end: number): void {
    this.ends.push(end - String(value).length);
    this.starts.push(end);
  }

  end(end: number): void {
    this.ends.push(end);
  }

  forget(): void {
    this.starts.length = 0;
    this.ends.length = 0;
  }

  /**
   * Reads the numbers of a value that begins at `from`, if the value is spelled in this way.
   * @param text also of the value that the spelling is taken from.
   * @returns where it ends; -1 if it is spelled in another way, or has a number that another reader must judge.
   */
  read(text: DataView, from: number, numbers: Float64Array): number {
    const { starts, ends } = this;
    const last = ends.length - 1;
    let at = from;
    for (let run = 0; run < last; run++) {
      const start = starts[run] ?? 0;
      const length = (ends[run] ?? 0) - start;
      if (!sameBytes(text, start, text, at, length)) {
        return -1;
      }
      at += length;
      const first = at;
      let value = 0;
      for (let digit = digitAt(text, at); digit >= 0; digit = digitAt(text, at)) {
        value = 10 * value + digit;
        at += 1;
      }
      // "007" and "" are no numbers, and 0 is.
      if (at === first || at - first > SAFE_DIGITS || (at > first + 1 && text.getUint8(first) === ZERO)) {
        return -1;
      }
      numbers[run] = value;
    }
    const start = starts[last] ?? 0;
    const length = (ends[last] ?? 0) - start;
    return last >= 0 && sameBytes(text, start, text, at, length) ? at + length : -1;
  }
}

/** -1 where no digit stands. */
function digitAt(text: DataView, at: number): number {
  const digit = at < text.byteLength ? text.getUint8(at) - ZERO : -1;
  return digit <= 9 ? digit : -1;
}
