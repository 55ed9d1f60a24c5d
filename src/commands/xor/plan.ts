/**
 * What becomes of each file of an XOR payload: decoded with which key, copied, or left; and whether the base is right, told by
 * the first bytes of every file and the whole header of every weight file, before anything is written. OpenAssistant's
 * xor_codec.py pairs files of the same name and passes over what fails; here what cannot be right is refused.
 */
import type { Folder, ListedFile } from "../../checkpoint/file-list.js";
import { refuseStandIn } from "../../checkpoint/side-files.js";
import { WeightDiffError } from "../../errors.js";
import { decodeText } from "../../files/file-source.js";
import { isSideFile } from "../../files/side-names.js";
import { FILE_HEAD, headText, isText, promiseOf } from "../../formats/file-start.js";
import { printable } from "../../formats/quote.js";
import { isBareFileName, parseWeightIndex } from "../../formats/weight-index.js";
import type { Hub } from "../../hub/place.js";
import { MANIFEST, STAGING } from "../../output/state.js";
import { findBase, findKey, type XorBase } from "./base.js";
import { judge, refuseEncoding, refuseWhole } from "./judge.js";
import { asItIs, beginningOf, headerOf, isLegible, isTextName, MAX_JSON, type XorFile } from "./look.js";
import { ENC_FILE, type FoundPayload } from "./payload.js";
import { openXorSource } from "./source.js";

export interface XorPlan {
  readonly scheme: string;
  readonly reason: string;
  readonly direction: "decode" | "encode";
  readonly payload: Folder;
  /** Its files are those that are used. */
  readonly base: XorBase;
  /** Smallest first: what is wrong shows early. */
  readonly files: readonly XorFile[];
  /** Bare names of what stays behind. */
  readonly left: readonly string[];
  readonly notes: readonly string[];
}

export interface XorPlanOptions {
  readonly raw: string;
  readonly direction: "decode" | "encode";
  /** Every payload file that is XORed is a gzip file; otherwise those that begin as one. When encoding: make them so. */
  readonly compress: boolean;
  /** Null where everything is on this disk. */
  readonly hub: Hub | null;
  /** Go on where a result does not look as its name promises. */
  readonly trustBase: boolean;
}

/** Names that this tool uses in an output directory while it works. */
const RESERVED = new RegExp(
  `^(journal|lock)([.].*)?$|^${STAGING.replace(".", "\\.")}$|^${MANIFEST.replace(".", "\\.")}$`,
);
/** Beside weights, worth having in a model even where the base has none. */
const isWorthHaving = (file: string): boolean => file.endsWith(".json") || isSideFile(file);
const DIGEST = 32;
/** An inflated payload has about its base file's length: F16 to F32 doubles it, and small files may grow. */
const MAX_GROWTH = 4;
const MAX_GROWTH_BYTES = 64_000_000;

/**
 * Plans the run. Reads heads and headers.
 * @throws {WeightDiffError} MISMATCH (a wrong base, with what was found; a file that the base lacks), NOT_A_DIFF (a payload that
 * is none; swapped), NOT_FOUND, NOT_WEIGHTS, TRUNCATED, FORMAT_INVALID, IO.
 */
