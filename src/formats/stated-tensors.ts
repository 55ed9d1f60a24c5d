/** What a header of safetensors states, as it is read: columns that grow, and then become a table. */
import { Column } from "./column.js";
import { DTYPES, type Dtype } from "./dtype.js";
import type { Names } from "./names.js";
import { type TensorColumns, TensorTable, type TextColumns } from "./tensor-table.js";

/** The first numbers of a list. */
interface NumberList {
  readonly numbers: readonly number[];
  readonly length: number;
}

/** The tensors in the order of the header. Their offsets count from the start of the data. */
export class StatedTensors {
  readonly #names: Names;
  readonly #ids: Column<Int32Array>;
  readonly #dtypes: Column<Uint8Array>;
  readonly #begins: Column<Float64Array>;
  readonly #ends: Column<Float64Array>;
  readonly #firsts: Column<Int32Array>;
  readonly #ranks: Column<Uint8Array>;
  readonly #sizes: Column<Float64Array>;
  /** The dtype of the latest tensor, and its index. */
  #dtype: Dtype | null = null;
  #code = 0;

  /** @param room for so many tensors at first. */
  constructor(names: Names, room: number) {
    this.#names = names;
    this.#ids = new Column(Int32Array, room);
    this.#dtypes = new Column(Uint8Array, room);
    this.#begins = new Column(Float64Array, room);
    this.#ends = new Column(Float64Array, room);
    this.#firsts = new Column(Int32Array, room);
    this.#ranks = new Column(Uint8Array, room);
    this.#sizes = new Column(Float64Array, room);
  }

  /** @param id the number of its name. */
  add(id: number, dtype: Dtype, shape: NumberList, offsets: NumberList): void {
    this.#ids.push(id);
    if (dtype !== this.#dtype) {
      this.#dtype = dtype;
      this.#code = DTYPES.indexOf(dtype);
    }
    this.#dtypes.push(this.#code);
    this.#begins.push(offsets.numbers[0] ?? 0);
    this.#ends.push(offsets.numbers[1] ?? 0);
    this.#firsts.push(this.#sizes.size);
    this.#ranks.push(shape.length);
    for (let index = 0; index < shape.length; index++) {
      this.#sizes.push(shape.numbers[index] ?? 0);
    }
  }

  /** In the order of a table. */
  table(): TensorTable {
    const columns: TensorColumns = {
      ids: this.#ids.all(),
      dtypes: this.#dtypes.all(),
      begins: this.#begins.all(),
      ends: this.#ends.all(),
      firsts: this.#firsts.all(),
      ranks: this.#ranks.all(),
    };
    return new TensorTable(this.#names, inOrder(columns, this.#names), this.#sizes.all());
  }
}

/** By offset, then by name. Most files are in this order. */
function inOrder(columns: TensorColumns, names: Names): TensorColumns {
  const { ids, dtypes, begins, ends, firsts, ranks } = columns;
  const compare = (a: number, b: number): number =>
    (begins[a] ?? 0) - (begins[b] ?? 0) ||
    (ends[a] ?? 0) - (ends[b] ?? 0) ||
    (names.textOf(ids[a] ?? 0) < names.textOf(ids[b] ?? 0) ? -1 : 1);
  let sorted = true;
  for (let row = 1; row < ids.length && sorted; row++) {
    sorted = compare(row - 1, row) < 0;
  }
  if (sorted) {
    return columns;
  }
  const order = Array.from(ids, (_, row) => row).sort(compare);
  const sort = <T extends Int32Array | Uint8Array | Float64Array>(column: T): T =>
    column.map((_: number, row: number) => column[order[row] ?? 0] ?? 0) as T;
  return {
    ...{ ids: sort(ids), dtypes: sort(dtypes), begins: sort(begins) },
    ...{ ends: sort(ends), firsts: sort(firsts), ranks: sort(ranks) },
  };
}

/** The texts of `__metadata__`: the numbers of their names, and where each stands. */
export class StatedTexts {
  readonly ids: Column<Int32Array>;
  readonly starts: Column<Int32Array>;
  readonly ends: Column<Int32Array>;

  /** @param room for so many texts at first. */
  constructor(room: number) {
    this.ids = new Column(Int32Array, room);
    this.starts = new Column(Int32Array, room);
    this.ends = new Column(Int32Array, room);
  }

  columns(): TextColumns {
    return { ids: this.ids.all(), starts: this.starts.all(), ends: this.ends.all() };
  }
}
