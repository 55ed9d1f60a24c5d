/** A listed version that has an index. Those of slime and of ModelExpress differ only in how they name the version on which they are made. */
import type { Folder } from "../checkpoint/file-list.js";
import type { Hub } from "../hub/place.js";
import { chainError, type ListedVersion, type Version } from "./chain.js";
import { openDelta, openFull } from "./indexed.js";
import { isMissing, once } from "./layout.js";
import { type DeltaIndex, type FullIndex, headOf, isUnfinished, type Link, readVersionIndex } from "./version-index.js";

export interface IndexedPlace {
  readonly id: string;
  readonly number: number;
  readonly place: string;
  /** Enters its folder; null if it is gone. */
  enter(): Promise<Folder | null>;
  /** @throws {WeightDiffError} with `why`. */
  linkOf(index: DeltaIndex | FullIndex): Link | Promise<Link>;
  /** The checksums that a full version states of its tensors. @throws {WeightDiffError} with `why`. */
  readonly sumsOf?: (
    version: Pick<Version, "checkpoint">,
    index: FullIndex,
    at: { readonly file: string; readonly version: string },
  ) => Version["sums"];
}

export function indexedVersion(
  { id, number, place, enter, linkOf, sumsOf }: IndexedPlace,
  hub: Hub | null,
): ListedVersion {
  const folder = async (): Promise<Folder> => {
    const found = await enter();
    if (found === null) {
      throw chainError("incomplete", "is not there any more", "the publisher removed it: look again", {
        file: place,
        version: id,
      });
    }
    return found;
  };
  // An index may name 35,000 tensors, so it is not kept once the version is open.
  let index: Promise<DeltaIndex | FullIndex> | undefined;
  const read = (): Promise<DeltaIndex | FullIndex> => {
    index ??= folder().then((found) => readVersionIndex(found, id));
    return index;
  };
  const head = once(async () => {
    const index = await read();
    return headOf(index, await linkOf(index));
  });
  return {
    id,
    number,
    place,
    head,
    async isUnfinished() {
      return isMissing(enter, isUnfinished);
    },
    open: once(async () => {
      const named = await read();
      const found = await folder();
      const own = await head();
      const opened = named.kind === "delta" ? await openDelta(found, named, id) : await openFull(found, id, hub);
      const sums = named.kind === "full" ? sumsOf?.(opened, named, { file: place, version: id }) : undefined;
      index = undefined;
      return { ...own, ...opened, sums: sums ?? opened.sums, id, number, place, whole: null };
    }),
  };
}
