/** A column of numbers that grows. Its memory is not the heap's, so many of them leave nothing to collect. */
export class Column<T extends Int32Array | Uint8Array | Float64Array> {
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
      const longer = new (this.#numbers.constructor as new (length: number) => T)(2 * this.#size + 16);
      longer.set(this.#numbers);
      this.#numbers = longer;
    }
    this.#numbers[this.#size] = value;
    this.#size += 1;
  }

  /** All numbers, in the column's own memory. */
  all(): T {
    return this.#numbers.subarray(0, this.#size) as T;
  }
}
