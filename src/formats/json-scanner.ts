/**
 * A strict pull reader of JSON text: RFC 8259 with serde_json's refusals (the reader of safetensors), so that a header means
 * here what it means there. JSON.parse cannot be used: it hides duplicate keys, reads 16.0 as 16 and forgets positions. No
 * tree is built; the caller says what it expects next, and everything else is skipped. Files that Python's json module wrote
 * may also hold NaN and Infinity, which are no JSON.
 */
import { WeightDiffError } from "../errors.js";
import { quote } from "./quote.js";

/** serde_json's recursion limit is 128, which the 128th level reaches. */
const MAX_DEPTH = 127;

/** "python": with the numbers that json.dumps writes and json.loads reads beyond RFC 8259. */
export type JsonDialect = "strict" | "python";

/** Positions in the text, in UTF-16 units: `start` is in, `end` is out. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
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

export class JsonScanner {
  readonly #text: string;
  readonly #where: string;
  readonly #dialect: JsonDialect;
  #at = 0;
  #depth = 0;

  /** `where` is what messages call the text: "model.safetensors: header". */
  constructor(text: string, where: string, dialect: JsonDialect = "strict") {
    this.#text = text;
    this.#where = where;
    this.#dialect = dialect;
  }

  /** The next character that is not white space; "" at the end. */
  peek(): string {
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) {
        return this.#text.charAt(this.#at);
      }
      this.#at += 1;
    }
  }

  /** Reads an object; `entry` must consume each value. @throws {WeightDiffError} FORMAT_INVALID on a key that comes twice. */
  object(entry: (key: string) => void): void {
    this.#open("{");
    const seen = new Set<string>();
    if (this.peek() !== "}") {
      do {
        const key = this.string();
        if (seen.has(key)) {
          this.fail(`the key ${quote(key)} occurs twice`);
        }
        seen.add(key);
        this.#expect(":");
        entry(key);
      } while (this.#take(","));
    }
    this.#expect("}");
    this.#depth -= 1;
  }

  /** Reads an array; `element` must consume each value. */
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
    this.#expect('"');
    let text = "";
    let start = this.#at;
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit === QUOTE) {
        text += this.#text.slice(start, this.#at);
        this.#at += 1;
        return text;
      }
      if (unit === BACKSLASH) {
        text += this.#text.slice(start, this.#at);
        text += this.#escape();
        start = this.#at;
      } else if (unit >= 0x20) {
        this.#at += 1;
      } else {
        this.fail(Number.isNaN(unit) ? "a string does not end" : "a string holds a raw control character");
      }
    }
  }

  /** A non-negative integer spelled `0|[1-9][0-9]*`, below 2^53. 16.0, 1e3, -0 and "0" are none, as for serde's usize. */
  integer(): number {
    const span = this.#number();
    const text = this.#text.slice(span.start, Math.min(span.end, span.start + 20));
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
    const value = Number(this.#text.slice(span.start, span.end));
    return Number.isFinite(value) || this.#dialect === "python" ? value : this.fail("a number is out of range");
  }

  /** One of true, false, null. */
  literal(): boolean | null {
    const first = this.peek();
    for (const [word, value] of [
      ["true", true],
      ["false", false],
      ["null", null],
    ] as const) {
      if (first === word[0] && this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.fail(first === "" ? "the text ends early" : `unexpected ${quote(first)}`);
  }

  /** Passes over one value of any kind, checking it all the same. */
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
      `${this.#where} is not the JSON expected: ${what} (at character ${this.#at})`,
      "the file is damaged or was edited by hand: download it again",
    );
  }

  #nonFinite(): string | undefined {
    this.peek();
    return this.#dialect === "python" ? NON_FINITE.find((word) => this.#text.startsWith(word, this.#at)) : undefined;
  }

  #take(character: string): boolean {
    const found = this.peek() === character;
    if (found) {
      this.#at += 1;
    }
    return found;
  }

  #expect(character: string): void {
    if (!this.#take(character)) {
      const found = this.peek();
      this.fail(`expected ${character}, found ${found === "" ? "the end" : quote(found)}`);
    }
  }

  #open(bracket: string): void {
    this.#expect(bracket);
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) {
      throw new WeightDiffError("LIMIT", `${this.#where} is nested deeper than ${MAX_DEPTH} levels`);
    }
  }

  /** Scanned by hand: a regular expression overflows its stack on megabytes of digits. */
  #number(): Span {
    this.peek();
    const start = this.#at;
    this.#at += this.#text.startsWith("-", start) ? 1 : 0;
    const whole = this.#digits();
    if (whole === 0 || (whole > 1 && this.#text[this.#at - whole] === "0")) {
      this.fail("expected a number");
    }
    if (this.#text[this.#at] === ".") {
      this.#at += 1;
      if (this.#digits() === 0) {
        this.fail("a number ends in its point");
      }
    }
    const exponent = this.#text[this.#at];
    if (exponent === "e" || exponent === "E") {
      const sign = this.#text[this.#at + 1];
      this.#at += sign === "+" || sign === "-" ? 2 : 1;
      if (this.#digits() === 0) {
        this.fail("a number has an empty exponent");
      }
    }
    return { start, end: this.#at };
  }

  #digits(): number {
    const start = this.#at;
    for (let unit = this.#text.charCodeAt(this.#at); unit >= 0x30 && unit <= 0x39; ) {
      this.#at += 1;
      unit = this.#text.charCodeAt(this.#at);
    }
    return this.#at - start;
  }

  #escape(): string {
    const letter = this.#text.charAt(this.#at + 1);
    const simple = SIMPLE_ESCAPES.get(letter);
    if (simple !== undefined) {
      this.#at += 2;
      return simple;
    }
    const unit = this.#unicodeEscape();
    if (unit >= 0xd800 && unit <= 0xdbff) {
      const low = this.#text.startsWith("\\u", this.#at) ? this.#unicodeEscape() : 0;
      return low >= 0xdc00 && low <= 0xdfff
        ? String.fromCharCode(unit, low)
        : this.fail("a string holds half a surrogate pair");
    }
    return unit >= 0xdc00 && unit <= 0xdfff
      ? this.fail("a string holds half a surrogate pair")
      : String.fromCharCode(unit);
  }

  #unicodeEscape(): number {
    const spelt = this.#text.slice(this.#at, this.#at + 6);
    if (!/^\\u[0-9a-fA-F]{4}$/.test(spelt)) {
      this.fail("a string holds an unknown escape");
    }
    this.#at += 6;
    return Number.parseInt(spelt.slice(2), 16);
  }
}
