/**
 * Recognises what the XOR codecs published: `.enc` files, or files with the names of weights that are none while the base has
 * files of the same names. Nothing is guessed from names alone: the first bytes decide.
 */
import { join } from "node:path";
import { type Folder, isFolder, listFolder } from "./checkpoint/file-list.js";
import { openFileSource } from "./checkpoint/file-source.js";
import { WeightDiffError } from "./errors.js";
import { promiseOf } from "./formats/file-start.js";
import { printable } from "./formats/quote.js";
import { mayBeXored } from "./formats/weight-file.js";
import type { Guard } from "./guards.js";
import { SCHEMES } from "./scheme.js";

/** `<name>.<sha256 of the content>.enc`. */
export const ENC_FILE = /^(.+)\.([0-9a-f]{64})\.enc$/;

export interface FoundPayload {
  readonly folder: Folder;
  /** Null where the JSON files have yet to tell oa-xor from pygmalion. */
  readonly scheme: string | null;
  /** Why, in words. */
  readonly reason: string;
}

export interface PayloadQuestion {
  readonly diff: string;
  readonly raw: string;
  /** "auto", or a name in the table of schemes. */
  readonly scheme: string;
  readonly ignore?: readonly Guard[];
}

/**
 * The payload that `diff` is; null if it is none. A directory that holds nothing but one with the payload, as the published
 * repositories do, stands for that one.
 * @throws {WeightDiffError} NOT_A_DIFF if base and payload are swapped, NOT_FOUND, IO.
 */
export async function findXorPayload(question: PayloadQuestion): Promise<FoundPayload | null> {
  const { diff, raw, scheme } = question;
  const asked = SCHEMES.find(({ name, operation }) => operation === "xor" && name === scheme);
  if (asked === undefined && scheme !== "auto") {
    return null;
  }
  if (asked !== undefined) {
    if (!(await isFolder(diff))) {
      throw new WeightDiffError(
        "NOT_FOUND",
        `${diff}: no such directory`,
        "give the directory with the payload's files",
      );
    }
    const folder = await descend(await listFolder(diff));
    return { folder, scheme: asked.name, reason: "as --scheme says" };
  }
  if (!(await isFolder(diff))) {
    return null;
  }
  const payload = await evidence(diff);
  if (payload === null && question.ignore?.includes("swapped") !== true && (await isFolder(raw))) {
    const other = await evidence(raw);
    if (other !== null) {
      throw new WeightDiffError(
        "NOT_A_DIFF",
        `base and diff are swapped: ${other.reason}, and they are given as the base`,
        `give them the other way round: --path_raw ${diff} --path_diff ${raw}`,
      );
    }
  }
  return payload;
}

async function evidence(path: string): Promise<FoundPayload | null> {
  const listed = await listFolder(path).catch((error: unknown) => {
    // Opening it as a checkpoint will say what is wrong with it.
    if (error instanceof WeightDiffError && error.code !== "IO") {
      return null;
    }
    throw error;
  });
  if (listed === null) {
    return null;
  }
  const folder = await descend(listed);
  const encrypted = folder.files.find(({ file }) => ENC_FILE.test(file));
  if (encrypted !== undefined) {
    return { folder, scheme: "point-alpaca", reason: `${path} holds ${printable(encrypted.file)}` };
  }
  const foreign: string[] = [];
  for (const { file, path: weights } of weightFiles(folder)) {
    if (await isXored(weights)) {
      foreign.push(file);
    }
  }
  const [first] = foreign;
  return first === undefined
    ? null
    : { folder, scheme: null, reason: `${path} holds ${printable(first)}, which has a weight file's name and is none` };
}

function weightFiles(folder: Folder): Folder["files"] {
  return folder.files.filter(({ file }) => promiseOf(file)?.kind === "weights");
}

async function isXored(path: string): Promise<boolean> {
  const source = await openFileSource(path);
  try {
    return await mayBeXored(source);
  } finally {
    await source.close();
  }
}

/** Into the one directory that holds files of a payload, if this one holds none. */
async function descend(folder: Folder): Promise<Folder> {
  const holds = ({ files }: Folder): boolean =>
    files.some(({ file }) => ENC_FILE.test(file) || promiseOf(file)?.kind === "weights");
  if (holds(folder)) {
    return folder;
  }
  const inner: Folder[] = [];
  for (const name of folder.folders.filter((name) => !name.startsWith("."))) {
    const candidate = await listFolder(join(folder.directory, name)).catch(() => null); // what cannot be listed holds nothing
    if (candidate !== null && holds(candidate)) {
      inner.push({ ...candidate, path: join(folder.path, name), repo: folder.repo, commit: folder.commit });
    }
  }
  return inner.length === 1 && inner[0] !== undefined ? inner[0] : folder;
}
