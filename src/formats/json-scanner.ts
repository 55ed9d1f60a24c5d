/**
 * A strict pull reader of JSON: RFC 8259 with the refusals of serde_json (the reader of safetensors), so that a header has the same meaning
 * here and there. JSON.parse does not do: it hides duplicate keys, reads 16.0 as 16, forgets positions, and builds values for everything.
 * This reader builds no tree and copies no text. It reads the bytes in place; the caller says what to expect next, and skips everything
 * else. Files from Python's json module may also hold NaN and Infinity, which are not JSON.
 */
import { isUtf8 } from "node:buffer";
import { WeightDiffError } from "../errors.js";
import { hashed, isText, keptKey, MOST_KEPT, NO_BYTES } from "./json-keys.js";
import { SeenKeys } from "./json-seen-keys.js";
import { quote } from "./quote.js";

/** serde_json's recursion limit is 128, which the 128th level reaches. */
const MAX_DEPTH = 127;
/** The most keys of all open objects together. They are kept to find duplicates. A large vocabulary has 260,000. */
const MAX_KEYS = 1_000_000;

/** "python": also the numbers that json.dumps writes and json.loads reads beyond RFC 8259. */
export type JsonDialect = "strict" | "python";

/** Positions in the text in bytes, from `start` up to, but not including, `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
/** A number of so many digits is below 2^53. With more, digits may be lost. */
const SAFE_DIGITS = 15;
const SIMPLE_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

const NON_FINITE = ["NaN", "Infinity", "-Infinity"];
const LITERALS = [
  ["true", true],
  ["false", false],
  ["null", null],
] as const;

export class JsonScanner {
  readonly #bytes: Buffer;
  readonly #where: string;
  readonly #dialect: JsonDialect;
  /** The last string that was no key: neighbours in a list are often alike, and are one string then. */
  #last = "";
  #at = 0;
  #depth = 0;
  #keys = 0;

  /**
   * @param where the text's name in messages: "model.safetensors: header".
   * @throws {WeightDiffError} FORMAT_INVALID if the bytes are not UTF-8.
   */
  constructor(text: Uint8Array | string, where: string, dialect: JsonDialect = "strict") {
    this.#bytes =
      typeof text === "string" ? Buffer.from(text) : Buffer.from(text.buffer, text.byteOffset, text.byteLength);
    this.#where = where;
    this.#dialect = dialect;
    if (typeof text !== "string" && !isUtf8(text)) {
      throw new WeightDiffError(
        "FORMAT_INVALID",
        `${where} is not UTF-8 text`,
        "the file is damaged: download it again",
      );
    }
  }

  /** The next character that is not white space, as far as JSON's own tokens are concerned; "" at the end. */
  peek(): string {
    const byte = this.#next();
    return byte === undefined ? "" : String.fromCharCode(byte);
  }

