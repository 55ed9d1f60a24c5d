/** Operations for masks and counters only. These are rare and small, so plain loops are fast enough. Little-endian bytes. */
import type { Dtype } from "../formats/dtype.js";

/** target = target or source, as torch adds two bool tensors. */
export function orBytes(target: Uint8Array, source: Uint8Array): void {
  for (let i = 0; i < target.length; i++) {
    target[i] = target[i] !== 0 || source[i] !== 0 ? 1 : 0;
  }
}

/** torch's sum of a bool or integer tensor (int64), as a number: exact up to 2^53. */
export function sumIntegers(bytes: Uint8Array, dtype: Dtype): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const read = READERS[dtype];
  let sum = 0n;
  if (read !== undefined) {
    for (let at = 0; at < bytes.length; at += read.width) {
      sum += read.at(view, at);
    }
  }
  return Number(BigInt.asIntN(64, sum));
}

interface Reader {
  readonly width: number;
  at(view: DataView, offset: number): bigint;
}

const READERS: Partial<Record<Dtype, Reader>> = {
  BOOL: { width: 1, at: (view, offset) => BigInt(view.getUint8(offset)) },
  U8: { width: 1, at: (view, offset) => BigInt(view.getUint8(offset)) },
  I8: { width: 1, at: (view, offset) => BigInt(view.getInt8(offset)) },
  U16: { width: 2, at: (view, offset) => BigInt(view.getUint16(offset, true)) },
  I16: { width: 2, at: (view, offset) => BigInt(view.getInt16(offset, true)) },
  U32: { width: 4, at: (view, offset) => BigInt(view.getUint32(offset, true)) },
  I32: { width: 4, at: (view, offset) => BigInt(view.getInt32(offset, true)) },
  U64: { width: 8, at: (view, offset) => view.getBigUint64(offset, true) },
  I64: { width: 8, at: (view, offset) => view.getBigInt64(offset, true) },
};
