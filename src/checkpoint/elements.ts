/** Reads single elements of a tensor, however it is stored: for the few that are looked at before a run. */

import type { FileSource } from "../files/file-source.js";
import { dtypeBits } from "../formats/dtype.js";
import { runsOf, walkOf, wholePiece } from "../formats/pieces.js";
import { inParallel } from "../hub/download.js";
import { openShardSource } from "../hub/source.js";
import type { StoredTensor } from "./checkpoint.js";
import type { Shard } from "./shard.js";

/** Files at the Hub that are read at a time: samples are few, wherever they are. */
const FILES_AT_ONCE = 32;

/** Elements of a tensor, counted in C order. */
export interface Place {
  readonly tensor: StoredTensor;
  readonly first: number;
  readonly count: number;
}

interface Read {
  readonly position: number;
  readonly length: number;
  readonly target: Uint8Array;
  readonly at: number;
}

/**
 * Reads every place, all of a file's together: a disk serves a queue faster than one read after the other. Files on this disk are read one
 * after the other, several at the Hub at a time.
 * @returns bytes as stored, in the order of `places`. @throws {WeightDiffError} NOT_FOUND, IO, INPUT_CHANGED, TRUNCATED.
 */
export async function readElements(places: readonly Place[]): Promise<readonly Uint8Array[]> {
  const byFile = new Map<string, { readonly shard: Shard; readonly reads: Read[] }>();
  const values = places.map(({ tensor, first, count }) => {
    const width = dtypeBits(tensor.dtype) / 8;
    const target = new Uint8Array(count * width);
    for (const { shard, position, length, at } of storedRuns(tensor, first, count)) {
      const known = byFile.get(shard.path) ?? { shard, reads: [] };
      byFile.set(shard.path, known);
      known.reads.push({ position, length, target, at });
    }
    return target;
  });
  const files = [...byFile.values()];
  const distant = files.some(({ shard }) => shard.hub?.cached === false);
  const readFile = async ({ shard, reads }: (typeof files)[number]): Promise<void> => {
    const source = await openShardSource(shard);
    try {
      await readInto(source, reads);
    } finally {
      await source.close();
    }
  };
  await inParallel(files, undefined, readFile, distant ? FILES_AT_ONCE : 1);
  return values;
}

/** In a transposed matrix, every element needs a read of its own. Thousands in flight would take tens of megabytes. */
const READS_AT_ONCE = 64;

async function readInto(source: FileSource, reads: readonly Read[]): Promise<void> {
  for (let first = 0; first < reads.length; first += READS_AT_ONCE) {
    const settled = await Promise.allSettled(
      reads
        .slice(first, first + READS_AT_ONCE)
        .map(async ({ position, length, target, at }) => target.set(await source.readAt(position, length), at)),
    );
    const failed = settled.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) {
      throw failed.reason;
    }
  }
}

/** The byte ranges of elements [first, first + count). */
function storedRuns(
  { dtype, shape, shard, range, strides, pieces }: StoredTensor,
  first: number,
  count: number,
): readonly { readonly shard: Shard; readonly position: number; readonly length: number; readonly at: number }[] {
  const width = dtypeBits(dtype) / 8;
  if (strides === undefined && pieces === undefined) {
    return [{ shard, position: range.begin + first * width, length: count * width, at: 0 }];
  }
  return (pieces ?? [{ ...wholePiece(range, shape, strides ?? []), shard }]).flatMap((piece) => {
    const runs = runsOf(walkOf(piece), first, first + count);
    return Array.from({ length: runs.count }, (_, run) => ({
      shard: piece.shard,
      position: piece.range.begin + (runs.offsets[run] ?? 0) * width,
      length: (runs.lengths[run] ?? 0) * width,
      at: (runs.places[run] ?? 0) * width,
    }));
  });
}
