/** Transposes a block of elements of 16 bits: eight by eight in registers, 32 columns at a time, so that whole lines of the target are written. */

/** Columns for which a line of 64 bytes of each row has room. */
const LINE: u32 = 32;

/** Element (row, column) of the source, as kernel.ts numbers them. */
@inline
function from(source: usize, pitch: usize, row: usize, column: usize): usize {
  return source + ((column * pitch + row) << 1);
}

@inline
function place(places: usize, row: usize, column: usize, shift: usize): usize {
  return <usize>load<u32>(places + (row << 2)) + ((column + shift) << 1);
}

@inline
function low(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

@inline
function high(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** Eight rows of eight columns: three rounds, in each of which what lies half the matrix apart is interleaved. */
@inline
function transpose8(at: usize, stretch: usize, places: usize, row: usize, column: usize, shift: usize): void {
  const a = v128.load(at);
  const b = v128.load(at + stretch);
  const c = v128.load(at + stretch * 2);
  const d = v128.load(at + stretch * 3);
  const e = v128.load(at + stretch * 4);
  const f = v128.load(at + stretch * 5);
  const g = v128.load(at + stretch * 6);
  const h = v128.load(at + stretch * 7);
  const ae0 = low(a, e);
  const ae1 = high(a, e);
  const bf0 = low(b, f);
  const bf1 = high(b, f);
  const cg0 = low(c, g);
  const cg1 = high(c, g);
  const dh0 = low(d, h);
  const dh1 = high(d, h);
  const even0 = low(ae0, cg0);
  const even1 = high(ae0, cg0);
  const even2 = low(ae1, cg1);
  const even3 = high(ae1, cg1);
  const odd0 = low(bf0, dh0);
  const odd1 = high(bf0, dh0);
  const odd2 = low(bf1, dh1);
  const odd3 = high(bf1, dh1);
  v128.store(place(places, row, column, shift), low(even0, odd0));
  v128.store(place(places, row + 1, column, shift), high(even0, odd0));
  v128.store(place(places, row + 2, column, shift), low(even1, odd1));
  v128.store(place(places, row + 3, column, shift), high(even1, odd1));
  v128.store(place(places, row + 4, column, shift), low(even2, odd2));
  v128.store(place(places, row + 5, column, shift), high(even2, odd2));
  v128.store(place(places, row + 6, column, shift), low(even3, odd3));
  v128.store(place(places, row + 7, column, shift), high(even3, odd3));
}

/** One after the other: what is left at the edges. */
function transposeEach(
  source: usize,
  pitch: usize,
  places: usize,
  shift: usize,
  row: usize,
  rows: usize,
  column: usize,
  columns: usize,
): void {
  for (; row < rows; row++) {
    for (let c = column; c < columns; c++) {
      store<u16>(place(places, row, c, shift), load<u16>(from(source, pitch, row, c)));
    }
  }
}

/** See Kernel.transpose. */
export function transpose(source: usize, pitch: usize, rows: usize, columns: usize, places: usize, shift: usize): void {
  const wholeRows = rows & ~7;
  const wholeColumns = columns & ~7;
  for (let begin: usize = 0; begin < wholeColumns; begin += LINE) {
    const end = min(begin + LINE, wholeColumns);
    for (let row: usize = 0; row < wholeRows; row += 8) {
      for (let column = begin; column < end; column += 8) {
        transpose8(from(source, pitch, row, column), pitch << 1, places, row, column, shift);
      }
    }
  }
  transposeEach(source, pitch, places, shift, 0, wholeRows, wholeColumns, columns);
  transposeEach(source, pitch, places, shift, wholeRows, rows, 0, columns);
}
