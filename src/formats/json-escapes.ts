/** The escapes of a JSON string (RFC 8259, section 7). Half a surrogate pair is refused, as serde_json refuses it. */

const BACKSLASH = 0x5c;
const SIMPLE: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

/** Ends the reading: what is wrong, and at which byte. */
export type Fail = (what: string, at: number) => never;

/**
 * The text between a string's quotes, bytes `start` up to `end`. Unescaped text is never longer than before. It is assembled as bytes, so a
 * string of a million escapes becomes one string.
 */
export function unescaped(bytes: Buffer, start: number, end: number, fail: Fail): string {
  const text = Buffer.alloc(end - start);
  let length = 0;
  let from = start;
  let at = start;
  while (at < end) {
    if (bytes[at] === BACKSLASH) {
      length += bytes.copy(text, length, from, at);
      const [character, after] = escapeAt(bytes, at, fail);
      length += text.write(character, length);
      at = after;
      from = after;
    } else {
      at += 1;
    }
  }
  length += bytes.copy(text, length, from, end);
  return text.toString("utf8", 0, length);
}

/** What the escape at `at` stands for, and where it ends. */
function escapeAt(bytes: Buffer, at: number, fail: Fail): readonly [text: string, end: number] {
  const simple = SIMPLE.get(bytes.toString("latin1", at + 1, at + 2));
  if (simple !== undefined) {
    return [simple, at + 2];
  }
  const unit = unitAt(bytes, at, fail);
  const after = at + 6;
  if (unit < 0xd800 || unit > 0xdfff) {
    return [String.fromCharCode(unit), after];
  }
  if (unit > 0xdbff || bytes.toString("latin1", after, after + 2) !== "\\u") {
    return fail("a string holds half a surrogate pair", after);
  }
  const low = unitAt(bytes, after, fail);
  return low >= 0xdc00 && low <= 0xdfff
    ? [String.fromCharCode(unit, low), after + 6]
    : fail("a string holds half a surrogate pair", after + 6);
}

function unitAt(bytes: Buffer, at: number, fail: Fail): number {
  const spelt = bytes.toString("latin1", at, at + 6);
  return /^\\u[0-9a-fA-F]{4}$/.test(spelt)
    ? Number.parseInt(spelt.slice(2), 16)
    : fail("a string holds an unknown escape", at);
}
