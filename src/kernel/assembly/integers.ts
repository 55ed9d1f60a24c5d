/** Operations without rounding: integers modulo 2^(8 width), XOR, and the comparison of words. */

@inline
function combine(width: u32, self: v128, other: v128, negative: bool): v128 {
  if (width == 1) {
    return negative ? i8x16.sub(self, other) : i8x16.add(self, other);
  }
  if (width == 2) {
    return negative ? i16x8.sub(self, other) : i16x8.add(self, other);
  }
  if (width == 4) {
    return negative ? i32x4.sub(self, other) : i32x4.add(self, other);
  }
  return negative ? i64x2.sub(self, other) : i64x2.add(self, other);
}

@inline
function combineAll(width: u32, source: usize, target: usize, count: u32, negative: bool): void {
  const bytes = <usize>count * width;
  let at: usize = 0;
  for (; at + 16 <= bytes; at += 16) {
    v128.store(target + at, combine(width, v128.load(target + at), v128.load(source + at), negative));
  }
  // The rest goes one element at a time: vectors would read past the end.
  for (; at < bytes; at += width) {
    if (width == 1) {
      const other = load<u8>(source + at);
      store<u8>(target + at, negative ? load<u8>(target + at) - other : load<u8>(target + at) + other);
    } else if (width == 2) {
      const other = load<u16>(source + at);
      store<u16>(target + at, negative ? load<u16>(target + at) - other : load<u16>(target + at) + other);
    } else if (width == 4) {
      const other = load<u32>(source + at);
      store<u32>(target + at, negative ? load<u32>(target + at) - other : load<u32>(target + at) + other);
    } else {
      const other = load<u64>(source + at);
      store<u64>(target + at, negative ? load<u64>(target + at) - other : load<u64>(target + at) + other);
    }
  }
}

/** See Kernel.addIntegers and Kernel.subtractIntegers. width: 1, 2, 4 or 8 bytes. */
export function addIntegers(width: u32, source: usize, target: usize, count: u32, negative: bool): void {
  if (width == 1) {
    combineAll(1, source, target, count, negative);
  } else if (width == 2) {
    combineAll(2, source, target, count, negative);
  } else if (width == 4) {
    combineAll(4, source, target, count, negative);
  } else {
    combineAll(8, source, target, count, negative);
  }
}

/** See Kernel.xor. */
export function xorBytes(source: usize, target: usize, count: u32): void {
  let at: usize = 0;
  for (; at + 16 <= <usize>count; at += 16) {
    v128.store(target + at, v128.xor(v128.load(target + at), v128.load(source + at)));
  }
  for (; at < <usize>count; at++) {
    store<u8>(target + at, load<u8>(target + at) ^ load<u8>(source + at));
  }
}

/** See Kernel.countDifferent. */
export function countDifferent(first: usize, second: usize, count: u32): u32 {
  let equal: v128 = i32x4.splat(0);
  const vectors = count / 4;
  for (let i: u32 = 0; i < vectors; i++) {
    // A lane of equal words is -1, so the lanes count downwards.
    equal = i32x4.add(equal, i32x4.eq(v128.load(first + (<usize>i << 4)), v128.load(second + (<usize>i << 4))));
  }
  let same: u32 = -(
    i32x4.extract_lane(equal, 0) +
    i32x4.extract_lane(equal, 1) +
    i32x4.extract_lane(equal, 2) +
    i32x4.extract_lane(equal, 3)
  );
  for (let i: u32 = vectors * 4; i < count; i++) {
    same += load<u32>(first + (<usize>i << 2)) == load<u32>(second + (<usize>i << 2)) ? 1 : 0;
  }
  return count - same;
}