export async function planXor(found: FoundPayload, options: XorPlanOptions): Promise<XorPlan> {
  const { folder } = found;
  const stream = found.scheme === "point-alpaca";
  const base = stream ? await findKey(options.raw, options.hub) : await findBase(options.raw, options.hub);
  const notes: string[] = [];
  const left: string[] = folder.folders.map((name) => `${name}/`);
  const drafts: XorFile[] = [];
  const baseFiles = new Map(base.files.map((file) => [file.file, file]));
  const [key] = base.files;
  const decrypted = new Set(folder.files.flatMap(({ file }) => ENC_FILE.exec(file)?.[1] ?? []));
  let plainJson: string | null = null;
  for (const payload of folder.files) {
    const { file } = payload;
    if (
      RESERVED.test(file) ||
      (options.direction === "decode" && (await isDescription(payload))) ||
      (stream && !file.endsWith(".enc") && (decrypted.has(file) || !isWorthHaving(file)))
    ) {
      left.push(file);
      continue;
    }
    // Weights may lie on another disk; what may be copied as it is must be the payload's own.
    const isWeights = file.endsWith(".enc") || promiseOf(file)?.kind === "weights";
    await refuseStandIn(isWeights ? payload : { ...payload, within: folder.directory }, file);
    if (stream && file.endsWith(".enc")) {
      if (key !== undefined) {
        drafts.push(await encrypted(payload, key));
      }
      continue;
    }
    const partner = stream ? undefined : baseFiles.get(file);
    const asIs = asItIs(payload);
    if (partner === undefined) {
      const legible = await isLegible(asIs);
      if (promiseOf(file)?.kind === "weights" || (file.endsWith(".json") && !legible)) {
        throw lacking(file, options.raw);
      }
      if (legible && isWorthHaving(file)) {
        drafts.push(asIs);
      } else {
        left.push(file);
      }
      continue;
    }
    await refuseStandIn(partner, file);
    const keepsJson = options.direction === "encode" ? found.scheme === "pygmalion" : found.scheme !== "oa-xor";
    if (keepsJson && promiseOf(file)?.kind !== "weights" && isTextName(file) && (await isLegible(asIs))) {
      plainJson = file;
      drafts.push(asIs);
      continue;
    }
    drafts.push(await paired(payload, partner, options));
  }
  if (drafts.every(({ key: used }) => used === null)) {
    throw new WeightDiffError(
      "NOT_A_DIFF",
      "holds no file to XOR with the base",
      "give the directory with the payload's weight files",
      { at: { file: folder.path } },
    );
  }
  const scheme = found.scheme ?? (plainJson === null ? "oa-xor" : "pygmalion");
  const told =
    found.scheme === null && plainJson !== null
      ? `${found.reason}; ${printable(plainJson)} is plain JSON`
      : found.reason;
  const files = await judgeAll(
    drafts.sort((a, b) => a.payload.size - b.payload.size),
    options,
    notes,
  );
  await checkIndexes(files, notes);
  const used = new Set(files.flatMap(({ key: by }) => (by === null ? [] : [by.input.path])));
  return {
    scheme,
    reason: told,
    direction: options.direction,
    payload: folder,
    base: { ...base, files: base.files.filter(({ path }) => used.has(path)) },
    files,
    left,
    notes,
  };
}

/** A card, or what git and the Hub keep for themselves: it describes the payload, unless it was XORed like everything else. */
async function isDescription(payload: ListedFile): Promise<boolean> {
  return /^\.git|^README\.md$/.test(payload.file) && isText(await beginningOf(asItIs(payload), FILE_HEAD));
}

/** Weights that need no decoding, and swapped inputs, say more than what comes of them. */
async function judgeAll(
  drafts: readonly XorFile[],
  { raw, direction, trustBase }: XorPlanOptions,
  notes: string[],
): Promise<readonly XorFile[]> {
  if (trustBase) {
    return drafts;
  }
  for (const draft of drafts) {
    await (direction === "encode" ? refuseEncoding(draft, raw) : refuseWhole(draft, raw));
  }
  if (direction === "encode") {
    return drafts;
  }
  const files: XorFile[] = [];
  for (const draft of drafts) {
    files.push(await judge(draft, notes));
  }
  return files;
}

