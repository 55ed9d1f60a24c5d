/** Multiplies rows of a matrix by the inputs of several tokens. multiply.ts is the oracle; both give the same bits. */

/** The product of one row with one input: four lanes in the order of the columns, (0 + 1) + (2 + 3), then the remaining columns. */
@inline
function total(lanes: v128, row: usize, input: usize, whole: usize, end: usize): f32 {
  let sum =
    f32x4.extract_lane(lanes, 0) +
    f32x4.extract_lane(lanes, 1) +
    (f32x4.extract_lane(lanes, 2) + f32x4.extract_lane(lanes, 3));
  for (let k = whole; k < end; k += 4) {
    sum += load<f32>(row + k) * load<f32>(input + k);
  }
  return sum;
}

@inline
function step(lanes: v128, weights: v128, inputs: v128): v128 {
  return f32x4.add(lanes, f32x4.mul(weights, inputs));
}

/** Four rows by two tokens: as many sums as there are registers. */
@inline
function fourByTwo(row: usize, input: usize, bytes: usize, output: usize, stride: usize): void {
  const whole = bytes & ~15;
  const row1 = row + bytes;
  const row2 = row1 + bytes;
  const row3 = row2 + bytes;
  const input1 = input + bytes;
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let a2 = f32x4.splat(0);
  let a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let b2 = f32x4.splat(0);
  let b3 = f32x4.splat(0);
  for (let k: usize = 0; k < whole; k += 16) {
    const a = v128.load(input + k);
    const b = v128.load(input1 + k);
    const w0 = v128.load(row + k);
    a0 = step(a0, w0, a);
    b0 = step(b0, w0, b);
    const w1 = v128.load(row1 + k);
    a1 = step(a1, w1, a);
    b1 = step(b1, w1, b);
    const w2 = v128.load(row2 + k);
    a2 = step(a2, w2, a);
    b2 = step(b2, w2, b);
    const w3 = v128.load(row3 + k);
    a3 = step(a3, w3, a);
    b3 = step(b3, w3, b);
  }
  store<f32>(output, total(a0, row, input, whole, bytes));
  store<f32>(output, total(a1, row1, input, whole, bytes), 4);
  store<f32>(output, total(a2, row2, input, whole, bytes), 8);
  store<f32>(output, total(a3, row3, input, whole, bytes), 12);
  const output1 = output + stride;
  store<f32>(output1, total(b0, row, input1, whole, bytes));
  store<f32>(output1, total(b1, row1, input1, whole, bytes), 4);
  store<f32>(output1, total(b2, row2, input1, whole, bytes), 8);
  store<f32>(output1, total(b3, row3, input1, whole, bytes), 12);
}

@inline
function fourByOne(row: usize, input: usize, bytes: usize, output: usize): void {
  const whole = bytes & ~15;
  const row1 = row + bytes;
  const row2 = row1 + bytes;
  const row3 = row2 + bytes;
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let a2 = f32x4.splat(0);
  let a3 = f32x4.splat(0);
  for (let k: usize = 0; k < whole; k += 16) {
    const a = v128.load(input + k);
    a0 = step(a0, v128.load(row + k), a);
    a1 = step(a1, v128.load(row1 + k), a);
    a2 = step(a2, v128.load(row2 + k), a);
    a3 = step(a3, v128.load(row3 + k), a);
  }
  store<f32>(output, total(a0, row, input, whole, bytes));
  store<f32>(output, total(a1, row1, input, whole, bytes), 4);
  store<f32>(output, total(a2, row2, input, whole, bytes), 8);
  store<f32>(output, total(a3, row3, input, whole, bytes), 12);
}

function oneByOne(row: usize, input: usize, bytes: usize, output: usize): void {
  const whole = bytes & ~15;
  let a0 = f32x4.splat(0);
  for (let k: usize = 0; k < whole; k += 16) {
    a0 = step(a0, v128.load(row + k), v128.load(input + k));
  }
  store<f32>(output, total(a0, row, input, whole, bytes));
}

/** See Kernel.multiply. */
export function multiply(
  weights: usize,
  rows: u32,
  columns: u32,
  inputs: usize,
  tokens: u32,
  outputs: usize,
  stride: u32,
): void {
  const bytes = <usize>columns << 2;
  const pitch = <usize>stride << 2;
  const fours = rows & ~3;
  for (let r: u32 = 0; r < fours; r += 4) {
    const row = weights + <usize>r * bytes;
    const output = outputs + (<usize>r << 2);
    let t: u32 = 0;
    for (; t + 2 <= tokens; t += 2) {
      fourByTwo(row, inputs + <usize>t * bytes, bytes, output + <usize>t * pitch, pitch);
    }
    if (t < tokens) {
      fourByOne(row, inputs + <usize>t * bytes, bytes, output + <usize>t * pitch);
    }
  }
  for (let r = fours; r < rows; r++) {
    for (let t: u32 = 0; t < tokens; t++) {
      oneByOne(weights + <usize>r * bytes, inputs + <usize>t * bytes, bytes, outputs + <usize>t * pitch + (<usize>r << 2));
    }
  }
}
