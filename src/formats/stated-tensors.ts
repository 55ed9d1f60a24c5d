/** What a header of safetensors states, as it is read: columns that grow, and then become a table. */
import { Column, longer, type Numbers } from "./column.js";
import { DTYPES, type Dtype } from "./dtype.js";
import type { Names } from "./names.js";
import { type TensorColumns, TensorTable, type TextColumns } from "./tensor-table.js";

/** The first numbers of a list. */
interface NumberList {
  readonly numbers: Float64Array;
  readonly length: number;
}

/** The tensors in the order of the header. Their offsets count from the start of the data. */
export class StatedTensors {
  readonly #names: Names;
  #columns: TensorColumns;
  #size = 0;
  readonly #sizes: Column<Float64Array>;
  /** The dtype of the latest tensor, and its index. */
  #dtype: Dtype | null = null;
  #code = 0;

  /** @param room for so many tensors at first. */
  constructor(names: Names, room: number) {
    this.#names = names;
    this.#columns = {
      ids: new Int32Array(room),
      dtypes: new Uint8Array(room),
      begins: new Float64Array(room),
      ends: new Float64Array(room),
      firsts: new Int32Array(room),
      ranks: new Uint8Array(room),
    };
    this.#sizes = new Column(Float64Array, room);
  }

  /** @param id the number of its name. */
  add(id: number, dtype: Dtype, shape: NumberList, offsets: NumberList): void {
    const row = this.#size;
    if (row === this.#columns.ids.length) {
      this.#columns = mapColumns(this.#columns, (column) => longer(column));
    }
    const { ids, dtypes, begins, ends, firsts, ranks } = this.#columns;
    this.#size = row + 1;
    if (dtype !== this.#dtype) {
      this.#dtype = dtype;
      this.#code = DTYPES.indexOf(dtype);
    }
    ids[row] = id;
    dtypes[row] = this.#code;
    begins[row] = offsets.numbers[0] ?? 0;
    ends[row] = offsets.numbers[1] ?? 0;
    firsts[row] = this.#sizes.size;
    ranks[row] = shape.length;
    for (let index = 0; index < shape.length; index++) {
      this.#sizes.push(shape.numbers[index] ?? 0);
    }
  }

  /** In the order of a table. */
  table(): TensorTable {
    const columns = mapColumns(this.#columns, (column) => column.subarray(0, this.#size) as typeof column);
    return new TensorTable(this.#names, inOrder(columns, this.#names), this.#sizes.all());
  }
}

function mapColumns(
  { ids, dtypes, begins, ends, firsts, ranks }: TensorColumns,
  make: <T extends Numbers>(column: T) => T,
): TensorColumns {
  return {
    ...{ ids: make(ids), dtypes: make(dtypes), begins: make(begins) },
    ...{ ends: make(ends), firsts: make(firsts), ranks: make(ranks) },
  };
}

/** By offset, then by name. Most files are in this order. */
function inOrder(columns: TensorColumns, names: Names): TensorColumns {
  const { ids, begins, ends } = columns;
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
  return mapColumns(
    columns,
    (column) => column.map((_: number, row: number) => column[order[row] ?? 0] ?? 0) as typeof column,
  );
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
