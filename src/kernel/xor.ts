/** XOR of two short runs of bytes, word by word. The kernel handles long ones. */

/** target ^= key, byte by byte; both have the same length. */
export function xorInto(target: Uint8Array, key: Uint8Array): void {
  const aligned = target.byteOffset % 4 === 0 && key.byteOffset % 4 === 0;
  const words = aligned ? target.length >>> 2 : 0;
  const to = new Int32Array(target.buffer, aligned ? target.byteOffset : 0, words);
  const by = new Int32Array(key.buffer, aligned ? key.byteOffset : 0, words);
  for (let i = 0; i < words; i++) {
    to[i] = (to[i] ?? 0) ^ (by[i] ?? 0);
  }
  for (let i = words * 4; i < target.length; i++) {
    target[i] = (target[i] ?? 0) ^ (key[i] ?? 0);
  }
}