/** An .enc file. Its first 32 bytes and its name state the same sha256. */
async function encrypted(payload: ListedFile, key: ListedFile): Promise<XorFile> {
  const [, file = "", named = ""] = ENC_FILE.exec(payload.file) ?? [];
  if (!isBareFileName(file) || RESERVED.test(file)) {
    throw new WeightDiffError(
      "FORMAT_INVALID",
      "not the name of an encrypted file: <name>.<64 hexadecimal digits>.enc is expected",
      "rename it as it was published",
      { at: { file: printable(payload.name) } },
    );
  }
  if (key.size === 0) {
    throw new WeightDiffError("NOT_WEIGHTS", "is empty", "download it again", { at: { file: key.name } });
  }
  const source = await openXorSource({ ...payload, skip: 0 }, null);
  try {
    if (payload.size < DIGEST) {
      throw new WeightDiffError(
        "TRUNCATED",
        `has ${payload.size} bytes, not even the ${DIGEST} of its sha256`,
        "download it again",
        { at: { file: payload.name } },
      );
    }
    const stated = Buffer.from(await source.readAt(0, DIGEST)).toString("hex");
    if (stated !== named) {
      throw new WeightDiffError(
        "FORMAT_INVALID",
        `begins with the sha256 ${stated}, its name says ${named}`,
        "the download is damaged, or saved under another file's name: download it again",
        { at: { file: payload.name } },
      );
    }
  } finally {
    await source.close();
  }
  const size = payload.size - DIGEST;
  const by = { input: key, rule: "chunks" } as const;
  return { ...asItIs(payload), file, skip: DIGEST, key: by, size, expected: named };
}

/** A payload file and the base's file of its name. */
async function paired(payload: ListedFile, partner: ListedFile, options: XorPlanOptions): Promise<XorFile> {
  const plain = { ...asItIs(payload), key: { input: partner, rule: "same-place" } as const };
  if (options.direction === "encode") {
    return options.compress ? { ...plain, gzip: "deflate", size: null } : plain;
  }
  const packed = {
    ...plain,
    gzip: "inflate",
    size: null,
    most: partner.size * MAX_GROWTH + MAX_GROWTH_BYTES,
  } as const;
  if (options.compress) {
    return packed;
  }
  const head = await beginningOf(asItIs(payload), 3);
  if (headText(head) !== "1f 8b 08") {
    return plain;
  }
  // XOR may make any three bytes by chance: a whole file that comes out without inflating decides.
  const opens = promiseOf(payload.file)?.kind === "weights" && (await headerOf(plain).catch(() => null)) !== null;
  return opens ? plain : packed;
}

/** Shards without their index are no model, and neither is an index without its shards. @throws {WeightDiffError} NOT_FOUND. */
async function checkIndexes(files: readonly XorFile[], notes: string[]): Promise<void> {
  const names = new Set(files.map(({ file }) => file));
  for (const index of files.filter(({ file, gzip }) => file.endsWith(".index.json") && gzip !== "deflate")) {
    if (index.size !== null && index.size > MAX_JSON) {
      continue;
    }
    const bytes = await beginningOf(index, MAX_JSON).catch(() => null); // judged before, unless the base is to be trusted
    let shards: readonly string[] = [];
    try {
      shards =
        bytes === null ? [] : [...parseWeightIndex(decodeText(bytes, index.file), index.file).weightMap.values()];
    } catch {
      continue; // an encoded one, or one that nobody wants checked
    }
    const missing = [...new Set(shards)].find((shard) => !names.has(shard));
    if (missing !== undefined) {
      throw new WeightDiffError(
        "NOT_FOUND",
        `${printable(index.file)} lists it, and the payload has no such file`,
        "fetch it from where the other files came from",
        { at: { file: printable(missing) } },
      );
    }
  }
  if (
    [...names].some((file) => /-\d+-of-\d+\.(bin|safetensors)$/.test(file)) &&
    ![...names].some((file) => file.endsWith(".index.json"))
  ) {
    notes.push("the payload has shards and no index: loaders will need one");
  }
}

function lacking(file: string, raw: string): WeightDiffError {
  return new WeightDiffError(
    "MISMATCH",
    `has no ${printable(file)}, which the payload is to be XORed with`,
    "each payload file needs the base's file of the same name: convert the base as the publisher did (see the model's card)",
    { at: { file: raw } },
  );
}
