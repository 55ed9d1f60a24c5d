/** The small files beside the weights: which belong to a model, and whether they hold what their names promise. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { fileError } from "../files/errno.js";
import type { PlacedFile } from "../files/file-source.js";
import { isSideFile, isSideFolder, isVocabulary } from "../files/side-names.js";
import { readText, regularFiles } from "../files/small-files.js";
import { openShardSource, type ShardPlace } from "../hub/source.js";
import { customCode, type MissingCode } from "./custom-code.js";

/** A small file of the output: a copy, or a text that is made. */
export type SideFile = {
  /** Its name in the model's folder; "folder/name" for a file in a folder there. */
  readonly file: string;
} & (PlacedFile | { readonly text: string });

export interface SideFiles {
  /** To copy, sorted by name. */
  readonly copied: readonly SideFile[];
  /** Bare names of files that are not copied. */
  readonly left: readonly string[];
  /** Missing code that a config names, or that other code imports. */
  readonly missing: readonly MissingCode[];
  /** Is there a tokenizer? */
  readonly tokenizer: boolean;
}

export const NO_SIDE_FILES: SideFiles = { copied: [], left: [], missing: [], tokenizer: false };

/** Tokenizers of transformers 5.23 without a vocabulary: they count bytes or code points. */
const WITHOUT_VOCABULARY = /"tokenizer_class"\s*:\s*"(ByT5|Canine|Dia|Perceiver)Tokenizer"/;
const TOKENIZER_CONFIG = "tokenizer_config.json";
const MAX_CONFIG_BYTES = 10_000_000;

/**
 * Sorts the files of `directory` into those to copy and those to leave. Neither list has config.json, which is edited, or files that
 * `isOther` names.
 * @throws {WeightDiffError} NOT_WEIGHTS if a file to copy is a git-lfs pointer or an HTML page; LINK_OUTSIDE if it is a link out of the
 * directory; IO.
 */
export async function sideFiles(directory: string, isOther: (name: string) => boolean): Promise<SideFiles> {
  const { files, inner } = await modelFiles(directory);
  const own = files.filter((name) => !isOther(name) && name !== "weight-diff.json");
  const { found, missing } = await customCode(directory, new Set(own));
  const goes = (name: string): boolean => isSideFile(name) || found.includes(name);
  const copied = [...own.filter(goes), ...inner].sort().map((file) => placeIn(directory, file));
  for (const { file, path, within } of [...copied, ...own.filter(isConfig).map((file) => placeIn(directory, file))]) {
    await refuseStandIn({ path, within, name: path }, file);
  }
  const tokenizer = own.some(isVocabulary) || (own.includes(TOKENIZER_CONFIG) && (await needsNoVocabulary(directory)));
  return { copied, left: own.filter((name) => !goes(name) && !isConfig(name)), missing, tokenizer };
}

async function needsNoVocabulary(directory: string): Promise<boolean> {
  const text = await readText(join(directory, TOKENIZER_CONFIG), MAX_CONFIG_BYTES).catch(() => "");
  return WITHOUT_VOCABULARY.test(text);
}

/** The config: its text is edited, not copied. */
function isConfig(name: string): boolean {
  return name === "config.json";
}

function placeIn(directory: string, file: string): PlacedFile & { readonly file: string } {
  return { file, path: join(directory, file), within: directory };
}

/**
 * Regular files, sorted, and those in folders that belong to the model. Follows symlinks, since a Hub cache consists of them; their targets
 * are checked when a file is opened.
 * @throws {WeightDiffError} IO.
 */
export async function modelFiles(
  directory: string,
): Promise<{ readonly files: readonly string[]; readonly inner: readonly string[] }> {
  const files: string[] = [];
  const inner: string[] = [];
  for (const name of [...(await fileNames(directory))].sort()) {
    const info = await stat(join(directory, name)).catch(() => null);
    if (info?.isFile() === true) {
      files.push(name);
    } else if (info?.isDirectory() === true && isSideFolder(name)) {
      const names = await regularFiles(join(directory, name));
      inner.push(...names.map((file) => `${name}/${file}`).filter(isSideFile));
    }
  }
  return { files, inner };
}

/** Bare names of everything in the directory; none if there is no directory. @throws {WeightDiffError} IO. */
export async function fileNames(directory: string | null): Promise<readonly string[]> {
  return directory === null
    ? []
    : readdir(directory).catch((error: unknown) => {
        throw fileError(directory, "list", error);
      });
}

/** @throws {WeightDiffError} NOT_WEIGHTS for a git-lfs pointer, or an error page saved under the file's name. */
export async function refusePlaceholder(path: string, name: string): Promise<void> {
  return refuseStandIn({ path, name: path }, name);
}

/** The same for a file that may be on the Hub. @param file bare name. */
export async function refuseStandIn(
  { name, ...place }: ShardPlace & { readonly name: string },
  file: string,
): Promise<void> {
  const source = await openShardSource(place);
  try {
    const head = new TextDecoder("latin1").decode(await source.readAt(0, Math.min(source.size, 64)));
    if (head.startsWith("version https://git-lfs")) {
      throw new WeightDiffError(
        "NOT_WEIGHTS",
        "a git-lfs pointer, not the file itself",
        "run git lfs pull in the clone, or download the file",
        { at: { file: name } },
      );
    }
    if (!/\.html?$/i.test(file) && /^\s*<(!doctype html|html)/i.test(head)) {
      throw new WeightDiffError(
        "NOT_WEIGHTS",
        "an HTML page, not the file itself",
        "download the file again; a gated repository needs a login",
        { at: { file: name } },
      );
    }
  } finally {
    await source.close();
  }
}
