/**
 * The header of a safetensors file in columns. The 64 steps of a chain for a mixture of experts have two million entries: as objects they take
 * most of the time of a plan to collect.
 */
import { DTYPES, type Dtype, tensorBytes } from "./dtype.js";
import { JsonScanner } from "./json-scanner.js";
import { type Names, Places } from "./names.js";
import type { Shape, TensorInfo } from "./tensor-info.js";

/** The columns of a table, by row. */
export interface TensorColumns {
  /** The number of each tensor's name. */
  readonly ids: Int32Array;
  /** Indices into DTYPES. */
  readonly dtypes: Uint8Array;
  /** Where the bytes of each begin and end in the file. */
  readonly begins: Float64Array;
  readonly ends: Float64Array;
  /** Where its sizes begin among those of all tensors, and how many there are. */
  readonly firsts: Int32Array;
  readonly ranks: Uint8Array;
}

/** The tensors of one file, by row: in the order of their offsets, and then of their names. */
export class TensorTable implements Iterable<TensorInfo> {
  readonly names: Names;
  readonly columns: TensorColumns;
  /** The sizes of all dimensions, one tensor after the other. */
  readonly #sizes: Float64Array;
  readonly #places: Places;

  constructor(names: Names, columns: TensorColumns, sizes: Float64Array) {
    this.names = names;
    this.columns = columns;
    this.#sizes = sizes;
    this.#places = new Places(columns.ids);
  }

  get length(): number {
    return this.columns.ids.length;
  }

  dtypeOf(row: number): Dtype {
    return DTYPES[this.columns.dtypes[row] ?? 0] as Dtype;
  }

  rankOf(row: number): number {
    return this.columns.ranks[row] ?? 0;
  }

  shapeOf(row: number): Shape {
    const first = this.columns.firsts[row] ?? 0;
    return Array.from(this.#sizes.subarray(first, first + this.rankOf(row)));
  }

  /** By dtype and shape; undefined as tensorBytes. */
  bytesOf(row: number): number | undefined {
    const first = this.columns.firsts[row] ?? 0;
    return tensorBytes(this.dtypeOf(row), this.#sizes, first, first + this.rankOf(row));
  }

  /** The row of the name with this number; -1 without. */
  rowOf(id: number): number {
    return this.#places.of(id);
  }

  at(row: number): TensorInfo {
    const { ids, begins, ends } = this.columns;
    const name = this.names.textOf(ids[row] ?? 0);
    const range = { begin: begins[row] ?? 0, end: ends[row] ?? 0 };
    return { name, path: [name], dtype: this.dtypeOf(row), shape: this.shapeOf(row), range };
  }

  *[Symbol.iterator](): IterableIterator<TensorInfo> {
    for (let row = 0; row < this.length; row++) {
      yield this.at(row);
    }
  }
}

/** The texts of `__metadata__` by name. They stay in the header until somebody asks: an update has a checksum of each tensor there. */
export class NamedTexts {
  readonly names: Names;
  /** The number of each name, in the order of the header. */
  readonly ids: Int32Array;
  readonly #bytes: Buffer;
  /** Where each text begins and ends, with its quotes. */
  readonly #starts: Int32Array;
  readonly #ends: Int32Array;
  readonly #places: Places;

  /** @param bytes the header's JSON. */
  constructor(names: Names, bytes: Uint8Array, { ids, starts, ends }: TextColumns) {
    this.names = names;
    this.ids = ids;
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#starts = starts;
    this.#ends = ends;
    this.#places = new Places(ids);
  }

  /** The row of the name with this number; -1 without. */
  rowOf(id: number): number {
    return this.#places.of(id);
  }

  textAt(row: number): string {
    const json = this.#bytes.subarray(this.#starts[row], this.#ends[row]);
    return new JsonScanner(json, "").string();
  }

  get(name: string): string | undefined {
    const id = this.names.idOf(name);
    const row = id === undefined ? -1 : this.rowOf(id);
    return row < 0 ? undefined : this.textAt(row);
  }

  has(name: string): boolean {
    const id = this.names.idOf(name);
    return id !== undefined && this.rowOf(id) >= 0;
  }

  *[Symbol.iterator](): IterableIterator<[string, string]> {
    for (let row = 0; row < this.ids.length; row++) {
      yield [this.names.textOf(this.ids[row] ?? 0), this.textAt(row)];
    }
  }

  /**
   * Writes the bytes that a text spells in hex, in lower case, with two digits each, into `target`.
   * @returns does it spell exactly as many bytes as `target` has? If not, the bytes in `target` mean nothing.
   */
  readHex(row: number, target: Uint8Array): boolean {
    const bytes = this.#bytes;
    const start = (this.#starts[row] ?? 0) + 1;
    if ((this.#ends[row] ?? 0) - start - 1 !== 2 * target.length) {
      return false;
    }
    for (let index = 0; index < target.length; index++) {
      const high = DIGITS[bytes[start + 2 * index] ?? 0] ?? NO_DIGIT;
      const low = DIGITS[bytes[start + 2 * index + 1] ?? 0] ?? NO_DIGIT;
      if ((high | low) > 15) {
        return false;
      }
      target[index] = 16 * high + low;
    }
    return true;
  }
}

export interface TextColumns {
  readonly ids: Int32Array;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

const NO_DIGIT = 0xff;
const DIGITS = new Uint8Array(256).fill(NO_DIGIT);
for (const [value, digit] of [..."0123456789abcdef"].entries()) {
  DIGITS[digit.charCodeAt(0)] = value;
}
