/** The possible values of a flag, from its schema: for completions, and for other text that is made from the table. */
import type { Flag } from "./flag.js";
import { wordsOf } from "./values.js";

/** The words that the flag allows; empty if it takes other values. */
export function choicesOf({ choices, schema }: Flag): readonly string[] {
  return choices ?? (schema === undefined ? [] : wordsOf(schema));
}

/** Placeholders for numbers. */
const NUMBERS = new Set(["N", "NUMBER", "SECONDS"]);
/** Placeholders for something that is, or may be, a file or a directory. */
const PATHS = new Set([
  ...["BASE", "DIFF", "TUNED", "OUT", "DIR", "DEST", "PAYLOAD", "CHECKPOINT", "CHAIN", "PATH", "OTHER", "FILE"],
]);

/** The kind of value that the flag takes. */
export function kindOf(flag: Flag): "switch" | "choice" | "number" | "path" | "text" {
  const { takes } = flag;
  return takes === undefined
    ? "switch"
    : choicesOf(flag).length > 0
      ? "choice"
      : NUMBERS.has(takes)
        ? "number"
        : PATHS.has(takes)
          ? "path"
          : "text";
}