  /** Its byte. */
  #next(): number | undefined {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) {
        return byte;
      }
      this.#at += 1;
    }
  }

  /** Reads an object. `entry` must consume each value. @throws {WeightDiffError} FORMAT_INVALID for a key that occurs twice; LIMIT. */
  object(entry: (key: string) => void): void {
    this.#open("{");
    const seen = new SeenKeys();
    if (this.peek() !== "}") {
      do {
        const key = this.#likely(seen.next) ?? this.#text(true);
        if (!seen.add(key)) {
          this.fail(`the key ${quote(key)} occurs twice`);
        }
        this.#keys += 1;
        if (this.#keys > MAX_KEYS) {
          throw new WeightDiffError("LIMIT", `${this.#where} has objects of more than ${MAX_KEYS} keys`);
        }
        this.#expect(":");
        entry(key);
      } while (this.#take(","));
    }
    this.#expect("}");
    seen.end();
    this.#keys -= seen.size;
    this.#depth -= 1;
  }

  /** Reads an array. `element` must consume each value. */
  array(element: (index: number) => void): void {
    this.#open("[");
    let index = 0;
    if (this.peek() !== "]") {
      do {
        element(index);
        index += 1;
      } while (this.#take(","));
    }
    this.#expect("]");
    this.#depth -= 1;
  }

  string(): string {
    return this.#text(false);
  }

  /** The string, if it is the next one, and is spelled without escapes and in ASCII. */
  #likely(text: string | undefined): string | undefined {
    if (text === undefined || this.#next() !== QUOTE) {
      return undefined;
    }
    const bytes = this.#bytes;
    const start = this.#at + 1;
    for (let index = 0; index < text.length; index++) {
      const byte = bytes[start + index] ?? 0;
      if (byte !== text.charCodeAt(index) || byte < 0x20 || byte >= 0x80 || byte === QUOTE || byte === BACKSLASH) {
        return undefined;
      }
    }
    if (bytes[start + text.length] !== QUOTE) {
      return undefined;
    }
    this.#at = start + text.length + 1;
    return text;
  }

  /** @param isKey does it name what comes next? Then it will come again. */
  #text(isKey: boolean): string {
    this.#expect('"');
    const bytes = this.#bytes;
    const start = this.#at;
    let ascii = true;
    let escaped = false;
    let hash = NO_BYTES;
    for (let at = start; ; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        this.#at = at + 1;
        if (escaped) {
          return this.#unescaped(start, at);
        }
        if (isKey && ascii && at - start <= MOST_KEPT) {
          return keptKey(bytes, start, at, hash);
        }
        if (!ascii || !isText(this.#last, bytes, start, at)) {
          this.#last = bytes.toString(ascii ? "latin1" : "utf8", start, at);
        }
        return this.#last;
      }
      if (byte === BACKSLASH) {
        escaped = true;
        at += 1;
      } else if (byte === undefined || byte < 0x20) {
        this.#at = at;
        this.fail(byte === undefined ? "a string does not end" : "a string holds a raw control character");
      } else {
        ascii &&= byte < 0x80;
        if (isKey) {
          hash = hashed(hash, byte);
        }
      }
    }
  }

  /** Unescaped text is never longer than before. It is assembled as bytes, so a string of a million escapes becomes one string. */
  #unescaped(start: number, end: number): string {
    const text = Buffer.alloc(end - start);
    let length = 0;
    let from = start;
    this.#at = start;
    while (this.#at < end) {
      if (this.#bytes[this.#at] === BACKSLASH) {
        length += this.#bytes.copy(text, length, from, this.#at);
        length += text.write(this.#escape(), length);
        from = this.#at;
      } else {
        this.#at += 1;
      }
    }
    length += this.#bytes.copy(text, length, from, end);
    this.#at = end + 1;
    return text.toString("utf8", 0, length);
  }

  /** A non-negative integer spelled `0|[1-9][0-9]*`, below 2^53. 16.0, 1e3, -0 and "0" are refused, as by serde's usize. */
  integer(): number {
    const span = this.#number();
    let value = 0;
    if (span.end - span.start <= SAFE_DIGITS) {
      for (let at = span.start; at < span.end; at++) {
        const digit = (this.#bytes[at] ?? 0) - 0x30;
        if (digit < 0 || digit > 9) {
          return this.#noInteger(span);
        }
        value = value * 10 + digit;
      }
      return value;
    }
    return this.#noInteger(span);
  }

  /** A number that is long or unusual. */
  #noInteger({ start, end }: Span): number {
    const text = this.#bytes.toString("latin1", start, Math.min(end, start + 20));
    const value = Number(text);
    if (!/^[0-9]+$/.test(text)) {
      this.fail(`expected a whole number, found ${text}`);
    }
    if (!Number.isSafeInteger(value)) {
      this.fail(`the number ${text} is not below 2^53`);
    }
    return value;
  }

  /** Does a number come next? */
  atNumber(): boolean {
    const first = this.peek();
    return first === "-" || (first >= "0" && first <= "9") || this.#nonFinite() !== undefined;
  }

  /** Any number, as a double. */
  number(): number {
    const word = this.#nonFinite();
    if (word !== undefined) {
      this.#at += word.length;
      return Number(word);
    }
    const span = this.#number();
    const value = Number(this.#bytes.toString("latin1", span.start, span.end));
    return Number.isFinite(value) || this.#dialect === "python" ? value : this.fail("a number is out of range");
  }

  /** Reads true, false or null. */
  literal(): boolean | null {
    this.peek();
    const found = LITERALS.find(([word]) => this.#comes(word));
    if (found === undefined) {
      const first = this.#character();
      return this.fail(first === "" ? "the text ends early" : `unexpected ${quote(first)}`);
    }
    this.#at += found[0].length;
    return found[1];
  }

  /** Skips one value of any kind, and still checks it. */
  skip(): Span {
    const first = this.peek();
    const start = this.#at;
    if (first === "{") {
      this.object(() => this.skip());
    } else if (first === "[") {
      this.array(() => this.skip());
    } else if (first === '"') {
      this.string();
    } else if (this.atNumber()) {
      this.number();
    } else {
      this.literal();
    }
    return { start, end: this.#at };
  }

  /** @throws {WeightDiffError} FORMAT_INVALID if anything but white space follows. */
  end(): void {
    if (this.peek() !== "") {
      this.fail("something follows the end of the value");
    }
  }

  fail(what: string): never {
    throw new WeightDiffError(
      "FORMAT_INVALID",
      `is not the JSON expected: ${what} (at byte ${this.#at})`,
      "the file is damaged or was edited by hand: download it again",
      { at: { file: this.#where } },
    );
  }

  #nonFinite(): string | undefined {
    if (this.#dialect !== "python") {
      return undefined;
    }
    this.peek();
    return NON_FINITE.find((word) => this.#comes(word));
  }

  /** Does this ASCII text come next? */
  #comes(word: string): boolean {
    for (let index = 0; index < word.length; index++) {
      if (this.#bytes[this.#at + index] !== word.charCodeAt(index)) {
        return false;
      }
    }
    return true;
  }

  #take(character: string): boolean {
    const found = this.#next() === character.charCodeAt(0);
    if (found) {
      this.#at += 1;
    }
    return found;
  }

  #expect(character: string): void {
    if (!this.#take(character)) {
      const found = this.#character();
      this.fail(`expected ${character}, found ${found === "" ? "the end" : quote(found)}`);
    }
  }

  /** The next character as a whole, for messages; "" at the end. */
  #character(): string {
    const [first = ""] = this.#bytes.toString("utf8", this.#at, Math.min(this.#at + 4, this.#bytes.length));
    return first;
  }

  #open(bracket: string): void {
    this.#expect(bracket);
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) {
      throw new WeightDiffError("LIMIT", `${this.#where} is nested deeper than ${MAX_DEPTH} levels`);
    }
  }

  #number(): Span {
    this.peek();
    const start = this.#at;
    this.#at += this.#bytes[start] === MINUS ? 1 : 0;
    const whole = this.#digits();
    if (whole === 0 || (whole > 1 && this.#bytes[this.#at - whole] === 0x30)) {
      this.fail("expected a number");
    }
    if (this.#comes(".")) {
      this.#at += 1;
      if (this.#digits() === 0) {
        this.fail("a number ends in its point");
      }
    }
    if (this.#comes("e") || this.#comes("E")) {
      this.#at += 1;
      this.#at += this.#comes("+") || this.#comes("-") ? 1 : 0;
      if (this.#digits() === 0) {
        this.fail("a number has an empty exponent");
      }
    }
    return { start, end: this.#at };
  }

  #digits(): number {
    const start = this.#at;
    for (let byte = this.#bytes[this.#at]; byte !== undefined && byte >= 0x30 && byte <= 0x39; ) {
      this.#at += 1;
      byte = this.#bytes[this.#at];
    }
    return this.#at - start;
  }

  #escape(): string {
    const letter = this.#bytes.toString("latin1", this.#at + 1, this.#at + 2);
    const simple = SIMPLE_ESCAPES.get(letter);
    if (simple !== undefined) {
      this.#at += 2;
      return simple;
    }
    const unit = this.#unicodeEscape();
    if (unit >= 0xd800 && unit <= 0xdbff) {
      const low = this.#comes("\\u") ? this.#unicodeEscape() : 0;
      return low >= 0xdc00 && low <= 0xdfff
        ? String.fromCharCode(unit, low)
        : this.fail("a string holds half a surrogate pair");
    }
    return unit >= 0xdc00 && unit <= 0xdfff
      ? this.fail("a string holds half a surrogate pair")
      : String.fromCharCode(unit);
  }

  #unicodeEscape(): number {
    const spelt = this.#bytes.toString("latin1", this.#at, this.#at + 6);
    if (!/^\\u[0-9a-fA-F]{4}$/.test(spelt)) {
      this.fail("a string holds an unknown escape");
    }
    this.#at += 6;
    return Number.parseInt(spelt.slice(2), 16);
  }
}
