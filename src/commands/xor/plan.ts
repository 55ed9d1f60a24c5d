/**
 * Decides for each file of an XOR payload whether it is decoded, with which key, copied, or left. Checks the base before anything is
 * written, by the first bytes of every file and the whole header of every weight file. OpenAssistant's xor_codec.py pairs files of the same
 * name and skips those that fail; this code refuses what cannot be right.
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
  /** Lists only the files that are used. */
  readonly base: XorBase;
  /** Smallest first, so that mistakes show early. */
  readonly files: readonly XorFile[];
  /** Bare names of the files that are not copied. */
  readonly left: readonly string[];
  readonly notes: readonly string[];
}

interface XorPlanOptions {
  readonly raw: string;
  readonly direction: "decode" | "encode";
  /**
   * When decoding: every payload file that is XORed is a gzip file; otherwise only those that begin like one. When encoding: write gzip
   * files.
   */
  readonly compress: boolean;
  /** Null if everything is on this disk. */
  readonly hub: Hub | null;
  /** Go on if a result does not look as its name promises. */
  readonly trustBase: boolean;
}

/** Names that this tool uses in an output directory while it works. */
const RESERVED = new RegExp(
  `^(journal|lock)([.].*)?$|^${STAGING.replace(".", "\\.")}$|^${MANIFEST.replace(".", "\\.")}$`,
);
/** Files beside the weights that a model should have, even if the base lacks them. */
const isWorthHaving = (file: string): boolean => file.endsWith(".json") || isSideFile(file);
const DIGEST = 32;
/** An inflated payload is about as long as the base's file: F16 to F32 doubles it, and small files may grow. */
const MAX_GROWTH = 4;
const MAX_GROWTH_BYTES = 64_000_000;

/**
 * Plans the run. Reads beginnings and headers.
 * @throws {WeightDiffError} MISMATCH (a wrong base, with what was found; a file that the base lacks), NOT_A_DIFF (the payload is none;
 * swapped inputs), NOT_FOUND, NOT_WEIGHTS, TRUNCATED, FORMAT_INVALID, IO.
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
    // Weights may lie on another disk. A file that may be copied must belong to the payload itself.
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

/** A card, or a file that git or the Hub keeps for itself. It describes the payload, unless it was XORed like everything else. */
async function isDescription(payload: ListedFile): Promise<boolean> {
  return /^\.git|^README\.md$/.test(payload.file) && isText(await beginningOf(asItIs(payload), FILE_HEAD));
}

/** Reports weights that need no decoding, and swapped inputs, first: they say more than their consequences. */
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

/** A payload file, and the base's file of the same name. */
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
  // XOR can give any three bytes by chance. So what decides is whether the whole file opens without inflating.
  const opens = promiseOf(payload.file)?.kind === "weights" && (await headerOf(plain).catch(() => null)) !== null;
  return opens ? plain : packed;
}

/** Shards without an index are no model, and neither is an index without its shards. @throws {WeightDiffError} NOT_FOUND. */
async function checkIndexes(files: readonly XorFile[], notes: string[]): Promise<void> {
  const names = new Set(files.map(({ file }) => file));
  for (const index of files.filter(({ file, gzip }) => file.endsWith(".index.json") && gzip !== "deflate")) {
    if (index.size !== null && index.size > MAX_JSON) {
      continue;
    }
    const bytes = await beginningOf(index, MAX_JSON).catch(() => null); // judged before, unless the base is trusted
    let shards: readonly string[] = [];
    try {
      shards =
        bytes === null ? [] : [...parseWeightIndex(decodeText(bytes, index.file), index.file).weightMap.values()];
    } catch {
      continue; // an encoded one, or one whose check the user switched off
    }
    const missing = [...new Set(shards)].find((shard) => !names.has(shard));
    if (missing !== undefined) {
      throw new WeightDiffError(
        "NOT_FOUND",
        `${printable(index.file)} lists it, but the payload has no such file`,
        "fetch it from where the other files came from",
        { at: { file: printable(missing) } },
      );
    }
  }
  if (
    [...names].some((file) => /-\d+-of-\d+\.(bin|safetensors)$/.test(file)) &&
    ![...names].some((file) => file.endsWith(".index.json"))
  ) {
    notes.push("the payload has shards but no index: loaders will need one");
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
