/**
 * Keys of JSON objects, each kept as one string: the headers of a model, and of the steps of a chain, name the same tensors again and
 * again, and one string for all of them takes less memory than a copy for each, and less time to compare.
 */

/** Bytes: a longer key is made anew each time. */
export const MOST_KEPT = 128;
/** Keys that are kept at most; with more, the first ones are forgotten. */
const MOST_KEYS = 1 << 17;
/** Places that are looked at for one key. */
const NEAR = 4;

let kept: (string | undefined)[] = new Array(1 << 10);
let count = 0;

/** @param hash of these bytes, which are ASCII, as `hashed` makes it. */
export function keptKey(bytes: Buffer, start: number, end: number, hash: number): string {
  for (let near = 0; near < NEAR; near++) {
    const key = kept[(hash + near) & (kept.length - 1)];
    if (key === undefined) {
      break;
    }
    if (isText(key, bytes, start, end)) {
      return key;
    }
  }
  const key = bytes.toString("latin1", start, end);
  keep(key, hash);
  return key;
}

/** One more byte. FNV-1a, of 32 bits. */
export function hashed(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

export const NO_BYTES = 0x811c9dc5;

/** Are these bytes this ASCII text? */
export function isText(text: string, bytes: Buffer, start: number, end: number): boolean {
  if (text.length !== end - start) {
    return false;
  }
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) !== bytes[start + index]) {
      return false;
    }
  }
  return true;
}

function keep(key: string, hash: number): void {
  if (4 * count > kept.length && kept.length < MOST_KEYS) {
    const before = kept;
    kept = new Array(2 * before.length);
    count = 0;
    for (const one of before) {
      if (one !== undefined) {
        keep(one, hashOf(one));
      }
    }
  }
  for (let near = 0; near < NEAR; near++) {
    const place = (hash + near) & (kept.length - 1);
    if (kept[place] === undefined) {
      kept[place] = key;
      count += 1;
      return;
    }
  }
  kept[hash & (kept.length - 1)] = key;
}

function hashOf(key: string): number {
  let hash = NO_BYTES;
  for (let index = 0; index < key.length; index++) {
    hash = hashed(hash, key.charCodeAt(index));
  }
  return hash;
}
