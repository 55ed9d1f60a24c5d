/**
 * Names of tensors, each with a number. The headers of a model, and of the steps of a chain, name the same tensors again and again: here each
 * name is one string, and columns of numbers stand for lists of them. A name is found by its bytes, so no string is made to look it up.
 */

import { sameBytes, viewOf } from "./same-bytes.js";

/** Places that are looked at for one name. */
const NEAR = 8;
/** With more names, or more bytes of them, the next header gets a new list. */
const MOST = { names: 1 << 18, bytes: 1 << 25 };
/** No two processes hash alike: nobody can make names that all fall on one place. */
const SEED = Math.floor(Math.random() * 2 ** 32) | 0;

export const NO_BYTES = SEED;

/** One more byte. FNV-1a, of 32 bits. */
export function hashed(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

export class Names {
  readonly #texts: string[] = [];
  /** The UTF-8 of all names, one after the other, and where each ends. */
  #bytes = Buffer.alloc(1 << 12);
  #view = viewOf(this.#bytes);
  readonly #ends: number[] = [0];
  /** Numbers plus one, by hash; 0 for none. */
  #slots = new Int32Array(1 << 10);
  /** Those that found no place near their hash. */
  readonly #far = new Map<string, number>();
  /** Those that JSON spells in another way than their bytes. */
  readonly #escaped = new Set<number>();
  /** By number plus one: the number that came after it in the last list that had it. */
  readonly #followers: number[] = [0];
  /** The latest name that was asked for, and its number: a plan asks all versions for one name, then for the next. */
  #asked = "";
  #found: number | undefined;

  get size(): number {
    return this.#texts.length;
  }

  get isFull(): boolean {
    return this.#texts.length > MOST.names || (this.#ends.at(-1) ?? 0) > MOST.bytes;
  }

  textOf(id: number): string {
    return this.#texts[id] ?? "";
  }

  /** The number of the name with these bytes, which gets one if it is new. @param hash of the bytes, by `hashed`. */
  idAt(bytes: Buffer, start: number, end: number, hash: number): number {
    const found = this.#find(bytes, start, end, hash);
    return found ?? this.#add(bytes, start, end, hash);
  }

  /** Undefined for a name that is not there. */
  idOf(text: string): number | undefined {
    if (this.#asked !== text || this.#found === undefined) {
      const bytes = Buffer.from(text);
      this.#asked = text;
      this.#found = this.#find(bytes, 0, bytes.length, hashOf(bytes, 0, bytes.length));
    }
    return this.#found;
  }

  add(text: string): number {
    const bytes = Buffer.from(text);
    return this.idAt(bytes, 0, bytes.length, hashOf(bytes, 0, bytes.length));
  }

  /** The name that most likely comes after this one in a list; -1 stands before the first. */
  followerOf(id: number): number {
    return this.#followers[id + 1] ?? id + 1;
  }

  follow(id: number, next: number): void {
    this.#followers[id + 1] = next;
  }

  /** The length in bytes of the name if it stands here as JSON spells it, without its quotes; else -1. */
  lengthAt(id: number, text: DataView, at: number): number {
    if (id >= this.#texts.length || (this.#escaped.size > 0 && this.#escaped.has(id))) {
      return -1;
    }
    const start = this.#ends[id] ?? 0;
    const length = (this.#ends[id + 1] ?? 0) - start;
    return sameBytes(this.#view, start, text, at, length) ? length : -1;
  }

  #find(bytes: Buffer, start: number, end: number, hash: number): number | undefined {
    for (let near = 0; near < NEAR; near++) {
      const id = (this.#slots[this.#placeOf(hash, near)] ?? 0) - 1;
      if (id < 0) {
        return undefined;
      }
      if (this.#isAt(id, bytes, start, end)) {
        return id;
      }
    }
    return this.#far.get(bytes.toString("utf8", start, end));
  }

  #isAt(id: number, bytes: Buffer, start: number, end: number): boolean {
    const own = this.#ends[id] ?? 0;
    if ((this.#ends[id + 1] ?? 0) - own !== end - start) {
      return false;
    }
    for (let index = 0; index < end - start; index++) {
      if (this.#bytes[own + index] !== bytes[start + index]) {
        return false;
      }
    }
    return true;
  }

  #add(bytes: Buffer, start: number, end: number, hash: number): number {
    const id = this.#texts.length;
    const at = this.#ends[id] ?? 0;
    const after = at + end - start;
    if (after > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes], 2 * Math.max(after, this.#bytes.length));
      this.#view = viewOf(this.#bytes);
    }
    bytes.copy(this.#bytes, at, start, end);
    this.#texts.push(bytes.toString("utf8", start, end));
    this.#ends.push(after);
    this.#followers.push(id + 1);
    this.#asked = "";
    this.#found = undefined;
    for (let index = start; index < end; index++) {
      const byte = bytes[index] ?? 0;
      if (byte < 0x20 || byte === 0x22 || byte === 0x5c) {
        this.#escaped.add(id);
      }
    }
    if (2 * this.#texts.length > this.#slots.length) {
      this.#slots = new Int32Array(4 * this.#slots.length);
      this.#far.clear();
      for (let each = 0; each < id; each++) {
        this.#place(each, hashOf(this.#bytes, this.#ends[each] ?? 0, this.#ends[each + 1] ?? 0));
      }
    }
    this.#place(id, hash);
    return id;
  }

  #place(id: number, hash: number): void {
    for (let near = 0; near < NEAR; near++) {
      const place = this.#placeOf(hash, near);
      if (this.#slots[place] === 0) {
        this.#slots[place] = id + 1;
        return;
      }
    }
    this.#far.set(this.textOf(id), id);
  }

  #placeOf(hash: number, near: number): number {
    return ((hash ^ (hash >>> 15)) + near) & (this.#slots.length - 1);
  }
}

function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = NO_BYTES;
  for (let index = start; index < end; index++) {
    hash = hashed(hash, bytes[index] ?? 0);
  }
  return hash;
}

let shared = new Names();

/** The list that headers share. Whoever compares the numbers of two headers must read both with one list. */
export function tensorNames(): Names {
  if (shared.isFull) {
    shared = new Names();
  }
  return shared;
}

/** Where each number stands in a list of different ones. Mostly they are asked for in the order of the list. */
export class Places {
  readonly #ids: ArrayLike<number>;
  #likely = 0;
  /** By number: its place plus one. Made when another one is asked for. */
  #places: Int32Array | null = null;

  constructor(ids: ArrayLike<number>) {
    this.#ids = ids;
  }

  /** -1 for a number that is not in the list. */
  of(id: number): number {
    if (this.#ids[this.#likely] !== id) {
      this.#places ??= placesOf(this.#ids);
      this.#likely = (this.#places[id] ?? 0) - 1;
    }
    this.#likely += 1;
    return this.#likely - 1;
  }
}

function placesOf(ids: ArrayLike<number>): Int32Array {
  let most = -1;
  for (let place = 0; place < ids.length; place++) {
    most = Math.max(most, ids[place] ?? 0);
  }
  const places = new Int32Array(most + 1);
  for (let place = 0; place < ids.length; place++) {
    places[ids[place] ?? 0] = place + 1;
  }
  return places;
}
