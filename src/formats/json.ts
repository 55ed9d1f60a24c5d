/** JSON text as values, or as the places where they stand; what is JSON here says json-scanner.ts. */
import { type JsonDialect, JsonScanner, type Span } from "./json-scanner.js";

/**
 * The whole text as values. Objects have no prototype, so "__proto__" is a key like any other.
 * @throws {WeightDiffError} FORMAT_INVALID on anything serde_json refuses and on duplicate keys; LIMIT past 127 levels.
 */
export function parseJson(text: string, where: string, dialect: JsonDialect = "strict"): unknown {
  const scanner = new JsonScanner(text, where, dialect);
  const value = readValue(scanner);
  scanner.end();
  return value;
}

function readValue(scanner: JsonScanner): unknown {
  const first = scanner.peek();
  if (first === "{") {
    const record: Record<string, unknown> = Object.create(null);
    scanner.object((key) => {
      record[key] = readValue(scanner);
    });
    return record;
  }
  if (first === "[") {
    const list: unknown[] = [];
    scanner.array(() => list.push(readValue(scanner)));
    return list;
  }
  if (first === '"') {
    return scanner.string();
  }
  return scanner.atNumber() ? scanner.number() : scanner.literal();
}

/** Where each value of the outermost object stands in `text`, so that one can be replaced and all else kept as it is. */
export function topLevelSpans(text: string, where: string, dialect: JsonDialect = "strict"): ReadonlyMap<string, Span> {
  const scanner = new JsonScanner(text, where, dialect);
  const spans = new Map<string, Span>();
  scanner.object((key) => spans.set(key, scanner.skip()));
  scanner.end();
  return spans;
}
