/**
 * Reading in the worker's own thread. Where every processor has a worker, a thread that reads for one takes the processor from it or from
 * another: to wake it costs more than the page cache takes to answer. What is on the disk is better fetched by others meanwhile.
 */
import { setImmediate } from "node:timers/promises";
import type { DiskFile } from "./disk.js";

/** Bytes a millisecond: the page cache gives twice as many and more. */
const CACHED_RATE = 2e6;
/** Milliseconds for which the processor may be with somebody else. */
const AWAY = 1;
/** So many reads are left to other threads once one has waited for the disk. */
const LEFT_TO_OTHERS = 16;
/** Milliseconds after which this thread listens before it reads: one that never waits would not hear that the run is to stop, or a write done. */
const DEAF_FOR = 4;

interface ReadingHere {
  /** Would the next read be done here? */
  now(): boolean;
  /** The same file, read here as long as that is quick. */
  of(file: DiskFile): DiskFile;
}

/** @param wanted false leaves all reads to other threads. @param clock in milliseconds. */
export function readingHere(wanted: boolean, clock: () => number = () => performance.now()): ReadingHere {
  let leftToOthers = 0;
  let listened = clock();
  const now = (): boolean => wanted && leftToOthers === 0;
  return {
    now,
    of(file) {
      const { readNow } = file;
      if (!wanted || readNow === undefined) {
        return file;
      }
      return {
        ...file,
        async read(target, position) {
          if (!now()) {
            leftToOthers--;
            return file.read(target, position);
          }
          if (clock() - listened > DEAF_FOR) {
            await setImmediate();
            listened = clock();
          }
          const began = clock();
          try {
            const count = readNow(target, position);
            if (clock() - began > AWAY + count / CACHED_RATE) {
              leftToOthers = LEFT_TO_OTHERS;
            }
            return count;
          } catch {
            // What is wrong is found, repeated and told by the other way.
            return file.read(target, position);
          }
        },
      };
    },
  };
}
