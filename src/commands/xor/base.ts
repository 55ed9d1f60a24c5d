/** The base of an XOR payload: a folder whose files are XORed name by name, or Meta's single file, which is the key of all .enc files. */
import {
  enterFolder,
  type Folder,
  findFile,
  findFolder,
  type ListedFile,
  noFolder,
} from "../../checkpoint/file-list.js";
import { WeightDiffError } from "../../errors.js";
import type { Hub } from "../../hub/place.js";

/** The file that point-alpaca, BELLE and lawyer-llama all use, even for their 13B models. */
export const KEY_NAME = "consolidated.00.pth";
/** Where Meta's whole download has it. */
const KEY_FOLDERS = ["7B", "llama-7b"];

export interface XorBase extends Pick<Folder, "repo" | "commit"> {
  readonly path: string;
  /** Null if the user named a file. */
  readonly directory: string | null;
  readonly files: readonly ListedFile[];
}

/** The base's folder. @throws {WeightDiffError} NOT_FOUND, IO, HUB_…, NETWORK. */
export async function findBase(raw: string, hub: Hub | null): Promise<XorBase> {
  const folder = await findFolder(raw, hub);
  if (folder === null) {
    throw await noFolder(
      raw,
      hub,
      "not a directory",
      "give the directory of the base: each payload file is XORed with the base's file of the same name",
    );
  }
  return folder;
}

/**
 * Meta's file: named itself, in its directory, or in the 7B folder of the whole download.
 * @throws {WeightDiffError} as findBase; MISMATCH.
 */
export async function findKey(raw: string, hub: Hub | null): Promise<XorBase> {
  const folder = await findFolder(raw, hub);
  if (folder === null) {
    const place = (await hub?.find(raw)) ?? null;
    const files = [await findFile(raw, hub)];
    return { path: raw, directory: null, repo: place?.id ?? null, commit: place?.commit ?? null, files };
  }
  for (const name of [null, ...KEY_FOLDERS]) {
    const candidate = name === null ? folder : await enterFolder(folder, name, hub);
    const key = candidate?.files.find(({ file }) => file === KEY_NAME);
    if (candidate !== null && key !== undefined) {
      if (candidate.files.some(({ file }) => file === "consolidated.01.pth")) {
        throw new WeightDiffError(
          "MISMATCH",
          `holds a model in several parts: the key is the 7B model's ${KEY_NAME}, whatever the size of the model that is recovered`,
          `give Meta's 7B ${KEY_NAME}`,
          { at: { file: candidate.path } },
        );
      }
      return { ...candidate, files: [key] };
    }
  }
  throw new WeightDiffError(
    "NOT_FOUND",
    `holds no ${KEY_NAME}`,
    `the key of .enc files is Meta's own 7B ${KEY_NAME}, not a converted model: give the file or its directory`,
    { at: { file: raw } },
  );
}
