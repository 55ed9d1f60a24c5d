/** F32 += F16 | BF16 | F32 | F64, or -= (docs/arithmetic.md 2). */
import { addBits, addend, BF16, F16, F32, F64, loadBits, signsOf, sizeShift } from "./bits";
import { BLOCK, F16_NORMAL, isFinite16, isNormal16, load4 } from "./widen";

@inline
function sum4(dtype: u32, source: usize, target: usize, flip: v128): v128 {
  return f32x4.add(v128.load(target), v128.xor(load4(dtype, source), flip));
}

@inline
function addBlock(dtype: u32, source: usize, target: usize, operation: u32): void {
  const size: usize = 4 << sizeShift(dtype);
  const signs = signsOf(operation);
  const a = sum4(dtype, source, target, signs);
  const b = sum4(dtype, source + size, target + 16, signs);
  const c = sum4(dtype, source + size * 2, target + 32, signs);
  const d = sum4(dtype, source + size * 3, target + 48, signs);
  const nan = v128.or(v128.or(f32x4.ne(a, a), f32x4.ne(b, b)), v128.or(f32x4.ne(c, c), f32x4.ne(d, d)));
  if (v128.any_true(nan)) {
    addEach(dtype == F16_NORMAL ? F16 : dtype, source, target, BLOCK, operation);
    return;
  }
  v128.store(target, a);
  v128.store(target, b, 16);
  v128.store(target, c, 32);
  v128.store(target, d, 48);
}

@inline
function addAll(dtype: u32, source: usize, target: usize, count: u32, operation: u32): void {
  const size: usize = BLOCK << sizeShift(dtype);
  const blocks = count / BLOCK;
  for (let block: u32 = 0; block < blocks; block++) {
    if (dtype == F16 && isNormal16(source)) {
      addBlock(F16_NORMAL, source, target, operation);
    } else if (dtype == F16 && !isFinite16(source)) {
      addEach(F16, source, target, BLOCK, operation);
    } else {
      addBlock(dtype, source, target, operation);
    }
    source += size;
    target += 64;
  }
  addEach(dtype, source, target, count % BLOCK, operation);
}

/** torch computes fma(other, 1, self): of two NaNs the source's stays. */
function addEach(dtype: u32, source: usize, target: usize, count: u32, operation: u32): void {
  for (let i: usize = 0; i < count; i++) {
    const at = target + (i << 2);
    store<u32>(at, addBits(addend(loadBits(dtype, source + (i << sizeShift(dtype))), operation), load<u32>(at)));
  }
}

/** See Kernel.add, Kernel.subtract and Kernel.addNegated. */
export function add(dtype: u32, source: usize, target: usize, count: u32, operation: u32): void {
  if (dtype == F16) {
    addAll(F16, source, target, count, operation);
  } else if (dtype == BF16) {
    addAll(BF16, source, target, count, operation);
  } else if (dtype == F32) {
    addAll(F32, source, target, count, operation);
  } else {
    addAll(F64, source, target, count, operation);
  }
}
