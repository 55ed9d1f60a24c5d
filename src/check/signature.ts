/**
 * Signatures of whole folders in the format of OpenSSF Model Signing (docs/publishing.md). With the publisher's public key, a user knows
 * that every file comes from the publisher, that none is missing and that none was added. This needs no network.
 */
import { basename, join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { filesBelow, putFile } from "../files/below.js";
import { absolutePath } from "../files/paths.js";
import { readText, sizeOf } from "../files/small-files.js";
import { printable } from "../formats/quote.js";
import { readManifest } from "../manifest/read.js";
import { hasFile, MANIFEST, outputState, SIGNATURE } from "../output/state.js";
import { digestFiles } from "../run/digest.js";
import type { RunOptions } from "../run/run-plan.js";
import { opened, sealed } from "./signature/bundle.js";
import { readPublicKey, type SignatureKey } from "./signature/keys.js";
import { type Digested, readStatement, writeStatement } from "./signature/statement.js";

/** Files that are not signed: git's own, as in model-signing, and those that `hf download` keeps for itself. */
const UNSIGNED = [SIGNATURE, ".git", ".gitattributes", ".github", ".gitignore", ".cache/huggingface"] as const;
/** The signature of 160,000 tensors has some 20 MB. */
const MAX_BYTES = 200_000_000;

export interface Signed {
  /** Where the signature was written. */
  readonly path: string;
  /** The sha256 (hex) of the public key's PEM. */
  readonly key: string;
  /** The number of signed files. */
  readonly files: number;
  /** How many digests of recovered tensors the signature has. */
  readonly recovers: number;
}

/** Signs every file of a folder. @throws {WeightDiffError} NOT_FOUND, OUTPUT_REFUSED for an unfinished output, IO, as readManifest. */
export async function signFolder(path: string, key: SignatureKey, options: RunOptions): Promise<Signed> {
  const directory = await folderOf(path);
  if ((await outputState(directory)) === "partial") {
    throw new WeightDiffError("OUTPUT_REFUSED", "an unfinished run", "finish that run first, then sign", {
      at: { file: path },
    });
  }
  const files = await digestsOf(directory, options);
  if (files.length === 0) {
    throw new WeightDiffError("NOT_FOUND", "nothing to sign: the folder is empty", undefined, { at: { file: path } });
  }
  const recovers = await recoversOf(directory);
  const payload = writeStatement({ name: basename(directory), files, recovers }, UNSIGNED);
  const place = join(directory, SIGNATURE);
  await putFile(place, sealed(payload, key));
  return { path: place, key: key.hint, files: files.length, recovers: recovers?.length ?? 0 };
}

interface SignatureProblem {
  /** Relative to the folder; null for the signature as a whole. */
  readonly file: string | null;
  readonly message: string;
}

export interface SignatureCheck {
  readonly key: string;
  /** The number of files that the signature lists. */
  readonly files: number;
  readonly problems: readonly SignatureProblem[];
}

/**
 * Compares a folder with its signature: the files must be exactly those that were signed.
 * @param keyFile file with the publisher's public key.
 * @throws {WeightDiffError} for a key or a folder that cannot be read.
 */
export async function checkSignature(path: string, keyFile: string, options: RunOptions): Promise<SignatureCheck> {
  const key = await readPublicKey(keyFile);
  const directory = await folderOf(path);
  const place = join(directory, SIGNATURE);
  const bad = (problems: readonly SignatureProblem[], files = 0): SignatureCheck => ({
    key: key.hint,
    files,
    problems,
  });
  if ((await sizeOf(place)) === null) {
    return bad([{ file: SIGNATURE, message: "missing: the folder is not signed" }]);
  }
  try {
    const { files, recovers } = readStatement(opened(await readText(place, MAX_BYTES), key, SIGNATURE), SIGNATURE);
    const found = await digestsOf(directory, options);
    const differing = compare(files, found);
    const problems = differing.length > 0 ? differing : compareRecovers(recovers, await recoversOf(directory));
    return bad(problems, files.length);
  } catch (error) {
    if (error instanceof WeightDiffError && error.at.file === SIGNATURE) {
      return bad([{ file: SIGNATURE, message: error.fact }]);
    }
    throw error;
  }
}

/** @throws {WeightDiffError} CHECK_FAILED unless the folder is what its publisher signed; otherwise as checkSignature. */
export async function requireSignature(path: string, keyFile: string, options: RunOptions): Promise<SignatureCheck> {
  const check = await checkSignature(path, keyFile, options);
  const texts = check.problems.map(({ file, message }) => (file === null ? message : `${printable(file)}: ${message}`));
  const [first] = texts;
  if (first !== undefined) {
    const fact = texts.length === 1 ? first : `not what was signed: ${texts.length} files differ`;
    throw new WeightDiffError("CHECK_FAILED", fact, "fetch the files again from their publisher", {
      at: { file: path },
      problems: texts,
    });
  }
  return check;
}

/** @throws {WeightDiffError} USAGE if the path is no folder on this disk. */
async function folderOf(path: string): Promise<string> {
  const directory = absolutePath(path);
  const state = await outputState(directory).catch(() => "absent");
  if (state === "absent") {
    throw new WeightDiffError(
      "NOT_FOUND",
      "only folders on this disk can be signed or checked, and there is none of that name",
      "fetch all files of a repository first: hf download org/name --local-dir DIR",
      { at: { file: path } },
    );
  }
  return directory;
}

async function digestsOf(directory: string, options: RunOptions): Promise<readonly Digested[]> {
  const skipped: ReadonlySet<string> = new Set(UNSIGNED);
  const names = await filesBelow(directory, (name) => skipped.has(name));
  const digests = await digestFiles(
    names.map((name) => join(directory, name)),
    options,
  );
  return names.map((name) => ({ name, sha256: digests.get(join(directory, name)) ?? "" }));
}

/**
 * The tensors that a diff recovers, from its manifest. Null for anything that make-diff did not make.
 * @throws {WeightDiffError} as readManifest.
 */
async function recoversOf(directory: string): Promise<readonly Digested[] | null> {
  if (!(await hasFile(directory, MANIFEST))) {
    return null;
  }
  const manifest = await readManifest(join(directory, MANIFEST)).catch((error: unknown) => {
    // The manifest of XORed files lists no tensors.
    if (error instanceof WeightDiffError && error.code === "FORMAT_INVALID") {
      return null;
    }
    throw error;
  });
  return manifest?.operation === "make-diff"
    ? manifest.tensors.map(({ name, recovered }) => ({ name, sha256: recovered }))
    : null;
}

function compare(signed: readonly Digested[], found: readonly Digested[]): readonly SignatureProblem[] {
  const here = new Map(found.map(({ name, sha256 }) => [name, sha256]));
  const listed = new Set(signed.map(({ name }) => name));
  return [
    ...signed.flatMap(({ name, sha256 }) =>
      here.get(name) === sha256
        ? []
        : [{ file: name, message: here.has(name) ? "is not the file that was signed" : "missing: it was signed" }],
    ),
    ...found.flatMap(({ name }) => (listed.has(name) ? [] : [{ file: name, message: "was added: it is not signed" }])),
  ];
}

/** Both lists are signed. If they differ, the signer did not mean this manifest. */
function compareRecovers(
  signed: readonly Digested[] | null,
  found: readonly Digested[] | null,
): readonly SignatureProblem[] {
  const text = (list: readonly Digested[]): string => JSON.stringify(list.map(({ name, sha256 }) => [name, sha256]));
  return signed === null || (found !== null && text(signed) === text(found))
    ? []
    : [{ file: MANIFEST, message: "recovers other tensors than the signature says" }];
}
