/**
 * Keys and values of the tokens so far. Those of the current layer, or of some of its heads, are in memory; all others are in an unnamed
 * temporary file. So memory does not grow with the text; LLaMA 65B would need 5 MB for each token.
 */
import { openScratch, type Scratch } from "../engine/io/scratch.js";

export interface KeyValueCache {
  /** The number of tokens that are kept of the text. */
  length(key: string | null): number;
  /**
   * Room for the layer's rows of all tokens of a text: the kept ones are in it, and `more` are to be written after them. Only one may be
   * open at a time.
   */
  open(key: string | null, layer: number, more: number): Promise<Float32Array>;
  /** Keeps the rows that were written into what `open` returned. */
  keep(key: string | null, layer: number, more: number): Promise<void>;
  /** The text has ended, so another may take its room. */
  forget(key: string): void;
  /** The text is longer by that many tokens. Called after the last layer. */
  grow(key: string | null, more: number): void;
  close(): Promise<void>;
}

/** Spare tokens in the room, so that it is not made anew for each token. */
const MORE = 64;

/** @param row F32 values of one token in one layer. @param capacity the most tokens of a text: room in the file, not in memory. */
export function openCache(layers: number, row: number, capacity: number): KeyValueCache {
  const texts = new Map<string, { readonly place: number; length: number }>();
  /** Places of texts that have ended. */
  const free: number[] = [];
  let room = new Float32Array(0);
  let scratch: Promise<Scratch> | null = null;
  const lengthOf = (key: string | null): number => (key === null ? 0 : (texts.get(key)?.length ?? 0));
  const placeOf = (key: string): { readonly place: number; length: number } => {
    const text = texts.get(key) ?? { place: free.pop() ?? texts.size, length: 0 };
    texts.set(key, text);
    return text;
  };
  const bytesOf = (first: number, tokens: number): Uint8Array =>
    new Uint8Array(room.buffer, 4 * row * first, 4 * row * tokens);
  const position = (place: number, layer: number, token: number): number =>
    4 * row * ((place * layers + layer) * capacity + token);
  return {
    length: lengthOf,
    async open(key, layer, more) {
      const kept = lengthOf(key);
      const values = row * (kept + more);
      if (room.length < values) {
        room = new Float32Array(Math.min(row * (kept + more + MORE), row * capacity));
      }
      if (key !== null && kept > 0) {
        scratch ??= openScratch();
        await (await scratch).read(bytesOf(0, kept), position(placeOf(key).place, layer, 0));
      }
      return room.subarray(0, values);
    },
    async keep(key, layer, more) {
      if (key !== null) {
        const { place, length } = placeOf(key);
        scratch ??= openScratch();
        await (await scratch).write(bytesOf(length, more), position(place, layer, length));
      }
    },
    grow(key, more) {
      if (key !== null) {
        placeOf(key).length += more;
      }
    },
    forget(key) {
      const text = texts.get(key);
      if (text !== undefined) {
        free.push(text.place);
        texts.delete(key);
      }
    },
    async close() {
      await (await scratch?.catch(() => null))?.close();
    },
  };
}
