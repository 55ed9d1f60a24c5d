/**
 * Which bytes of a key file are XORed with which bytes of a payload, in the published XOR codecs. OpenAssistant's xor_codec.py pairs equal
 * positions, and pads with zeros past the end of the key. point-alpaca's encrypt.py (BELLE, lawyer-llama) reads both in steps of 10 MiB,
 * and starts the key over at its end: a short last piece of the key is repeated for one whole step, and only then does the key begin again.
 */

export type KeyRule = "same-place" | "chunks";

/** `chunk_size` and `key_chunk_size` of point-alpaca's scripts, in bytes. */
export const KEY_CHUNK = 10 * 1024 * 1024;

/** Fills `target` with bytes of the key from `position` on. */
type ReadKey = (target: Uint8Array, position: number) => Promise<void>;

/**
 * Fills `target` with the key bytes for the payload's bytes from `position` on. Takes at most two reads for each 10 MiB, however short the
 * key is.
 * @param size of the key file in bytes; above 0 for "chunks".
 */
export async function fillKey(
  rule: KeyRule,
  size: number,
  position: number,
  target: Uint8Array,
  read: ReadKey,
): Promise<void> {
  if (rule === "same-place") {
    const there = Math.max(0, Math.min(target.length, size - position));
    if (there > 0) {
      await read(target.subarray(0, there), position);
    }
    target.fill(0, there);
    return;
  }
  const chunks = Math.ceil(size / KEY_CHUNK);
  for (let at = 0; at < target.length; ) {
    const begin = (Math.floor((position + at) / KEY_CHUNK) % chunks) * KEY_CHUNK;
    const length = Math.min(KEY_CHUNK, size - begin);
    const offset = (position + at) % KEY_CHUNK;
    const part = target.subarray(at, at + Math.min(KEY_CHUNK - offset, target.length - at));
    await fillPeriodic(part, begin, length, offset % length, read);
    at += part.length;
  }
}

/** Repeats the key's bytes [begin, begin + length), from `phase` on. */
async function fillPeriodic(
  part: Uint8Array,
  begin: number,
  length: number,
  phase: number,
  read: ReadKey,
): Promise<void> {
  let filled = Math.min(part.length, length - phase);
  await read(part.subarray(0, filled), begin + phase);
  if (filled < part.length) {
    const next = Math.min(part.length - filled, length);
    await read(part.subarray(filled, filled + next), begin);
    filled += next;
  }
  while (filled < part.length) {
    const back = length * Math.floor(filled / length);
    const count = Math.min(back, part.length - filled);
    part.copyWithin(filled, filled - back, filled - back + count);
    filled += count;
  }
}
