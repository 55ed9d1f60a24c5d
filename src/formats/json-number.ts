/** Where a JSON number ends (RFC 8259, section 6). */
import type { Fail } from "./json-escapes.js";

const CODES = { plus: 0x2b, minus: 0x2d, point: 0x2e, zero: 0x30, nine: 0x39, E: 0x45, e: 0x65 } as const;

/** @returns the position after the number that begins at `start`. Ends by `fail` if none does. */
export function numberEnd(bytes: Uint8Array, start: number, fail: Fail): number {
  const whole = start + (bytes[start] === CODES.minus ? 1 : 0);
  let at = digitsEnd(bytes, whole);
  if (at === whole || (at > whole + 1 && bytes[whole] === CODES.zero)) {
    fail("expected a number", at);
  }
  if (bytes[at] === CODES.point) {
    const fraction = at + 1;
    at = digitsEnd(bytes, fraction);
    if (at === fraction) {
      fail("a number ends in its point", at);
    }
  }
  if (bytes[at] === CODES.e || bytes[at] === CODES.E) {
    const sign = bytes[at + 1];
    const exponent = at + (sign === CODES.plus || sign === CODES.minus ? 2 : 1);
    at = digitsEnd(bytes, exponent);
    if (at === exponent) {
      fail("a number has an empty exponent", at);
    }
  }
  return at;
}

function digitsEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  for (let byte = bytes[at]; byte !== undefined && byte >= CODES.zero && byte <= CODES.nine; byte = bytes[at]) {
    at += 1;
  }
  return at;
}
