/** The kinds of values that the library's options take. Each says, as its message, what was given and what it takes. */
import * as z from "zod";
import { quote } from "../formats/quote.js";

/** A value that `is` accepts. @param what it should be, as messages have it. */
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

export function isObject(given: unknown): given is Record<string, unknown> {
  return typeof given === "object" && given !== null && !Array.isArray(given);
}

/** A value in a message: text in quotes, of everything else no more than its kind where it has no short form. */
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
