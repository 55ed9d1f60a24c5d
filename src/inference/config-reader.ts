/** Values of a config.json that a forward pass rests on: each is what it must be, or the file is refused. */
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";

export interface ConfigReader {
  readonly path: string;
  /** Undefined where the key is missing or null. All of them throw FORMAT_INVALID where it holds something else. */
  number(key: string): number | undefined;
  text(key: string): string | undefined;
  flag(key: string): boolean | undefined;
  /** An object in it. */
  part(key: string): ConfigReader | undefined;
  /** A whole number of at least 1. */
  count(key: string): number | undefined;
  /** A number above 0 that must be there. */
  positive(key: string): number;
  has(key: string): boolean;
  /** Are there objects in it? */
  hasParts(): boolean;
  invalid(what: string): WeightDiffError;
}

/** Past it no count of a config is believed: what it counts must be there as tensors, which are far fewer. */
const MOST = 2 ** 30;

export function configReader(path: string, values: Readonly<Record<string, unknown>>): ConfigReader {
  const invalid = (what: string): WeightDiffError =>
    new WeightDiffError("FORMAT_INVALID", what, "correct the file, or get it again", { at: { file: path } });
  const held = (key: string): unknown => (Object.hasOwn(values, key) ? (values[key] ?? undefined) : undefined);
  const wrong = (key: string, wanted: string): WeightDiffError =>
    invalid(`${key} is ${quote(String(JSON.stringify(held(key))).slice(0, 40))}, expected ${wanted}`);
  const number = (key: string): number | undefined => {
    const value = held(key);
    if (value !== undefined && (typeof value !== "number" || !Number.isFinite(value))) {
      throw wrong(key, "a number");
    }
    return value;
  };
  return {
    path,
    number,
    text(key) {
      const value = held(key);
      if (value !== undefined && typeof value !== "string") {
        throw wrong(key, "a text");
      }
      return value;
    },
    flag(key) {
      const value = held(key);
      if (value !== undefined && typeof value !== "boolean") {
        throw wrong(key, "true or false");
      }
      return value;
    },
    part(key) {
      const value = held(key);
      if (value === undefined) {
        return undefined;
      }
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        throw wrong(key, "an object");
      }
      return configReader(path, value as Readonly<Record<string, unknown>>);
    },
    count(key) {
      const value = number(key);
      if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1 && value <= MOST)) {
        throw wrong(key, "a whole number of at least 1");
      }
      return value;
    },
    positive(key) {
      const value = number(key);
      if (value === undefined || !(value > 0)) {
        throw wrong(key, "a number above 0");
      }
      return value;
    },
    has: (key) => held(key) !== undefined,
    hasParts: () =>
      Object.values(values).some((value) => typeof value === "object" && value !== null && !Array.isArray(value)),
    invalid,
  };
}
