/** What a flag's value may be, as its schema has it: for completions, and for whatever else is written from the table. */
import type { Flag } from "./flag.js";
import { wordsOf } from "./values.js";

/** The words that it may be; none if it is not one of a list. */
export function choicesOf({ choices, schema }: Flag): readonly string[] {
  return choices ?? (schema === undefined ? [] : wordsOf(schema));
}

/** What it takes is a number. */
const NUMBERS = new Set(["N", "NUMBER", "SECONDS"]);
/** What it takes is a file or a directory, or may be. */
const PATHS = new Set([
  ...["BASE", "DIFF", "TUNED", "OUT", "DIR", "DEST", "PAYLOAD", "CHECKPOINT", "CHAIN", "PATH", "OTHER", "FILE"],
]);

/** What kind of value: nothing, one of a list, a number, a path, or text. */
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
