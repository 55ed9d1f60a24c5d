/**
 * The tokens of a JSON text, read in place: RFC 8259 with the refusals of serde_json (the reader of safetensors), so that a header has the
 * same meaning here and there. No text is copied that nobody asks for. Files from Python's json module may also hold NaN and Infinity, which
 * are not JSON.
 */
import { isUtf8 } from "node:buffer";
import { WeightDiffError } from "../errors.js";
import { DAMAGED } from "./damage.js";
import { unescaped } from "./json-escapes.js";
import { numberEnd } from "./json-number.js";
import { quote } from "./quote.js";
import { sameBytes, viewOf } from "./same-bytes.js";

/** "python": also the numbers that json.dumps writes and json.loads reads beyond RFC 8259. */
export type JsonDialect = "strict" | "python";

/** Positions in the text in bytes, from `start` up to, but not including, `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** The bytes of JSON's punctuation. */
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const QUOTE = 0x22;
export const BACKSLASH = 0x5c;
export const BRACKETS = { open: 0x5b, close: 0x5d } as const;
const SPACE = 0x20;
const ZERO = 0x30;
/** Stands for the end of the text: greater than any byte. */
const END = 0x100;
/** A number of so many digits is below 2^53. With more, digits may be lost. */
const SAFE_DIGITS = 15;
const NON_FINITE = ["NaN", "Infinity", "-Infinity"];
const LITERALS = [
  ["true", true],
  ["false", false],
  ["null", null],
] as const;

/** A place in the text, and what can be read from there. What lists and objects are made of is for JsonScanner to know. */
export class JsonTokens {
  protected readonly bytes: Buffer;
  protected readonly view: DataView;
  protected readonly where: string;
  readonly #dialect: JsonDialect;
  protected at = 0;
  /** Where the last string began that was passed over. Was the last text ASCII, and spelled without escapes? */
  #from = 0;
  protected isPlain = true;
  /** The last string that was no key, and where its text began; -1 if it is not spelled as it reads. Neighbours in a list are often alike. */
  #last = "";
  #lastFrom = -1;

  /**
   * @param where the text's name in messages: "model.safetensors: header".
   * @throws {WeightDiffError} FORMAT_INVALID if the bytes are not UTF-8.
   */
  constructor(text: Uint8Array | string, where: string, dialect: JsonDialect = "strict") {
    this.bytes =
      typeof text === "string" ? Buffer.from(text) : Buffer.from(text.buffer, text.byteOffset, text.byteLength);
    this.view = viewOf(this.bytes);
    this.where = where;
    this.#dialect = dialect;
    if (typeof text !== "string" && !isUtf8(text)) {
      throw new WeightDiffError("FORMAT_INVALID", `${where} is not UTF-8 text`, DAMAGED);
    }
  }

  /** The next character that is not white space, as far as JSON's own tokens are concerned; "" at the end. */
  peek(): string {
    const byte = this.next();
    return byte === undefined ? "" : String.fromCharCode(byte);
  }

  /** Its byte. */
  protected next(): number | undefined {
    for (;;) {
      const byte = this.bytes[this.at] ?? END;
      if (byte > SPACE) {
        return byte === END ? undefined : byte;
      }
      if (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) {
        return byte;
      }
      this.at += 1;
    }
  }

