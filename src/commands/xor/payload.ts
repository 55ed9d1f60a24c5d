/**
 * Recognises the payloads of XOR codecs: `.enc` files, or files with the names of weights that do not hold weights, while the base has
 * files of the same names. Names alone decide nothing; the first bytes do.
 */
import { enterFolder, type Folder, findFolder, type ListedFile, noFolder } from "../../checkpoint/file-list.js";
import { WeightDiffError } from "../../errors.js";
import type { Guard } from "../../evidence/guard-names.js";
import { readText } from "../../files/small-files.js";
import { promiseOf } from "../../formats/file-start.js";
import { printable } from "../../formats/quote.js";
import { mayBeXored } from "../../formats/weight-file.js";
import { parseWeightIndex } from "../../formats/weight-index.js";
import { inParallel } from "../../hub/download.js";
import type { Hub } from "../../hub/place.js";
import { openShardSource } from "../../hub/source.js";
import { SCHEMES } from "../../scheme/families.js";
import { MAX_JSON } from "./look.js";

/** `<name>.<sha256 of the content>.enc`. */
export const ENC_FILE = /^(.+)\.([0-9a-f]{64})\.enc$/;

const MODEL_FILE = /^(pytorch_model|model)(-.*)?\.(bin|safetensors)$/;
const MODEL_INDEX = /^(pytorch_model\.bin|model\.safetensors)\.index\.json$/;

/** Published repositories hold one folder. Each folder is listed, and on the Hub its small files are fetched. */
const MAX_FOLDERS = 20;

export interface FoundPayload {
  readonly folder: Folder;
  /** Null if the JSON files have yet to tell oa-xor from pygmalion. */
  readonly scheme: string | null;
  /** The reason, in words. */
  readonly reason: string;
}

interface PayloadQuestion {
  readonly diff: string;
  readonly raw: string;
  /** "auto", or a name in the table of schemes. */
  readonly scheme: string;
  readonly ignore?: readonly Guard[];
  /** Null if both are on this disk. */
  readonly hub?: Hub | null;
}

/**
 * The payload at `diff`; null if it is none. A directory that holds only one folder with the payload, as in the published repositories,
 * stands for that folder.
 * @throws {WeightDiffError} NOT_A_DIFF if base and payload are swapped; NOT_FOUND, IO, HUB_…, NETWORK.
 */
export async function findXorPayload(question: PayloadQuestion): Promise<FoundPayload | null> {
  const { diff, raw, scheme, hub = null } = question;
  const asked = SCHEMES.find(({ name, operation }) => operation === "xor" && name === scheme);
  if (asked === undefined && scheme !== "auto") {
    return null;
  }
  if (asked !== undefined) {
    const folder = await payloadFolder(diff, hub);
    return { folder: await descend(folder, hub), scheme: asked.name, reason: "as you say" };
  }
  const payload = await evidence(diff, hub);
  if (payload === null && question.ignore?.includes("swapped") !== true) {
    const other = await evidence(raw, hub);
    if (other !== null) {
      throw new WeightDiffError(
        "NOT_A_DIFF",
        `base and diff are swapped: ${other.reason}, but they are given as the base`,
        `give them the other way round: ${diff} is the base, ${raw} the diff`,
      );
    }
  }
  return payload;
}

/** @throws {WeightDiffError} NOT_FOUND if it is no folder; IO, HUB_…, NETWORK. */
export async function payloadFolder(path: string, hub: Hub | null): Promise<Folder> {
  const folder = await findFolder(path, hub);
  if (folder === null) {
    throw await noFolder(path, hub, "not a directory", "give the directory with the payload's files");
  }
  return folder;
}

async function evidence(path: string, hub: Hub | null): Promise<FoundPayload | null> {
  const listed = await findFolder(path, hub).catch((error: unknown) => {
    // Opening it as a checkpoint will report what is wrong with it.
    if (error instanceof WeightDiffError && error.code !== "IO") {
      return null;
    }
    throw error;
  });
  if (listed === null) {
    return null;
  }
  const folder = await descend(listed, hub);
  const encrypted = folder.files.find(({ file }) => ENC_FILE.test(file));
  if (encrypted !== undefined) {
    return { folder, scheme: "point-alpaca", reason: `${path} holds ${printable(encrypted.file)}` };
  }
  const xored = new Set<string>();
  await inParallel(await weightFiles(folder), undefined, async (weights) => {
    if (await isXored(weights)) {
      xored.add(weights.file);
    }
  });
  const [first] = [...xored].sort();
  return first === undefined
    ? null
    : {
        folder,
        scheme: null,
        reason: `${path} holds ${printable(first)}, which has a weight file's name but is not one`,
      };
}

/** The files that a loader would read. Other files, such as training state or shards of an earlier upload, tell nothing. */
async function weightFiles({ files }: Folder): Promise<Folder["files"]> {
  const weights = files.filter(({ file }) => MODEL_FILE.test(file));
  const listed = new Set<string>();
  for (const { file, path } of files.filter((each) => MODEL_INDEX.test(each.file))) {
    const shards = await readText(path, MAX_JSON)
      .then((text) => parseWeightIndex(text, file).weightMap.values())
      .catch(() => []); // XORed itself, or damaged
    for (const shard of shards) {
      listed.add(shard);
    }
  }
  const used = weights.filter(({ file }) => listed.has(file));
  return used.length > 0 ? used : weights;
}

async function isXored(weights: ListedFile): Promise<boolean> {
  const source = await openShardSource(weights);
  try {
    return await mayBeXored(source);
  } finally {
    await source.close();
  }
}

/** Goes into the only directory with files of a payload, if this one has none. */
async function descend(folder: Folder, hub: Hub | null): Promise<Folder> {
  const holds = ({ files }: Folder): boolean =>
    files.some(({ file }) => ENC_FILE.test(file) || promiseOf(file)?.kind === "weights");
  const names = folder.folders.filter((name) => !name.startsWith("."));
  if (holds(folder) || names.length > MAX_FOLDERS) {
    return folder;
  }
  const inner: Folder[] = [];
  for (const name of names) {
    const candidate = await enterFolder(folder, name, hub).catch(() => null); // a folder that cannot be listed counts as empty
    if (candidate !== null && holds(candidate)) {
      inner.push(candidate);
    }
  }
  return inner.length === 1 && inner[0] !== undefined ? inner[0] : folder;
}
