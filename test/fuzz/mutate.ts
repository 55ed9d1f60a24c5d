/** Mutations of bytes, by a generator that a seed determines: the same seed makes the same inputs. */

/** Whole numbers in [0, below). */
export type Random = (below: number) => number;

/** xorshift32 (Marsaglia, "Xorshift RNGs", 2003). */
export function random(seed: number): Random {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % Math.max(1, below);
  };
}

/** Lengths, counts and offsets that readers trip over. */
const NUMBERS = [
  0n,
  1n,
  127n,
  128n,
  255n,
  65_535n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  1n << 53n,
  (1n << 63n) - 1n,
  (1n << 64n) - 1n,
];
/** Words that text formats trip over. */
const WORDS = [
  "-1",
  "1e300",
  "0.5",
  "9007199254740993",
  "null",
  "true",
  '""',
  "[]",
  "{}",
  '"__proto__"',
  "NaN",
  "[[[[",
  '"\\ud800"',
  "\u0000",
  "\u202e",
  '"../../x"',
];

/** One to eight changes of `bytes`. @param other what pieces may be taken from. */
export function mutate(bytes: Uint8Array, other: Uint8Array, next: Random): Uint8Array {
  let out = bytes;
  for (let count = 1 + next(8); count > 0; count--) {
    const change = CHANGES[next(CHANGES.length)];
    out = change === undefined ? out : change(out, other, next);
  }
  return out;
}

type Change = (bytes: Uint8Array, other: Uint8Array, next: Random) => Uint8Array;

const replaced = (bytes: Uint8Array, at: number, cut: number, put: Uint8Array): Uint8Array =>
  Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(Math.min(bytes.length, at + cut))]);

const CHANGES: readonly Change[] = [
  (bytes, _, next) => {
    const out = Uint8Array.from(bytes);
    const at = next(out.length);
    out[at] = (out[at] ?? 0) ^ (1 << next(8));
    return out;
  },
  (bytes, _, next) => {
    const out = Uint8Array.from(bytes);
    out[next(out.length)] = next(256);
    return out;
  },
  (bytes, _, next) => {
    const width = [1, 2, 4, 8][next(4)] ?? 4;
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(NUMBERS[next(NUMBERS.length)] ?? 0n);
    return replaced(bytes, next(bytes.length), width, value.subarray(0, width));
  },
  (bytes, _, next) => replaced(bytes, next(bytes.length), next(16), new Uint8Array()),
  (bytes, _, next) =>
    replaced(bytes, next(bytes.length), 0, bytes.subarray(next(bytes.length)).subarray(0, 1 + next(64))),
  (bytes, other, next) =>
    replaced(bytes, next(bytes.length), next(32), other.subarray(next(other.length)).subarray(0, next(64))),
  (bytes, _, next) => bytes.subarray(0, next(bytes.length + 1)),
  (bytes, _, next) => replaced(bytes, next(bytes.length), next(8), Buffer.from(WORDS[next(WORDS.length)] ?? "")),
  (bytes, _, next) => {
    // A number somewhere in a text becomes another one.
    const text = Buffer.from(bytes).toString("latin1");
    const found = [...text.matchAll(/\d+/g)];
    const number = found[next(found.length)];
    return number === undefined
      ? bytes
      : replaced(bytes, number.index, number[0].length, Buffer.from(String(NUMBERS[next(NUMBERS.length)])));
  },
];
