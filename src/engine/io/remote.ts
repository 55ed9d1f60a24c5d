/** A file at the Hub, read like one on this disk: every read is a range request that brings all its bytes. */
import { WeightDiffError } from "../../errors.js";
import { RESUME } from "../../files/errno.js";
import type { RemoteFile } from "../../http/access.js";
import type { Ahead } from "../../http/ahead.js";
import { readInPieces } from "../../http/pieces.js";
import { openRanges } from "../../http/ranges.js";
import type { RequestCount } from "../../http/request-count.js";
import { remedyOf, TransientError } from "../../http/retry.js";
import type { DiskFile } from "./disk.js";

/** Stretches of one file that are read at the same time, at most: each holds one at least of the requests that may be under way for it. */
const MOST_STRETCHES = 8;

/** @param count of all files of this thread. @param signal ends requests that are under way: a server may take its time. */
export function openRemote(file: RemoteFile, count: RequestCount, signal?: AbortSignal): DiskFile {
  const ranges = openRanges(file, signal, count.busy);
  const stretches = new Set<Ahead>();
  const refuse = async (): Promise<never> => {
    throw new WeightDiffError("IO", "is on the Hub, and can only be read", undefined, { at: { file: file.name } });
  };
  return {
    path: file.name,
    direct: false,
    async read(target, position) {
      const length = Math.min(target.length, Math.max(0, file.size - position));
      const wanted = target.subarray(0, length);
      const stretch = [...stretches].find((each) => each.next() === position && position + length <= each.end);
      await (stretch?.read(wanted) ?? ranges.read(wanted, position)).catch((error: unknown) => {
        throw resumable(file, error);
      });
      return length;
    },
    expect(begin, end) {
      const all = [...stretches];
      if (begin >= end || end > file.size || all.some((each) => each.next() === begin)) {
        return;
      }
      if (all.length === MOST_STRETCHES) {
        const left = all.find((each) => each.idle());
        if (left === undefined) {
          return;
        }
        left.stop(LEFT);
        stretches.delete(left);
      }
      const stretch = readInPieces(ranges, begin, end, count);
      stretches.add(stretch);
      stretch.over.finally(() => stretches.delete(stretch));
    },
    write: refuse,
    // At a fixed commit, the same name has the same bytes for ever.
    stat: async () => ({ size: file.size, modified: file.etag }),
    truncate: refuse,
    sync: refuse,
    async close() {
      for (const each of stretches) {
        each.stop(LEFT);
        await each.over;
      }
    },
  };
}

/** Nobody reads on there. */
const LEFT = new Error("left");

/** What is read here is read during a run: the same command again would find its output begun. */
function resumable({ access }: RemoteFile, error: unknown): unknown {
  return error instanceof WeightDiffError && error.cause instanceof TransientError
    ? new WeightDiffError(error.code, error.fact, remedyOf(access, error.cause), {
        at: error.at,
        cause: error.cause,
        advice: [RESUME],
      })
    : error;
}
