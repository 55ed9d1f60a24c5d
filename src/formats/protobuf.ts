/**
 * Messages of Protocol Buffers without their schema (protobuf.dev, "Encoding"): the number of each field and its value, in the order of the
 * bytes. Groups, which proto2 deprecated, are refused.
 */
import { WeightDiffError } from "../errors.js";

/** A varint as a number, rounded above 2^53. Four or eight bytes, a message, a text or packed numbers as their bytes. */
export type FieldValue = number | Uint8Array;

/** Bytes of a 64-bit varint, which has seven bits in each. */
const MAX_VARINT_BYTES = 10;
const FIXED_BYTES: Readonly<Record<number, number>> = { 1: 8, 5: 4 };

/** @param what the format, for messages. @throws {WeightDiffError} FORMAT_INVALID. */
export function eachField(bytes: Uint8Array, what: string, take: (field: number, value: FieldValue) => void): void {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let place = 0; place < MAX_VARINT_BYTES; place++) {
      const byte = bytes[at++];
      if (byte === undefined) {
        break;
      }
      value += (byte & 0x7f) * 2 ** (7 * place);
      if (byte < 0x80) {
        return value;
      }
    }
    throw new WeightDiffError("FORMAT_INVALID", `is no ${what}: a number in it does not end`);
  };
  const slice = (length: number): Uint8Array => {
    if (length > bytes.length - at) {
      throw new WeightDiffError("FORMAT_INVALID", `is no ${what}: it ends within a field`);
    }
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = varint();
    const [field, wire] = [Math.floor(tag / 8), tag % 8];
    const fixed = FIXED_BYTES[wire];
    if (field < 1 || (wire !== 0 && wire !== 2 && fixed === undefined)) {
      throw new WeightDiffError("FORMAT_INVALID", `is no ${what}`);
    }
    take(field, wire === 0 ? varint() : slice(fixed ?? varint()));
  }
}
