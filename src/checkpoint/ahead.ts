/**
 * Asks a repository for all that is needed first of its weights, before it is their turn: both ends of every file, where headers and
 * directories are. Several ways to the Hub and back are one then. What came is kept for whoever reads it (hub/source.ts).
 */
import { join } from "node:path";
import { ZIP_END } from "../formats/zip.js";
import { inParallel } from "../hub/download.js";
import type { Hub } from "../hub/place.js";
import { openShardSource } from "../hub/source.js";
import { readWeightIndex } from "./checkpoint.js";
import { locate } from "./locate.js";
import { REMOTE_PARALLEL } from "./shard.js";

/** The names of torch's zip files. */
const ZIP = /\.(bin|pth|pt)$/;

/** Of a path that is no repository, nothing is asked. Whatever is wrong is told where it is needed. */
export async function askAhead(path: string, hub: Hub): Promise<void> {
  const place = await hub.find(path).catch(() => null);
  const location = place === null ? null : await locate(path, place).catch(() => null);
  if (place === null || location === null) {
    return;
  }
  const { directory, index } = location;
  const files = index === null ? location.files : await readWeightIndex(directory, index).then(shardsOf, () => []);
  const away = files.filter((file) => place.files.get(file)?.cached === false);
  const askEnds = async (file: string): Promise<void> => {
    const source = await openShardSource({ path: join(directory, file), hub: place.files.get(file) });
    const end = ZIP.test(file) ? Math.min(ZIP_END, source.size) : 0;
    await Promise.allSettled([
      source.readAt(0, Math.min(1, source.size)),
      ...(end === 0 ? [] : [source.readAt(source.size - end, end)]),
    ]);
  };
  await inParallel(away, undefined, askEnds, REMOTE_PARALLEL);
}

function shardsOf({ weightMap }: Awaited<ReturnType<typeof readWeightIndex>>): readonly string[] {
  return [...new Set(weightMap.values())];
}
