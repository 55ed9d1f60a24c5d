/** What a layout of chains is to the rest: how it is recognised, and its versions by name. */
import { brokenLink, enterFolder, type Folder } from "../checkpoint/file-list.js";
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import type { Hub } from "../hub/place.js";
import { type Chain, type ChainLayoutName, faultOf, type ListedVersion } from "./chain.js";

/** What the user says of the chain; what is left out, its files tell. */
export interface ChainQuestion {
  readonly layout?: ChainLayoutName | null;
  /** Of Fireworks' payloads. */
  readonly format?: string | null;
}

export interface FoundVersions extends Pick<Chain, "pointer" | "pointerFault" | "notes" | "gaps"> {
  readonly layout: ChainLayoutName;
  readonly versions: readonly ListedVersion[];
  /** The folder that holds them, where it is not the one that was given. */
  readonly folder?: Folder;
}

export interface ChainLayout {
  /** The names that it is asked for by. */
  readonly names: readonly ChainLayoutName[];
  /** The folder's versions; null where it is no chain of this layout. @throws {WeightDiffError} IO, HUB_…, NETWORK. */
  find(folder: Folder, hub: Hub | null, question: ChainQuestion): Promise<FoundVersions | null>;
}

/** What may be a version: folders, and links that should lead to one. */
export function versionNames({ folders, broken }: Folder): readonly string[] {
  return [...folders, ...broken];
}

/**
 * A version's own folder; null where it is gone. A link that leads nowhere, in its place or in it, is this version's fault and no other's.
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

/** Is the folder not there, or not there whole? What is wrong with it is told by whoever opens it. */
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

/** Of folders that are called nearly as versions are, and are none: publishers write each number in one way. */
export function oddNames(folder: Folder, like: RegExp, version: RegExp): readonly string[] {
  const odd = versionNames(folder).filter((name) => like.test(name) && !version.test(name));
  return odd.length === 0
    ? []
    : [
        `passed over, since no version is called so: ${odd.slice(0, 5).map(quote).join(", ")}${odd.length > 5 ? ` and ${odd.length - 5} more` : ""}`,
      ];
}

/** Runs once, however often it is asked for. */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
