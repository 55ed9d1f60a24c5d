/** Counts NaN, infinities and zeros on the stored bit patterns. Nothing is widened, so a tiny F64 is not zero. */
import { BF16, F16, F32, sizeShift } from "./bits";

/** Vectors in a round. A 16-bit lane counts at most one element of each vector. */
const ROUND: u32 = 32768;

/** All ones in the 16-bit lanes whose magnitude is above, at, or zero. Subtracting these adds one to a counter. */
@inline
function count16(infinity: i32, source: usize, vectors: u32, target: usize): void {
  const magnitude = i16x8.splat(0x7fff);
  const top = i16x8.splat(<i16>infinity);
  const zeros = i16x8.splat(0);
  let nan = zeros;
  let infinite = zeros;
  let zero = zeros;
  for (let i: u32 = 0; i < vectors; i++) {
    const x = v128.and(v128.load(source), magnitude);
    nan = i16x8.sub(nan, i16x8.gt_s(x, top));
    infinite = i16x8.sub(infinite, i16x8.eq(x, top));
    zero = i16x8.sub(zero, i16x8.eq(x, zeros));
    source += 16;
  }
  add32(target, i32x4.extadd_pairwise_i16x8_u(nan));
  add32(target + 4, i32x4.extadd_pairwise_i16x8_u(infinite));
  add32(target + 8, i32x4.extadd_pairwise_i16x8_u(zero));
}

@inline
function count32(source: usize, vectors: u32, target: usize): void {
  const magnitude = i32x4.splat(0x7fffffff);
  const top = i32x4.splat(0x7f800000);
  const zeros = i32x4.splat(0);
  let nan = zeros;
  let infinite = zeros;
  let zero = zeros;
  for (let i: u32 = 0; i < vectors; i++) {
    const x = v128.and(v128.load(source), magnitude);
    nan = i32x4.sub(nan, i32x4.gt_s(x, top));
    infinite = i32x4.sub(infinite, i32x4.eq(x, top));
    zero = i32x4.sub(zero, i32x4.eq(x, zeros));
    source += 16;
  }
  add32(target, nan);
  add32(target + 4, infinite);
  add32(target + 8, zero);
}

/** Adds the four lanes to the counter at `target`. */
@inline
function add32(target: usize, counts: v128): void {
  const sum =
    i32x4.extract_lane(counts, 0) +
    i32x4.extract_lane(counts, 1) +
    i32x4.extract_lane(counts, 2) +
    i32x4.extract_lane(counts, 3);
  store<u32>(target, load<u32>(target) + sum);
}

function countEach(dtype: u32, source: usize, count: u32, target: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    let magnitude: u64;
    let infinity: u64;
    if (dtype == F16 || dtype == BF16) {
      magnitude = load<u16>(source) & 0x7fff;
      infinity = dtype == F16 ? 0x7c00 : 0x7f80;
    } else if (dtype == F32) {
      magnitude = load<u32>(source) & 0x7fffffff;
      infinity = 0x7f800000;
    } else {
      magnitude = load<u64>(source) & 0x7fffffffffffffff;
      infinity = 0x7ff0000000000000;
    }
    const at = magnitude > infinity ? target : magnitude == infinity ? target + 4 : target + 8;
    if (magnitude >= infinity || magnitude == 0) {
      store<u32>(at, load<u32>(at) + 1);
    }
    source += <usize>1 << sizeShift(dtype);
  }
}

/** See Kernel.countSpecial. */
export function countSpecial(dtype: u32, source: usize, target: usize, count: u32): void {
  store<u32>(target, 0);
  store<u32>(target, 0, 4);
  store<u32>(target, 0, 8);
  const perVector: u32 = dtype == F32 ? 4 : dtype == F16 || dtype == BF16 ? 8 : 0;
  let vectors: u32 = perVector == 0 ? 0 : count / perVector;
  const rest: u32 = count - vectors * perVector;
  while (vectors > 0) {
    const round: u32 = vectors < ROUND ? vectors : ROUND;
    if (dtype == F32) {
      count32(source, round, target);
    } else if (dtype == F16) {
      count16(0x7c00, source, round, target);
    } else {
      count16(0x7f80, source, round, target);
    }
    source += <usize>round << 4;
    vectors -= round;
  }
  countEach(dtype, source, rest, target);
}