  string(): string {
    const { length } = this.#last;
    if (
      this.#lastFrom >= 0 &&
      this.next() === QUOTE &&
      sameBytes(this.view, this.#lastFrom, this.view, this.at + 1, length + 1)
    ) {
      this.at += length + 2;
      return this.#last;
    }
    this.#last = this.text();
    this.#lastFrom = this.isPlain ? this.#from : -1;
    return this.#last;
  }

  /** The string, if it is the next one. @param text of ASCII that is spelled without escapes. */
  protected likely(text: string | undefined): string | undefined {
    if (text === undefined || this.next() !== QUOTE) {
      return undefined;
    }
    const bytes = this.bytes;
    const start = this.at + 1;
    if (bytes[start + text.length] !== QUOTE) {
      return undefined;
    }
    for (let index = 0; index < text.length; index++) {
      if (bytes[start + index] !== text.charCodeAt(index)) {
        return undefined;
      }
    }
    this.at = start + text.length + 1;
    return text;
  }

  protected text(): string {
    const escaped = this.#passString();
    const start = this.#from;
    const end = this.at - 1;
    const text = escaped ? this.#unescaped(start, end) : this.bytes.toString("utf8", start, end);
    this.isPlain = !escaped && text.length === end - start;
    return text;
  }

  /** Passes over a string, whose text begins at `#from` then. @returns has it escapes? Nothing has checked them. */
  #passString(): boolean {
    this.expect(QUOTE);
    const bytes = this.bytes;
    this.#from = this.at;
    let escaped = false;
    for (let at = this.at; ; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        this.at = at + 1;
        return escaped;
      }
      if (byte === BACKSLASH) {
        escaped = true;
        at += 1;
      } else if (byte === undefined || byte < 0x20) {
        this.at = at;
        this.fail(byte === undefined ? "a string does not end" : "a string holds a raw control character");
      }
    }
  }

  #unescaped(start: number, end: number): string {
    return unescaped(this.bytes, start, end, (what, at) => this.#failAt(what, at));
  }

  /** A non-negative integer spelled `0|[1-9][0-9]*`, below 2^53. 16.0, 1e3, -0 and "0" are refused, as by serde's usize. */
  integer(): number {
    const first = this.next() ?? 0;
    const bytes = this.bytes;
    let at = this.at;
    let value = 0;
    if (first > ZERO && first <= ZERO + 9) {
      for (let digit = first - ZERO; digit >= 0 && digit <= 9 && at - this.at < SAFE_DIGITS; ) {
        value = value * 10 + digit;
        at += 1;
        digit = (bytes[at] ?? 0) - ZERO;
      }
      const after = bytes[at];
      if (after === COMMA || after === BRACKETS.close) {
        this.at = at;
        return value;
      }
    }
    return this.#otherInteger(this.#number());
  }

  /** An integer that is zero, long, or followed by something else than the next number of a list. */
  #otherInteger({ start, end }: Span): number {
    const text = this.bytes.toString("latin1", start, Math.min(end, start + 20));
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
      this.at += word.length;
      return Number(word);
    }
    const span = this.#number();
    const value = Number(this.bytes.toString("latin1", span.start, span.end));
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
    this.at += found[0].length;
    return found[1];
  }

  /** How many bytes have been read: where the value before ended. */
  get position(): number {
    return this.at;
  }

  /** Skips a string, and still checks it. @returns where it begins, with its quote. */
  skipString(): number {
    if (this.#passString()) {
      this.#unescaped(this.#from, this.at - 1);
    }
    return this.#from - 1;
  }

  /** @throws {WeightDiffError} FORMAT_INVALID if anything but white space follows. */
  end(): void {
    if (this.peek() !== "") {
      this.fail("something follows the end of the value");
    }
  }

  fail(what: string): never {
    return this.#failAt(what, this.at);
  }

  #failAt(what: string, at: number): never {
    throw new WeightDiffError(
      "FORMAT_INVALID",
      `is not the JSON expected: ${what} (at byte ${at})`,
      "the file is damaged or was edited by hand: download it again",
      { at: { file: this.where } },
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
      if (this.bytes[this.at + index] !== word.charCodeAt(index)) {
        return false;
      }
    }
    return true;
  }

  protected take(byte: number): boolean {
    // Mostly it is there, without white space before it.
    if (this.bytes[this.at] !== byte && this.next() !== byte) {
      return false;
    }
    this.at += 1;
    return true;
  }

  protected expect(byte: number): void {
    if (!this.take(byte)) {
      const found = this.#character();
      this.fail(`expected ${String.fromCharCode(byte)}, found ${found === "" ? "the end" : quote(found)}`);
    }
  }

  /** The next character as a whole, for messages; "" at the end. */
  #character(): string {
    const [first = ""] = this.bytes.toString("utf8", this.at, Math.min(this.at + 4, this.bytes.length));
    return first;
  }

  #number(): Span {
    this.peek();
    const start = this.at;
    this.at = numberEnd(this.bytes, start, (what, at) => this.#failAt(what, at));
    return { start, end: this.at };
  }
}
