/** The error for a path that does not exist: how far it exists, similar names there, and how paths are written on this system. */
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, sep } from "node:path";
import { WeightDiffError } from "../errors.js";
import { isAlike } from "../formats/alike.js";
import { printable, quote } from "../formats/quote.js";
import { isMissing } from "./errno.js";
import { absolutePath } from "./paths.js";

/** The most names of a folder to look at. */
const MAX_NAMES = 1000;

/**
 * @param path as the user wrote it.
 * @returns null if something is there.
 * @throws {WeightDiffError} NOT_FOUND if the working directory was deleted.
 */
export async function missingPath(path: string): Promise<WeightDiffError | null> {
  const isThere = await stat(absolutePath(path)).then(
    () => true,
    (error: unknown) => !isMissing(error),
  );
  return isThere
    ? null
    : new WeightDiffError("NOT_FOUND", "no such file or directory", await remedy(path), { at: { file: path } });
}

async function remedy(path: string): Promise<string> {
  if (sep === "/" && /^[A-Za-z]:[\\/]|\\/.test(path)) {
    return `this system separates folders by /, and knows no drives: ${printable(unixPath(path))}`;
  }
  const { folder, name } = await deepestFolder(absolutePath(path));
  const alike = (await readdir(folder).catch((): string[] => [])).slice(0, MAX_NAMES).find((has) => isAlike(has, name));
  if (alike !== undefined) {
    const meant = isAbsolute(path) ? join(folder, alike) : join(dirname(path), alike);
    return basename(path) === name
      ? `did you mean ${printable(meant)}?`
      : `did you mean ${quote(alike)} for ${quote(name)}? It is in ${printable(folder)}`;
  }
  return `check the path: ${printable(folder)} has no ${quote(name)}${asRepository(path, name)}`;
}

/** How a repository is named, where the path may have been meant as one. @param missing the first name of the path that is not there. */
function asRepository(path: string, missing: string): string {
  if (!/[\\/.~]/.test(path)) {
    return "; the name of a repository on the Hub has two parts, as org/name";
  }
  const { org, name, inside } = IN_REPOSITORY.exec(path)?.groups ?? {};
  return org === undefined || org !== missing
    ? ""
    : `; if it is ${printable(inside ?? "")} in the repository ${org}/${name} on the Hub, write ${printable(`hf://${org}/${name}/${inside}`)}`;
}

/** A folder or a file below org/name. */
const IN_REPOSITORY = /^(?<org>\w[\w.-]*)\/(?<name>\w[\w.-]*)\/(?<inside>[^/@].*?)\/?$/s;

/** For Linux on Windows, C:\models\llama is /mnt/c/models/llama. */
function unixPath(path: string): string {
  const slashed = path.replaceAll("\\", "/");
  const drive = /^([A-Za-z]):\/?/.exec(slashed);
  return drive === null
    ? slashed
    : `under WSL it is /mnt/${(drive[1] ?? "").toLowerCase()}/${slashed.slice(drive[0].length)}`;
}

/** The deepest folder of an absolute path that exists, and the first name that does not. */
async function deepestFolder(path: string): Promise<{ readonly folder: string; readonly name: string }> {
  const folder = dirname(path);
  const isThere = folder === path || (await stat(folder).catch(() => null)) !== null;
  return isThere ? { folder, name: basename(path) } : deepestFolder(folder);
}
