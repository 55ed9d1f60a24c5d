/**
 * The values of flags: kinds of text, checked by zod, and the message for a wrong value, which says what was given and what is possible.
 */
import * as z from "zod";
import { quote } from "../../formats/quote.js";
import type { PartNumber } from "../../output/part-names.js";

/** torch's names -> names here. */
const DTYPES = { float32: "F32", fp32: "F32", float16: "F16", fp16: "F16", bfloat16: "BF16", bf16: "BF16" } as const;
type DtypeName = keyof typeof DTYPES;
const DTYPE_NAMES = Object.keys(DTYPES) as [DtypeName, ...DtypeName[]];

/** A word, a path or a name. */
export const text = z.string().min(1, "is empty");

/** One of the words. The error lists them. */
export const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, { error: ({ input }) => `${given(input)} is not one of ${values.join(", ")}` });

/** Several of the words, separated by commas. */
export const someOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z
    .string()
    .transform((list) => list.split(",").map((word) => word.trim()))
    .pipe(z.array(oneOf(values)));

export const dtype = oneOf(DTYPE_NAMES).transform((name) => DTYPES[name]);

export const dtypeOrAuto = oneOf([...DTYPE_NAMES, "auto"]).transform((name) => (name === "auto" ? name : DTYPES[name]));

export const dtypeOrStored = oneOf([...DTYPE_NAMES, "stored"]).transform((name) =>
  name === "stored" ? name : DTYPES[name],
);

/** python-fire passes True and False. A bare flag is true. */
export const trueOrFalse = z.union([z.boolean(), z.string()]).transform((value, context): boolean => {
  const word = String(value);
  const isTrue = /^(true|1|yes)$/i.test(word);
  if (!isTrue && !/^(false|0|no|none)$/i.test(word)) {
    context.addIssue({ code: "custom", message: `${given(value)} is not True or False` });
  }
  return isTrue;
});

/** False counts as not given. */
export const fireBool = <T>(whenTrue: T) =>
  trueOrFalse.transform((given): T | undefined => (given ? whenTrue : undefined));

/** Text that matches the pattern. @param what what the text must be, for the message. */
export const like = (pattern: RegExp, what: string) =>
  z.string().regex(pattern, { error: ({ input }) => `${given(input)} is not ${what}` });

export const threads = like(/^[1-9]\d?$/, "a whole number from 1 to 99").transform(Number);

/** A version such as 4, or as publishers write it: 000004. */
export const version = like(/^[0-9]{1,15}$/, "the number of a version").transform(Number);
/** A whole number from 1 on. */
export const count = (most: number) =>
  z
    .string()
    .refine((text) => /^[1-9]\d{0,8}$/.test(text) && Number(text) <= most, {
      error: ({ input }) => `${given(input)} is not a whole number from 1 to ${most}`,
    })
    .transform(Number);

/** The flag without its value means `bare`. */
export const bareOr = <T>(bare: T, schema: z.ZodType<T, string>) =>
  z.union([z.literal(true).transform(() => bare), schema]);

/** "3/7"; or "auto" and "auto/7", for which `scheduler` returns the part, or a message about what is missing. */
export const partOf = (most: number, scheduler: (count: number | null) => PartNumber | string) =>
  z.string().transform((value, context): PartNumber => {
    const [, first = "", of] = /^(auto|\d{1,9})(?:\/(\d{1,9}))?$/.exec(value) ?? [];
    const count = of === undefined ? null : Number(of);
    const found =
      first === "" || (first !== "auto" && count === null) || (count !== null && (count < 1 || count > most))
        ? `is not K/N, as in 0/${count !== null && count > most ? most : 8} for the first of ${count !== null && count > most ? `${most}, the most that there are` : "8"}`
        : first === "auto"
          ? scheduler(count)
          : { index: Number(first), count: count ?? 1 };
    if (typeof found !== "string" && found.index < found.count) {
      return found;
    }
    const message =
      typeof found === "string"
        ? found
        : `parts count from 0: the last of ${found.count} is ${found.count - 1}/${found.count}`;
    context.addIssue({
      code: "custom",
      message: `${given(value)}${typeof found === "string" && found.startsWith("is ") ? " " : ": "}${message}`,
    });
    return z.NEVER;
  });

/** A number of seconds above 0. */
export const seconds = like(/^(?=.*[1-9])\d{1,9}(\.\d{1,3})?$/, "a number of seconds above 0").transform(Number);

/** Token ids, separated by commas or spaces. */
export const ids = z
  .string()
  .regex(/^\s*\d{1,9}([\s,]+\d{1,9})*\s*$/, { error: ({ input }) => `${given(input)} is not ids such as 1,450,22172` })
  .transform((list) =>
    list
      .trim()
      .split(/[\s,]+/)
      .map(Number),
  );

/** Any text, even an empty one. */
export const anyText = z.string();

/** A decimal number. */
export const number = like(/^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i, "a number").transform(Number);

/** A user who gives such a small number without a unit meant another unit. */
const LEAST_BARE_BYTES = 1_000_000;

export const size = z.string().transform((value, context): number => {
  const bytes = parseSize(value);
  if (bytes === null) {
    context.addIssue({ code: "custom", message: `${given(value)} is not a size such as 5GB, 500MB or 10GiB` });
    return z.NEVER;
  }
  if (bytes < LEAST_BARE_BYTES && /^\d+$/.test(value.trim())) {
    context.addIssue({
      code: "custom",
      message: `${given(value)} is ${bytes} bytes: write a unit, as in 5GB or 500MB`,
    });
    return z.NEVER;
  }
  return bytes;
});

/** The bytes of "5GB" (decimal, as in transformers), "10GiB", "4096"; null for any other text. */
export function parseSize(value: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?$/i.exec(value.trim());
  if (match === null) {
    return null;
  }
  const [, count = "", unit = "", binary] = match;
  const bytes = Math.floor(
    Number(count) * (binary === "" ? 1000 : 1024) ** " kmgt".indexOf(unit === "" ? " " : unit.toLowerCase()),
  );
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null;
}

function given(value: unknown): string {
  return quote(String(value));
}

/** The words that a schema allows; empty if it has another kind of rule. */
export function wordsOf(schema: unknown): readonly string[] {
  if (schema instanceof z.ZodEnum) {
    return schema.options.map(String);
  }
  if (schema instanceof z.ZodArray) {
    return wordsOf(schema.element);
  }
  if (schema instanceof z.ZodPipe) {
    const words = wordsOf(schema.in);
    return words.length > 0 ? words : wordsOf(schema.out);
  }
  return [];
}
