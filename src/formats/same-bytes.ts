/** Compares bytes in place, four at a time: names and entries of headers are compared millions of times, and calls that leave JavaScript cost more. */

/** @returns are these `length` bytes alike? They differ, too, where either view ends before. */
export function sameBytes(a: DataView, inA: number, b: DataView, inB: number, length: number): boolean {
  if (inA + length > a.byteLength || inB + length > b.byteLength) {
    return false;
  }
  // Names differ mostly at their ends.
  let left = length;
  for (; left >= 4; left -= 4) {
    if (a.getInt32(inA + left - 4) !== b.getInt32(inB + left - 4)) {
      return false;
    }
  }
  for (; left > 0; left--) {
    if (a.getUint8(inA + left - 1) !== b.getUint8(inB + left - 1)) {
      return false;
    }
  }
  return true;
}

export function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
