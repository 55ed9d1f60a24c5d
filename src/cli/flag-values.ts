/** What the value of one flag may be: kinds of text, checked by zod, and the error that names the flag. */
import { z } from "zod";
import { WeightDiffError } from "../errors.js";

/** torch's names -> ours. */
export const DTYPES = {
  float32: "F32",
  fp32: "F32",
  float16: "F16",
  fp16: "F16",
  bfloat16: "BF16",
  bf16: "BF16",
} as const;

/** One of the words, which the error lists. */
export const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, `one of ${values.join(", ")}`);

/** python-fire passes True and False; a bare flag is true. */
export const fireBool = z.union([z.boolean(), z.string()]).transform((value, context) => {
  if (typeof value === "boolean") {
    return value;
  }
  if (/^(true|1|yes)$/i.test(value)) {
    return true;
  }
  if (!/^(false|0|no|none)$/i.test(value)) {
    context.addIssue({ code: "custom", message: "True or False" });
  }
  return false;
});

/** Text that `parse` turns into a number, or null if it is none. */
export function parsed(parse: (text: string) => number | null, what: string) {
  return z.string().transform((text, context) => {
    const value = parse(text);
    if (value === null) {
      context.addIssue({ code: "custom", message: what });
      return z.NEVER;
    }
    return value;
  });
}

/** A decimal number; null if it is none. */
export function parseNumber(text: string): number | null {
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text.trim()) ? Number(text) : null;
}

export const COMPUTE_DTYPES = ["float32", "fp32", "float16", "fp16", "bfloat16", "bf16"] as const;

/** The values of the flags. @throws {WeightDiffError} USAGE naming the flag. */
export function check<T extends z.ZodType>(schema: T, flags: Readonly<Record<string, unknown>>): z.infer<T> {
  const parsed = schema.safeParse(flags);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const flag = `--${String(issue?.path[0] ?? "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
    throw new WeightDiffError("USAGE", `${flag}: ${issue?.message ?? "not understood"}`, "see weight-diff --help");
  }
  return parsed.data;
}

/** Bytes of "5GB" (decimal, as transformers), "10GiB", "4096"; null if it is none. */
export function parseSize(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?$/i.exec(text.trim());
  if (match === null) {
    return null;
  }
  const [, number = "", unit = "", binary] = match;
  const bytes = Math.floor(
    Number(number) * (binary === "" ? 1000 : 1024) ** " kmgt".indexOf(unit === "" ? " " : unit.toLowerCase()),
  );
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null;
}
