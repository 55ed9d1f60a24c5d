/** JSON as values, or as the places where values stand. json-scanner.ts decides what counts as JSON. */
import { WeightDiffError } from "../errors.js";
import { JsonScanner } from "./json-scanner.js";
import type { JsonDialect, Span } from "./json-tokens.js";

/** The most values from one text: two bytes of text can make an array of a hundred. Larger texts are read element by element. */
const MAX_VALUES = 500_000;

/**
 * The whole text as values. Objects have no prototype, so "__proto__" is a key like any other.
 * @throws {WeightDiffError} FORMAT_INVALID for everything that serde_json refuses, and for duplicate keys; LIMIT beyond 127 levels or half
 * a million values.
 */
export function parseJson(text: string | Uint8Array, where: string, dialect: JsonDialect = "strict"): unknown {
  const scanner = new JsonScanner(text, where, dialect);
  const value = readValue(scanner, where);
  scanner.end();
  return value;
}

/**
 * The same, with a Map for every object: of thousands of keys it takes less time and memory than a record.
 * @throws {WeightDiffError} as parseJson.
 */
export function parseJsonMaps(text: string | Uint8Array, where: string, dialect: JsonDialect = "strict"): unknown {
  const scanner = new JsonScanner(text, where, dialect);
  const value = readValue(scanner, where, MAX_VALUES, "map");
  scanner.end();
  return value;
}

/** One value of any kind, which comes next. @param most values in it. @throws {WeightDiffError} as parseJson. */
export function readValue(
  scanner: JsonScanner,
  where: string,
  most = MAX_VALUES,
  objects: "record" | "map" = "record",
): unknown {
  return valueReader(scanner, where, most, objects).read();
}

/** Reads one value after the other, all of which count together. */
export interface ValueReader {
  /** The value that comes next. */
  read(): unknown;
  /** Counts a value that somebody else reads. */
  count(): void;
}

/** @param most values in all. @throws {WeightDiffError} as parseJson. */
export function valueReader(
  scanner: JsonScanner,
  where: string,
  most = MAX_VALUES,
  objects: "record" | "map" = "record",
): ValueReader {
  let made = 0;
  const count = (): void => {
    made += 1;
    if (made > most) {
      throw new WeightDiffError("LIMIT", `${where} holds more than ${most} values`);
    }
  };
  const read = (): unknown => {
    count();
    const first = scanner.peek();
    if (first === "{" && objects === "map") {
      const map = new Map<string, unknown>();
      scanner.object((key) => {
        map.set(key, read());
      });
      return map;
    }
    if (first === "{") {
      const record: Record<string, unknown> = Object.create(null);
      scanner.object((key) => {
        record[key] = read();
      });
      return record;
    }
    if (first === "[") {
      const list: unknown[] = [];
      scanner.array(() => list.push(read()));
      return list;
    }
    if (first === '"') {
      return scanner.string();
    }
    return scanner.atNumber() ? scanner.number() : scanner.literal();
  };
  return { read, count };
}

/** Refuses text that is not JSON, and builds nothing. @throws {WeightDiffError} FORMAT_INVALID; LIMIT beyond 127 levels. */
export function checkJson(text: string | Uint8Array, where: string, dialect: JsonDialect = "strict"): void {
  const scanner = new JsonScanner(text, where, dialect);
  scanner.skip();
  scanner.end();
}

/** Where each value of the outermost object stands in the text, in bytes, so that one value can be replaced and everything else kept. */
export function topLevelSpans(
  text: string | Uint8Array,
  where: string,
  dialect: JsonDialect = "strict",
): ReadonlyMap<string, Span> {
  const scanner = new JsonScanner(text, where, dialect);
  const spans = new Map<string, Span>();
  scanner.object((key) => spans.set(key, scanner.skip()));
  scanner.end();
  return spans;
}

/** Every string in the values that have this key, at any depth. @throws {WeightDiffError} as parseJson. */
export function stringsUnder(
  text: string,
  key: string,
  where: string,
  dialect: JsonDialect = "strict",
): readonly string[] {
  const scanner = new JsonScanner(text, where, dialect);
  const strings: string[] = [];
  const walk = (inside: boolean): void => {
    const first = scanner.peek();
    if (first === "{") {
      scanner.object((found) => walk(inside || found === key));
    } else if (first === "[") {
      scanner.array(() => walk(inside));
    } else if (first === '"' && inside) {
      strings.push(scanner.string());
    } else {
      scanner.skip();
    }
  };
  walk(false);
  scanner.end();
  return strings;
}

/** Is it a JSON object, and neither an array nor null? */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
