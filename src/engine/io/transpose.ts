/**
 * Transposes a block of a matrix: what lies side by side in storage comes to lie a row apart. Elements of 16 bits are transposed two by
 * two, four in two words, wherever rows of the tensor are neighbours in storage.
 */

/** Stretches of storage, `pitch` elements apart. Of this and of the target the length in bytes is a multiple of 4. */
interface MatrixBlock {
  readonly block: ArrayBuffer;
  /** Even. */
  readonly pitch: number;
  /** Where in a stretch each row has its element. */
  readonly from: Float64Array;
  /** Stretches. */
  readonly many: number;
}

/** A matrix of rows of `columns` elements; the block's first stretch is its column `column`. */
export interface Target {
  readonly transposed: ArrayBuffer;
  readonly columns: number;
  readonly column: number;
}

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Copies the block's elements, `width` bytes each (2 or 4), to their places. */
export function transposeBlock(block: MatrixBlock, target: Target, width: number): void {
  const { from, many } = block;
  const inPairs =
    width === 2 &&
    LITTLE_ENDIAN &&
    target.columns % 2 === 0 &&
    target.column % 2 === 0 &&
    from.every((offset, row) => offset === row);
  const [rows, columns] = inPairs ? [from.length - (from.length % 2), many - (many % 2)] : [0, 0];
  transposePairs(block, target, rows, columns);
  transposeEach(block, target, width, 0, rows, columns);
  transposeEach(block, target, width, rows, from.length, 0);
}

function transposePairs(
  { block, pitch }: MatrixBlock,
  { transposed, columns, column }: Target,
  rows: number,
  many: number,
): void {
  const source = new Uint32Array(block);
  const words = new Uint32Array(transposed);
  const apart = pitch / 2;
  const below = columns / 2;
  for (let row = 0; row < rows; row += 2) {
    let from = row / 2;
    const first = (row * columns + column) / 2;
    for (let at = first; at < first + many / 2; at++) {
      const left = source[from] ?? 0;
      const right = source[from + apart] ?? 0;
      words[at] = (left & 0xffff) | (right << 16);
      words[at + below] = (left >>> 16) | (right & 0xffff0000);
      from += pitch;
    }
  }
}

/** Rows [begin, end), from the stretch `first` on. */
function transposeEach(
  { block, pitch, from, many }: MatrixBlock,
  { transposed, columns, column }: Target,
  width: number,
  begin: number,
  end: number,
  first: number,
): void {
  const Words = width === 2 ? Uint16Array : Uint32Array;
  const [source, words] = [new Words(block), new Words(transposed)];
  for (let row = begin; row < end; row++) {
    const offset = from[row] ?? 0;
    const at = row * columns + column;
    for (let c = first; c < many; c++) {
      words[at + c] = source[offset + c * pitch] ?? 0;
    }
  }
}
