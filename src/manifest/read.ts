/**
 * Reads a manifest element by element. Each element of a list is checked against its schema as soon as it is read, so memory holds only
 * what is kept.
 */
import * as z from "zod";
import { WeightDiffError } from "../errors.js";
import { openFileSource } from "../files/file-source.js";
import { readValue, topLevelSpans } from "../formats/json.js";
import { JsonScanner } from "../formats/json-scanner.js";
import { quote } from "../formats/quote.js";
import { MAX_RANK } from "../formats/tensor-info.js";
import { type Manifest, type UpdateManifest, WRITTEN, type XorManifest } from "./manifest.js";
import { digestOf, writeManifest } from "./write.js";

/** A tensor of make-diff takes some 700 bytes, in the file and in memory. A checkpoint has at most 200,000 tensors. */
const MAX_BYTES = 256_000_000;
/** For all lists together: tensors and files. */
const MAX_ELEMENTS = 250_000;
/** The most values in one element: three shapes, and fewer than twenty others. */
const MAX_VALUES = 3 * MAX_RANK + 20;

/** @throws {WeightDiffError} as readManifestBytes and parseManifest. */
export async function readManifest(path: string): Promise<Manifest> {
  return parseManifest(await readManifestBytes(path), path);
}

/** @throws {WeightDiffError} as readManifestBytes and parseXorManifest. */
export async function readXorManifest(path: string): Promise<XorManifest | null> {
  return parseXorManifest(await readManifestBytes(path), path);
}

/** The manifest of an update that was folded or made; null if it is of another kind. @throws {WeightDiffError} as readXorManifest. */
export async function readUpdateManifest(path: string): Promise<UpdateManifest | null> {
  const bytes = await readManifestBytes(path);
  return operationOf(bytes, path) === "update" ? (parse(bytes, "update", path) as UpdateManifest) : null;
}

/** @throws {WeightDiffError} NOT_FOUND, LIMIT, IO. */
export async function readManifestBytes(path: string): Promise<Uint8Array> {
  const source = await openFileSource(path);
  try {
    if (source.size > MAX_BYTES) {
      throw new WeightDiffError(
        "LIMIT",
        `${source.size} bytes, at most ${MAX_BYTES} are read`,
        "this is not a manifest",
        {
          at: { file: path },
        },
      );
    }
    return await source.readAt(0, source.size);
  } finally {
    await source.close();
  }
}

/**
 * @throws {WeightDiffError} FORMAT_INVALID if it is not a manifest of tensors; CHECK_FAILED if its own digest does not match; LIMIT if it
 * lists more than any model has.
 */
export function parseManifest(bytes: Uint8Array, path: string): Manifest {
  const manifest = parse(bytes, operationOf(bytes, path), path);
  if (manifest.operation === "xor" || manifest.operation === "update") {
    const what = manifest.operation === "xor" ? "whole files that xor made" : "an update of a chain, not of a model";
    throw new WeightDiffError("FORMAT_INVALID", `is the manifest of ${what}`, undefined, { at: { file: path } });
  }
  return manifest;
}

/**
 * The manifest of XORed files; null if it is of another kind.
 * @throws {WeightDiffError} FORMAT_INVALID if it is not JSON, or not what xor writes; CHECK_FAILED and LIMIT as parseManifest.
 */
export function parseXorManifest(bytes: Uint8Array, path: string): XorManifest | null {
  if (operationOf(bytes, path) !== "xor") {
    return null;
  }
  return parse(bytes, "xor", path) as XorManifest;
}

/** The finding about a manifest whose text is not what `writeManifest` wrote. */
export const RETYPED = "its text was changed since it was written, though not its values";

/**
 * Is the text byte for byte what `writeManifest` wrote? The digest covers the values, but neither white space nor the order of keys.
 * @param manifest parsed from the bytes, with keys in the order of the schemas.
 */
export function isVerbatim(bytes: Uint8Array, manifest: AnyManifest): boolean {
  let at = 0;
  for (const text of writeManifest(manifest)) {
    const piece = Buffer.from(text);
    if (!piece.equals(bytes.subarray(at, at + piece.length))) {
      return false;
    }
    at += piece.length;
  }
  return at === bytes.length;
}

