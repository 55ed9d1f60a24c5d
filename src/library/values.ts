/** The kinds of values that options take. The message of each says what was given and what is allowed. */
import * as z from "zod";
import { isObject } from "../formats/json.js";
import { quote } from "../formats/quote.js";

/** A value that `is` accepts. @param what the allowed values, in the words of the message. */
export const value = (what: string, is: (value: unknown) => boolean): z.ZodType =>
  z.custom((given) => given !== undefined && is(given), {
    error: ({ input }) => (input === undefined ? `is missing: ${what}` : `${shown(input)} is not ${what}`),
  });
export const text = (what: string): z.ZodType => value(what, (given) => typeof given === "string" && given !== "");
export const oneOf = (...values: readonly unknown[]): z.ZodType =>
  value(`one of ${values.map(shown).join(", ")}`, (given) => values.includes(given));
export const listOf = (of: z.ZodType, what: string): z.ZodType =>
  value(what, (given) => Array.isArray(given) && given.every((each) => of.safeParse(each).success));
export const whole = (least: number, most = Number.MAX_SAFE_INTEGER): z.ZodType =>
  value(
    `a whole number from ${least}${most === Number.MAX_SAFE_INTEGER ? " on" : ` to ${most}`}`,
    (given) => Number.isSafeInteger(given) && Number(given) >= least && Number(given) <= most,
  );
export const instance = (what: string, ...methods: readonly string[]): z.ZodType =>
  value(what, (given) => isObject(given) && methods.every((name) => typeof given[name] === "function"));

/** A value as messages show it: text in quotes, short values as they are, and only the kind of everything else. */
export function shown(given: unknown): string {
  switch (typeof given) {
    case "string":
      return quote(given);
    case "number":
    case "boolean":
    case "undefined":
      return String(given);
    case "bigint":
      return `${given}n`;
    default:
      return given === null
        ? "null"
        : Array.isArray(given)
          ? "an array"
          : `${typeof given === "object" ? "an" : "a"} ${typeof given}`;
  }
}
