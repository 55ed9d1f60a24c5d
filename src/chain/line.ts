/** The versions before a path's base and after its target that belong to the same line. A base that is not the version it is said to be may be one of them. */
import type { Chain, ListedVersion, Version } from "./chain.js";
import type { ChainPath } from "./path.js";

export interface Line {
  /** The number of the version on which the first one is made. */
  readonly root: number;
  /** Updates. Each is made on the one before. */
  readonly versions: readonly Version[];
}

/** Follows the line as far as versions are there and can be read. @param base the number of the version on which the path's first step is made. */
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

/** Null for a full version, and for one that cannot be read, since nothing is known about it. */
async function opened(listed: ListedVersion | undefined): Promise<Version | null> {
  const version = (await listed?.open().catch(() => null)) ?? null;
  return version?.kind === "delta" ? version : null;
}
