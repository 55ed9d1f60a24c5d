/** Reads the values of a config.json that a forward pass needs. A value of a wrong type makes the file refused. */
import { WeightDiffError } from "../errors.js";
import { isObject } from "../formats/json.js";
import { printable, quote } from "../formats/quote.js";

/** The defaults of a config class for keys that a file leaves out. */
export interface ConfigDefaults {
  readonly values: Readonly<Record<string, unknown>>;
  /** Keys for which the class gives null a meaning. For all others, null is refused. */
  readonly nulls: ReadonlySet<string>;
}

export interface ConfigReader {
  readonly path: string;
  /** All of these throw FORMAT_INVALID if the key is missing without a default, or holds something else, null included. */
  number(key: string): number;
  text(key: string): string;
  flag(key: string): boolean;
  texts(key: string): readonly string[];
  /** A whole number of at least 1. */
  count(key: string): number;
  /** A number above 0. */
  positive(key: string): number;
  /** Null if the key is missing without a default, or for a null that is allowed. */
  orNull<T>(key: string, read: (key: string) => T): T | null;
  /** An object inside, without defaults. Null if the key is missing, null, or an empty object. */
  part(key: string): ConfigReader | null;
  /** Are there objects inside? */
  hasParts(): boolean;
  /** The defaults that were used so far, for messages: "head_dim 128". */
  taken(): readonly string[];
  invalid(what: string): WeightDiffError;
  unsupported(what: string, hint: string): WeightDiffError;
}

/** No count above this is accepted: the things that it counts must exist as tensors, and there are far fewer. */
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
        : `${key} is ${typeof value === "string" ? quote(value.slice(0, 40)) : shown(value)}, expected ${wanted}`,
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
    texts: read(
      "a list of texts",
      (value): value is readonly string[] => Array.isArray(value) && value.every((each) => typeof each === "string"),
    ),
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

/** A value that is no text, as the file has it. */
function shown(value: unknown): string {
  return printable(String(JSON.stringify(value)).slice(0, 40));
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}
