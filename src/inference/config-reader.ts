/** Values of a config.json that a forward pass rests on: each is what it must be, or the file is refused. */
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";

/** What a config class has for the keys that a file leaves out. */
export interface ConfigDefaults {
  readonly values: Readonly<Record<string, unknown>>;
  /** Keys of which null says something, as the class has it; of all others it is refused. */
  readonly nulls: ReadonlySet<string>;
}

export interface ConfigReader {
  readonly path: string;
  /** All of them throw FORMAT_INVALID where the key is missing and has no default, and where it holds something else, null too. */
  number(key: string): number;
  text(key: string): string;
  flag(key: string): boolean;
  /** A whole number of at least 1. */
  count(key: string): number;
  /** A number above 0. */
  positive(key: string): number;
  /** Null where the key is missing and has no default, and for a null that is allowed. */
  orNull<T>(key: string, read: (key: string) => T): T | null;
  /** An object in it, without defaults; null where the key is missing, null, or holds an empty one. */
  part(key: string): ConfigReader | null;
  /** Are there objects in it? */
  hasParts(): boolean;
  /** Defaults that were taken so far, as a user would write them: "head_dim 128". */
  taken(): readonly string[];
  invalid(what: string): WeightDiffError;
  unsupported(what: string, hint: string): WeightDiffError;
}

/** Past it no count of a config is believed: what it counts must be there as tensors, which are far fewer. */
const MOST = 2 ** 30;
const NO_DEFAULTS: ConfigDefaults = { values: {}, nulls: new Set() };

export function configReader(
  path: string,
  values: Readonly<Record<string, unknown>>,
  defaults: ConfigDefaults = NO_DEFAULTS,
): ConfigReader {
  const taken = new Set<string>();
  const held = (key: string): unknown => {
    if (Object.hasOwn(values, key) || !Object.hasOwn(defaults.values, key)) {
      return Object.hasOwn(values, key) ? values[key] : undefined;
    }
    if (defaults.values[key] !== null) {
      taken.add(`${key} ${defaults.values[key]}`);
    }
    return defaults.values[key];
  };
  const invalid = (what: string): WeightDiffError =>
    new WeightDiffError("FORMAT_INVALID", what, "correct the file, or get it again", { at: { file: path } });
  const wrong = (key: string, wanted: string): WeightDiffError => {
    const value = held(key);
    return invalid(
      value === undefined
        ? `it has no ${key}`
        : `${key} is ${quote(String(JSON.stringify(value)).slice(0, 40))}, expected ${wanted}`,
    );
  };
  const read =
    <T>(wanted: string, fits: (value: unknown) => value is T) =>
    (key: string): T => {
      const value = held(key);
      if (!fits(value)) {
        throw wrong(key, wanted);
      }
      return value;
    };
  return {
    path,
    number: read("a number", isNumber),
    text: read("a text", (value) => typeof value === "string"),
    flag: read("true or false", (value) => typeof value === "boolean"),
    count: read(
      "a whole number of at least 1",
      (value): value is number => Number.isSafeInteger(value) && isNumber(value) && value >= 1 && value <= MOST,
    ),
    positive: read("a number above 0", (value): value is number => isNumber(value) && value > 0),
    orNull(key, reads) {
      const value = held(key);
      const none = value === undefined || (value === null && (!Object.hasOwn(values, key) || defaults.nulls.has(key)));
      return none ? null : reads(key);
    },
    part(key) {
      const value = held(key) ?? {};
      if (!isObject(value)) {
        throw wrong(key, "an object");
      }
      return Object.keys(value).length === 0 ? null : configReader(path, value);
    },
    hasParts: () => Object.values(values).some(isObject),
    taken: () => [...taken],
    invalid,
    unsupported: (what, hint) => new WeightDiffError("FORMAT_UNSUPPORTED", what, hint, { at: { file: path } }),
  };
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
