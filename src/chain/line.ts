/** The versions that belong to one line with a path, before its base and after its target: where the base may stand that is not where it was said to be. */
import type { Chain, ListedVersion, Version } from "./chain.js";
import type { ChainPath } from "./path.js";

export interface Line {
  /** The version that the first one is made on. */
  readonly root: number;
  /** Updates, each made on the one before. */
  readonly versions: readonly Version[];
}

/** As far as the versions are there and can be read. @param base the version that the path's first step is made on. */
export async function lineOf({ versions }: Chain, { steps, target }: ChainPath, base: number): Promise<Line> {
  const before: Version[] = [];
  let root = base;
  for (;;) {
    const version = await opened(versions.find(({ number }) => number === root));
    if (version === null || version.base === null || version.base >= root) {
      break;
    }
    before.unshift(version);
    root = version.base;
  }
  const after: Version[] = [];
  let last = target.number;
  for (const listed of versions.filter(({ number }) => number > target.number)) {
    const version = await opened(listed);
    if (version?.base === last) {
      after.push(version);
      last = version.number;
    }
  }
  return { root, versions: [...before, ...steps, ...after] };
}

/** Null of a full version, and of one that cannot be read: nothing is known of it then. */
async function opened(listed: ListedVersion | undefined): Promise<Version | null> {
  const version = (await listed?.open().catch(() => null)) ?? null;
  return version?.kind === "delta" ? version : null;
}
