/**
 * Brings the files of an output to the disk while they grow: it then works while the run does, and what is left to wait for at the end is
 * the last of them.
 */
import { traceAside } from "../engine/io/trace.js";

/** Bytes of a file that were written since it was last synced. */
const FLUSHED_BYTES = 1 << 27;

export interface Syncs {
  /** So many more bytes of the file went through the page cache. */
  grown(shard: number, bytes: number): void;
  /** The file is whole. */
  whole(shard: number): void;
  /** @throws the first failure of any sync, once none is under way: a system tells only once of bytes that it has lost. */
  wait(): Promise<void>;
}

/** @param seal waits until a file's bytes are with the disk. */
export function startSyncs(shards: readonly { readonly file: string }[], seal: (file: string) => Promise<void>): Syncs {
  const all: Promise<void>[] = [];
  const since = shards.map(() => 0);
  // One at a time: the next one would wait for the same disk.
  let flushing = false;
  const sync = (name: "flush" | "seal", shard: number): Promise<void> => {
    const file = shards[shard]?.file ?? "";
    const synced = traceAside(
      name,
      () => seal(file),
      () => ({ file }),
    );
    synced.catch(() => {}); // told by `wait`
    all.push(synced);
    return synced;
  };
  return {
    grown(shard, bytes) {
      since[shard] = (since[shard] ?? 0) + bytes;
      if ((since[shard] ?? 0) < FLUSHED_BYTES || flushing) {
        return;
      }
      since[shard] = 0;
      flushing = true;
      const done = (): void => {
        flushing = false;
      };
      sync("flush", shard).then(done, done);
    },
    whole(shard) {
      sync("seal", shard);
    },
    async wait() {
      await Promise.allSettled(all);
      await Promise.all(all);
    },
  };
}
