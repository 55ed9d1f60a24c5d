/** The units of coded windows (docs/formats.md 3): differences in order of value, tokens and extra bits. coder-scalar.ts is the oracle. */

@inline
export function loadUnit(width: u32, at: usize): u32 {
  return width == 1 ? load<u8>(at) : width == 2 ? load<u16>(at) : load<u32>(at);
}

@inline
export function storeUnit(width: u32, at: usize, unit: u32): void {
  if (width == 1) {
    store<u8>(at, unit);
  } else if (width == 2) {
    store<u16>(at, unit);
  } else {
    store<u32>(at, unit);
  }
}

/** The class of a unit of the base, which chooses the table. */
@inline
export function classOf(unit: u32, shift: u32, mask: u32): u32 {
  return (unit >> shift) & mask;
}

/** All bits of a unit but the highest. */
@inline
function lowBits(width: u32): u32 {
  return (<u32>1 << (8 * width - 1)) - 1;
}

/**
 * The difference of `tuned` from `base` as an unsigned number: 0, -1, 1, -2 … are 0, 1, 2, 3 … For ordered units it counts values, and is
 * positive away from zero on the base's side.
 */
@inline
export function difference(width: u32, ordered: bool, base: u32, tuned: u32): u32 {
  const low = lowBits(width);
  const top = low + 1;
  let steps = tuned - base;
  if (ordered) {
    const value = tuned ^ (base & top);
    steps = (value & top ? value ^ low : value) - (base & low);
  }
  const unused = 32 - 8 * width;
  const signed = <i32>(steps << unused) >> unused;
  return (signed << 1) ^ (signed >> 31);
}

/** The unit at that difference from `base`. */
@inline
export function apply(width: u32, ordered: bool, base: u32, difference: u32): u32 {
  const low = lowBits(width);
  const top = low + 1;
  const steps = (difference >> 1) ^ -(difference & 1);
  if (!ordered) {
    return base + steps;
  }
  const value = (base & low) + steps;
  return (value & top ? value ^ low : value) ^ (base & top);
}

/** Moves the sign of an ordered unit to its lowest bit. Then the highest eight bits are exponent and mantissa. */
@inline
export function rotate(width: u32, ordered: bool, unit: u32): u32 {
  const low = lowBits(width);
  return ordered ? ((unit & low) << 1) | (unit >> (8 * width - 1)) : unit;
}

@inline
export function rotateBack(width: u32, ordered: bool, unit: u32): u32 {
  return ordered ? (unit >> 1) | ((unit & 1) << (8 * width - 1)) : unit;
}

/** How many bits below the highest one a token of a difference holds. */
@inline
export function mantissaBits(width: u32): u32 {
  return width == 1 ? 7 : width == 2 ? 4 : 3;
}
