/** The small files of a version: its index or manifest, and the pointer. They are read as a whole, from the disk or from the Hub. */
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import type { Folder, ListedFile } from "../checkpoint/file-list.js";
import { WeightDiffError } from "../errors.js";
import { decodeText } from "../files/file-source.js";
import { type ValueReader, valueReader } from "../formats/json.js";
import { JsonScanner } from "../formats/json-scanner.js";
import { type Lend, withLentMemory } from "../formats/lent-memory.js";
import { openShardSource } from "../hub/source.js";
import { chainError } from "./chain.js";

/** The most bytes: as many as a header may have. A tensor takes some hundred. */
const MOST = 25_000_000;

export interface SmallFile {
  readonly file: ListedFile;
  readonly sha256: string;
}

export function fileNamed({ files }: Folder, name: string): ListedFile | undefined {
  return files.find(({ file }) => file === name);
}

/** @throws {WeightDiffError} LIMIT, FORMAT_INVALID, LINK_OUTSIDE, IO, HUB_…. */
export async function readSmall(file: ListedFile, directory: string): Promise<SmallFile & { readonly text: string }> {
  const { bytes, ...small } = await readBytes(file, directory);
  return { ...small, text: decodeText(bytes, file.name) };
}

async function readBytes(
  file: ListedFile,
  directory: string,
  lend?: Lend,
): Promise<SmallFile & { readonly bytes: Uint8Array }> {
  const source = await openShardSource({ ...file, within: directory });
  try {
    if (source.size > MOST) {
      throw new WeightDiffError("LIMIT", `${source.size} bytes, at most ${MOST} are read`, "get it again", {
        at: { file: file.name },
      });
    }
    const bytes = await source.readAt(0, source.size, lend?.(source.size));
    return { file, bytes, sha256: createHash("sha256").update(bytes).digest("hex") };
  } finally {
    await source.close();
  }
}

/** Reads a JSON object that has each key once. @param version to which the file belongs, for messages. @throws {WeightDiffError} as readJson. */
export async function readRecord(
  file: ListedFile,
  directory: string,
  version: string,
): Promise<SmallFile & { readonly record: ReadonlyMap<string, unknown> }> {
  const { value, ...small } = await readJson(file, directory, version, (scanner, values) => {
    return fieldsOf(values.read()) ?? refuseNoObject(scanner);
  });
  return { ...small, record: value };
}

/**
 * Reads a file of JSON, in which objects become Maps.
 * @param version to which the file belongs, for messages.
 * @param read reads the whole value.
 * @throws {WeightDiffError} with `why` "incomplete" if it is cut short or damaged.
 */
export async function readJson<T>(
  file: ListedFile,
  directory: string,
  version: string,
  read: (scanner: JsonScanner, values: ValueReader) => T,
): Promise<SmallFile & { readonly value: T }> {
  try {
    return await withLentMemory(async (lend) => {
      const { bytes, ...small } = await readBytes(file, directory, lend);
      if (!isUtf8(bytes)) {
        decodeText(bytes, file.name); // it tells the fault
      }
      const scanner = new JsonScanner(bytes, file.name, "python");
      const value = read(scanner, valueReader(scanner, file.name, undefined, "map"));
      scanner.end();
      return { ...small, value };
    });
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "LINK_OUTSIDE") {
      throw strayLink(error, version);
    }
    if (error instanceof WeightDiffError && ["input", "limit"].includes(error.kind)) {
      throw chainError(
        "incomplete",
        `cannot be read: ${error.fact}`,
        "it was cut short or damaged: fetch this version again, or stop before it",
        { file: file.name, version },
        { cause: error },
      );
    }
    throw error;
  }
}

/** @throws {WeightDiffError} after a value that is not an object. */
export function refuseNoObject(scanner: JsonScanner): never {
  scanner.end();
  throw new WeightDiffError("FORMAT_INVALID", "is not a JSON object");
}

/** The error for a link that leads out of the version's folder. */
export function strayLink(error: WeightDiffError, version: string): WeightDiffError {
  const { code, fact, at } = error;
  const hint = "put the file itself in place of the link";
  return new WeightDiffError(code, fact, hint, { at: { ...at, version }, why: "index-path", cause: error });
}

/** The fields of an object that was parsed as a Map; null if it is not an object. */
export function fieldsOf(value: unknown): ReadonlyMap<string, unknown> | null {
  return value instanceof Map ? value : null;
}

/** Turns a value that was parsed in this way into JSON again, for messages. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_, inner) => (inner instanceof Map ? Object.fromEntries(inner) : inner));
}

/** A version's number: "000004" or 4. Null for anything else. */
export function numberOf(value: unknown): number | null {
  if (typeof value === "string") {
    return /^[0-9]{1,15}$/.test(value) ? Number(value) : null;
  }
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0) ? value : null;
}
