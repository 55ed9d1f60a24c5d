/** Columns of numbers that grow. Their memory is not the heap's, so many of them leave nothing to collect. */

export type Numbers = Int32Array | Uint8Array | Float64Array;

/** The same numbers, and room for as many more. */
export function longer<T extends Numbers>(numbers: T): T {
  const more = new (numbers.constructor as new (length: number) => T)(2 * numbers.length + 16);
  more.set(numbers);
  return more;
}

export class Column<T extends Numbers> {
  #numbers: T;
  #size = 0;

  /** @param room for so many numbers at first. */
  constructor(make: new (length: number) => T, room: number) {
    this.#numbers = new make(room);
  }

  get size(): number {
    return this.#size;
  }

  push(value: number): void {
    if (this.#size === this.#numbers.length) {
      this.#numbers = longer(this.#numbers);
    }
    this.#numbers[this.#size] = value;
    this.#size += 1;
  }

  /** All numbers, in the column's own memory. */
  all(): T {
    return this.#numbers.subarray(0, this.#size) as T;
  }
}