/** Reads the key `operation` first, which decides the schema: keys may come in any order. Checks on the way that the whole text is JSON. */
function operationOf(bytes: Uint8Array, path: string): unknown {
  const { start, end } = topLevelSpans(bytes, path).get("operation") ?? { start: 0, end: 0 };
  return start === end ? undefined : readValue(new JsonScanner(bytes.subarray(start, end), path), path, MAX_VALUES);
}

function isOperation(value: unknown): value is keyof typeof WRITTEN {
  return typeof value === "string" && Object.hasOwn(WRITTEN, value);
}

/** Checks a manifest against its schema and its own digest. @returns the manifest without the digest. */
function parse(bytes: Uint8Array, operation: unknown, path: string): AnyManifest {
  if (!isOperation(operation)) {
    throw foreign(["operation"], "Invalid input", path);
  }
  const scanner = new JsonScanner(bytes, path);
  const { digest, ...manifest } = reader(scanner, path)(WRITTEN[operation], []) as Manifest & { digest: string };
  if (digest !== digestOf(manifest)) {
    throw new WeightDiffError("CHECK_FAILED", "damaged or edited: its own digest does not fit", "get the file again", {
      at: { file: path },
    });
  }
  return manifest;
}

type AnyManifest = Manifest | XorManifest | UpdateManifest;
type Read = (schema: z.ZodType, at: readonly (string | number)[]) => unknown;

/** Reads objects key by key and lists element by element. Elements are small and are read whole, unless they hold lists of objects. */
function reader(scanner: JsonScanner, path: string): Read {
  let elements = 0;
  const checked = (schema: z.ZodType, value: unknown, at: readonly (string | number)[]): unknown => {
    const { data, error } = schema.safeParse(value);
    if (error !== undefined) {
      const [issue] = error.issues;
      throw foreign([...at, ...(issue?.path ?? [])], issue?.message ?? "", path);
    }
    return data;
  };
  const value: Read = (schema, at) => checked(schema, readValue(scanner, path, MAX_VALUES), at);
  const object = ({ shape }: z.ZodObject, at: readonly (string | number)[]): unknown => {
    const found = new Map<string, unknown>();
    scanner.object((key) => {
      const schema = Object.hasOwn(shape, key) ? shape[key] : undefined;
      if (schema === undefined) {
        throw foreign(at, `Unrecognized key: ${quote(key)}`, path);
      }
      found.set(key, read(schema as z.ZodType, [...at, key]));
    });
    // In the order of the schema, whatever the order in the text.
    return Object.fromEntries(
      Object.entries(shape).flatMap(([key, schema]) => {
        const here = found.has(key) ? found.get(key) : checked(schema as z.ZodType, undefined, [...at, key]);
        return here === undefined ? [] : [[key, here]];
      }),
    );
  };
  const list = ({ element }: z.ZodArray, at: readonly (string | number)[]): unknown => {
    const found: unknown[] = [];
    const own = holdsObjects(element as z.ZodType) ? read : value;
    scanner.array((index) => {
      elements += 1;
      if (elements > MAX_ELEMENTS) {
        throw new WeightDiffError(
          "LIMIT",
          `lists more than ${MAX_ELEMENTS} tensors and files`,
          "no model has so many",
          {
            at: { file: path },
          },
        );
      }
      found.push(own(element as z.ZodType, [...at, index]));
    });
    return found;
  };
  const read: Read = (schema, at) => {
    const first = scanner.peek();
    if (schema instanceof z.ZodNullable && first === "{") {
      return read(schema.unwrap() as z.ZodType, at);
    }
    if (schema instanceof z.ZodObject && first === "{") {
      return object(schema, at);
    }
    return schema instanceof z.ZodArray && first === "[" ? list(schema, at) : value(schema, at);
  };
  return read;
}

/** A step of a chain may list any number of files. */
function holdsObjects(schema: z.ZodType): boolean {
  return (
    schema instanceof z.ZodObject &&
    Object.values(schema.shape).some((one) => one instanceof z.ZodArray && one.element instanceof z.ZodObject)
  );
}

/** @param at the keys that lead to the place; empty for the whole manifest. */
function foreign(at: readonly PropertyKey[], what: string, path: string): WeightDiffError {
  return new WeightDiffError(
    "FORMAT_INVALID",
    `not a manifest of this tool: ${at.length === 0 ? "" : `${at.map(String).join(".")}: `}${what}`,
    "it may be from a newer version: update weight-diff",
    { at: { file: path } },
  );
}
