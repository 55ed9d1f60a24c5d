/** What a layout of chains is to the rest: how it is recognised, and its versions by name. */
import type { Folder } from "../checkpoint/file-list.js";
import { quote } from "../formats/quote.js";
import type { Hub } from "../hub/place.js";
import type { Chain, ChainLayoutName, ListedVersion } from "./chain.js";

/** What the user says of the chain; what is left out, its files tell. */
export interface ChainQuestion {
  readonly layout?: ChainLayoutName | null;
  /** Of Fireworks' payloads. */
  readonly format?: string | null;
}

export interface FoundVersions extends Pick<Chain, "pointer" | "notes" | "gaps"> {
  readonly layout: ChainLayoutName;
  readonly versions: readonly ListedVersion[];
  /** The folder that holds them, where it is not the one that was given. */
  readonly folder?: Folder;
}

export interface ChainLayout {
  /** The names that it is asked for by. */
  readonly names: readonly ChainLayoutName[];
  /** The folder's versions; null where it is no chain of this layout. @throws {WeightDiffError} IO, HUB_…, NETWORK; with `why` for a pointer that says nothing. */
  find(folder: Folder, hub: Hub | null, question: ChainQuestion): Promise<FoundVersions | null>;
}

/** Of folders that are called nearly as versions are, and are none: publishers write each number in one way. */
export function oddNames({ folders }: Folder, like: RegExp, version: RegExp): readonly string[] {
  const odd = folders.filter((name) => like.test(name) && !version.test(name));
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
