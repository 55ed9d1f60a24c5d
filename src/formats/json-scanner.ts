/**
 * A strict pull reader of JSON. JSON.parse does not do: it hides duplicate keys, reads 16.0 as 16, forgets positions, and builds values for
 * everything. This reader builds no tree. The caller says what to expect next, and skips everything else. json-tokens.ts decides what a
 * string or a number is; here are arrays and objects.
 */
import { WeightDiffError } from "../errors.js";
import { SeenKeys } from "./json-seen-keys.js";
import type { Spelling } from "./json-spelling.js";
import { BACKSLASH, BRACKETS, COLON, COMMA, JsonTokens, QUOTE, type Span } from "./json-tokens.js";
import { hashed, type Names, NO_BYTES } from "./names.js";
import { quote } from "./quote.js";

/** serde_json's recursion limit is 128, which the 128th level reaches. */
const MAX_DEPTH = 127;
/** The most keys of all open objects together. They are kept to find duplicates. A large vocabulary has 260,000. */
const MAX_KEYS = 1_000_000;

const BRACES = { open: 0x7b, close: 0x7d } as const;

export class JsonScanner extends JsonTokens {
  /** The keys of the last object: neighbours in a list are often alike. */
  #lastKeys: readonly string[] = [];
  #depth = 0;
  #keys = 0;

  /**
   * Reads an object. `entry` must consume each value.
   * @param like the keys that it most likely has, in this order, in ASCII and without escapes. By default those of the object before.
   * @throws {WeightDiffError} FORMAT_INVALID for a key that occurs twice; LIMIT.
   */
  object(entry: (key: string) => void, like: readonly string[] = this.#lastKeys): void {
    this.#open(BRACES.open);
    // As long as it has those keys, which are different, nothing of its own is kept.
    let alike = 0;
    let seen: SeenKeys | null = null;
    let plain = true;
    if (this.next() !== BRACES.close) {
      do {
        let key = seen === null ? this.likely(like[alike]) : undefined;
        if (key === undefined) {
          key = this.text();
          plain &&= this.isPlain;
          seen ??= new SeenKeys(like.slice(0, alike));
          if (!seen.add(key)) {
            this.#twice(key);
          }
        } else {
          alike += 1;
        }
        this.#countKey();
        this.expect(COLON);
        entry(key);
      } while (this.take(COMMA));
    }
    this.expect(BRACES.close);
    this.#lastKeys = seen === null && alike === like.length ? like : plain ? (seen?.few ?? []) : [];
    this.#keys -= seen?.size ?? alike;
    this.#depth -= 1;
  }

  /** Reads an object whose keys are names. `entry` gets the number of each, and must consume its value. @throws {WeightDiffError} as `object`. */
  named(names: Names, entry: (id: number) => void): void {
    this.#open(BRACES.open);
    let seen = new Uint8Array(names.size + 64);
    let before = -1;
    let count = 0;
    if (this.next() !== BRACES.close) {
      do {
        const likely = names.followerOf(before);
        const id = this.#name(names, likely);
        if (id !== likely) {
          names.follow(before, id);
        }
        if (id >= seen.length) {
          seen = Buffer.concat([seen], 2 * id);
        }
        if (seen[id] === 1) {
          this.#twice(names.textOf(id));
        }
        seen[id] = 1;
        before = id;
        count += 1;
        this.#countKey();
        this.expect(COLON);
        entry(id);
      } while (this.take(COMMA));
    }
    this.expect(BRACES.close);
    this.#keys -= count;
    this.#depth -= 1;
  }

  #twice(key: string): never {
    return this.fail(`the key ${quote(key)} occurs twice`);
  }

  #countKey(): void {
    this.#keys += 1;
    if (this.#keys > MAX_KEYS) {
      throw new WeightDiffError("LIMIT", `${this.where} has objects of more than ${MAX_KEYS} keys`);
    }
  }

  /** Reads an array. `element` must consume each value. */
  array(element: (index: number) => void): void {
    this.#open(BRACKETS.open);
    let index = 0;
    if (this.next() !== BRACKETS.close) {
      do {
        element(index);
        index += 1;
      } while (this.take(COMMA));
    }
    this.expect(BRACKETS.close);
    this.#depth -= 1;
  }

  /** The number of the name that comes next. @param likely the one that most likely comes. */
  #name(names: Names, likely: number): number {
    const bytes = this.bytes;
    if (this.next() === QUOTE) {
      const length = names.lengthAt(likely, this.view, this.at + 1);
      if (length >= 0 && bytes[this.at + 1 + length] === QUOTE) {
        this.at += length + 2;
        return likely;
      }
    }
    this.expect(QUOTE);
    const start = this.at;
    let hash = NO_BYTES;
    for (let at = start; ; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        this.at = at + 1;
        return names.idAt(bytes, start, at, hash);
      }
      if (byte === BACKSLASH || byte === undefined || byte < 0x20) {
        this.at = start - 1;
        return names.add(this.text());
      }
      hash = hashed(hash, byte);
    }
  }

  /** Reads the next value if it is spelled like an earlier one but for its numbers. @returns is it? If not, nothing was read. */
  alike(spelling: Spelling, numbers: Float64Array): boolean {
    this.next();
    const end = spelling.read(this.view, this.at, numbers);
    this.at = Math.max(end, this.at);
    return end >= 0;
  }

  /** Skips one value of any kind, and still checks it. */
  skip(): Span {
    const first = this.peek();
    const start = this.at;
    if (first === "{") {
      this.object(() => this.skip());
    } else if (first === "[") {
      this.array(() => this.skip());
    } else if (first === '"') {
      this.skipString();
    } else if (this.atNumber()) {
      this.number();
    } else {
      this.literal();
    }
    return { start, end: this.at };
  }

  #open(bracket: number): void {
    this.expect(bracket);
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) {
      throw new WeightDiffError("LIMIT", `${this.where} is nested deeper than ${MAX_DEPTH} levels`);
    }
  }
}
