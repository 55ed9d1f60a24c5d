/** What every layout of chains provides: it recognises its folders, and lists their versions. */
import { brokenLink, enterFolder, type Folder } from "../checkpoint/file-list.js";
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import type { Hub } from "../hub/place.js";
import { type Chain, type ChainLayoutName, faultOf, type ListedVersion } from "./chain.js";

/** What the user says about the chain. Anything that is left out is read from its files. */
export interface ChainQuestion {
  readonly layout?: ChainLayoutName | null;
  /** The format of Fireworks' payloads. */
  readonly format?: string | null;
}

export interface FoundVersions extends Pick<Chain, "pointer" | "pointerFault" | "notes" | "gaps"> {
  readonly layout: ChainLayoutName;
  readonly versions: readonly ListedVersion[];
  /** The folder that holds the versions, if it is not the given one. */
  readonly folder?: Folder;
}

export interface ChainLayout {
  /** The names by which the user may ask for it. */
  readonly names: readonly ChainLayoutName[];
  /** Lists the folder's versions; null if it is not a chain of this layout. @throws {WeightDiffError} IO, HUB_…, NETWORK. */
  find(folder: Folder, hub: Hub | null, question: ChainQuestion): Promise<FoundVersions | null>;
}

/** Everything that may be a version: folders, and broken links, which should lead to one. */
export function versionNames({ folders, broken }: Folder): readonly string[] {
  return [...folders, ...broken];
}

/**
 * Enters a version's own folder; null if it is gone. The folder may be a broken link, or hold one: that is a fault of this version alone.
 * @throws {WeightDiffError} with `why` "incomplete" for such a link; as enterFolder.
 */
export async function enterVersion(
  root: Folder,
  name: string,
  version: string,
  hub: Hub | null,
): Promise<Folder | null> {
  try {
    if (root.broken.includes(name)) {
      throw brokenLink(root, name);
    }
    return await enterFolder(root, name, hub);
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "NOT_FOUND") {
      const { code, fact, hint, at } = error;
      throw new WeightDiffError(code, fact, hint, { at: { ...at, version }, why: "incomplete", cause: error });
    }
    throw error;
  }
}

/** Is the folder missing, or incomplete? Whoever opens it tells what is wrong. */
export async function isMissing(
  enter: () => Promise<Folder | null>,
  last: (folder: Folder) => boolean,
): Promise<boolean> {
  const folder = await enter().catch((error: unknown) => {
    faultOf(error);
    return null;
  });
  return folder === null || last(folder);
}

/** Notes of folders whose names are almost those of versions. Publishers write each number in one way only. */
export function oddNames(folder: Folder, like: RegExp, version: RegExp): readonly string[] {
  const odd = versionNames(folder).filter((name) => like.test(name) && !version.test(name));
  return odd.length === 0
    ? []
    : [
        `not read, since no version has such a name: ${odd.slice(0, 5).map(quote).join(", ")}${odd.length > 5 ? ` and ${odd.length - 5} more` : ""}`,
      ];
}

/** @returns a function that runs `make` once, and gives the same result every time. */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
