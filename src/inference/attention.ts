/**
 * Attention in one layer for the tokens of a round: takes queries, keys and values from the products, rotates them by position, and
 * computes what each query sees. Works on some heads at a time, so that keys and values of a long text need not be in memory together.
 */
import type { Architecture } from "./architecture.js";
import { attend } from "./arithmetic.js";
import { type KeyValueCache, openCache } from "./cache.js";
import { productsOf } from "./matrices.js";
import { rotate, type Turn, turnAt } from "./rope.js";
import type { Round } from "./rounds.js";
import type { Vectors } from "./vectors.js";

export interface Attention {
  /** The number of tokens that are kept of the text. */
  length(key: string | null): number;
  /** Turns the products of a layer's attention into the inputs of its output matrix, token by token. */
  run(layer: number, round: Round, products: Float32Array, inputs: Float32Array): Promise<void>;
  /** Called after the round's last layer. */
  grow(round: Round): void;
  forget(key: string): void;
  close(): Promise<void>;
}

/** For a text of all positions, keys and values of the heads that are computed together take no more than this. */
const ROOM_BYTES = 16 * 2 ** 20;

/** @param capacity the most tokens of a text. */
export function openAttention(architecture: Architecture, vectors: Vectors, capacity: number): Attention {
  const { layers, heads, keyHeads, headSize: size, windows } = architecture;
  const together = headsTogether(keyHeads, 8 * size * capacity);
  const groups = keyHeads / together;
  const row = 2 * together * size;
  const cache: KeyValueCache = openCache(layers.length * groups, row, capacity);
  const turns = new Map<number, Turn>();
  const turnOf = (position: number): Turn => {
    const known = turns.get(position) ?? turnAt(architecture.rope, position);
    turns.set(position, known);
    return known;
  };
  const perKey = heads / keyHeads;
  const shown = { heads: together * perKey, keyHeads: together, size };
  const queries = new Float32Array(shown.heads * size);
  const places = headPlaces(architecture);
  return {
    length: cache.length,
    async run(index, round, products, inputs) {
      const layer = layers[index] as Architecture["layers"][number];
      const seen = { ...shown, window: windows[index] ?? null };
      const stride = productsOf(layer.attention);
      const [queryNorm, keyNorm] = layer.heads;
      const put = (from: number, target: Float32Array, to: number): void =>
        target.set(products.subarray(from, from + size), to);
      for (let group = 0; group < groups; group++) {
        const [firstKey, firstQuery] = [group * together, group * shown.heads];
        let token = 0;
        for (const { key, ids } of round) {
          const past = cache.length(key);
          const rows = await cache.open(key, index * groups + group, ids.length);
          for (let i = 0; i < ids.length; i++, token++) {
            const [at, own, turn] = [token * stride, (past + i) * row, turnOf(past + i)];
            for (let head = 0; head < shown.heads; head++) {
              put(at + places.query(firstQuery + head), queries, head * size);
              if (queryNorm !== undefined) {
                vectors.norm(queryNorm, queries, head * size, queries, head * size);
              }
              rotate(queries, head * size, turn);
            }
            for (let head = 0; head < together; head++) {
              const to = own + head * size;
              put(at + places.key(firstKey + head), rows, to);
              put(at + places.value(firstKey + head), rows, to + together * size);
              if (keyNorm !== undefined) {
                vectors.norm(keyNorm, rows, to, rows, to);
              }
              rotate(rows, to, turn);
            }
            attend(seen, queries, 0, rows, past + i, inputs, (token * heads + firstQuery) * size);
          }
          await cache.keep(key, index * groups + group, ids.length);
        }
      }
    },
    grow(round) {
      for (const { key, ids } of round) {
        cache.grow(key, ids.length);
      }
    },
    forget: cache.forget,
    close: cache.close,
  };
}

/** As many heads as the room allows, equally many in each group. @param bytes of one head for a whole text. */
function headsTogether(keyHeads: number, bytes: number): number {
  let together = keyHeads;
  while (together > 1 && (keyHeads % together !== 0 || together * bytes > ROOM_BYTES)) {
    together--;
  }
  return together;
}

/** Where a head begins in a token's products. One matrix gives all three head by head; three matrices give one block each. */
function headPlaces({ family, heads, keyHeads, headSize: size }: Architecture) {
  return family.names.layer.attention.length === 1
    ? {
        query: (head: number) => 3 * head * size,
        key: (head: number) => (3 * head + 1) * size,
        value: (head: number) => (3 * head + 2) * size,
      }
    : {
        query: (head: number) => head * size,
        key: (head: number) => (heads + head) * size,
        value: (head: number) => (heads + keyHeads + head) * size,
      };
}
