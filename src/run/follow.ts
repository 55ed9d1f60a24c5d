/**
 * Digests whole files while they grow. A file is read from its start as far as its tensors are written, while workers make the rest. So no
 * second pass over the files is needed when all tensors are written.
 */
import { createHash, type Hash } from "node:crypto";
import { type Disk, type DiskFile, PAGE, readFully } from "../engine/io/disk.js";
import { openAs } from "../engine/io/files.js";
import type { ByteRange } from "../formats/tensor-info.js";
import { createMemory } from "../kernel/memory.js";
import type { RunPlan } from "../plan/plan.js";

/** A file that already has its header and its final length. */
export interface GrowingFile {
  /** The names of the file and of the last tensor in it. */
  readonly file: string;
  readonly last: string;
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** The ranges of its tensors, by the ids of their jobs. */
  readonly tensors: ReadonlyMap<number, ByteRange>;
  /** Is it read past the page cache? It is written in the same way. */
  readonly direct: boolean;
}

export interface Follower {
  /** Says that the tensor's bytes are written. */
  take(job: number): void;
  /** Call it once all tensors were taken. @returns sha256 (hex) of each file, by name. @throws {WeightDiffError} IO, INPUT_CHANGED. */
  finish(): Promise<ReadonlyMap<string, string>>;
  /** Ends at once, even if bytes are left. */
  stop(): Promise<void>;
}

/** The files of a plan whose lengths are known. @param staged gives the path at which file `name` grows. */
export function growingFiles(
  { shards, jobs }: RunPlan,
  staged: (name: string) => string,
  direct: boolean,
): readonly GrowingFile[] {
  const tensors = shards.map(() => new Map<number, ByteRange>());
  const last = new Map<number, { readonly name: string; readonly end: number }>();
  for (const job of jobs) {
    if (job.kind === "tensor" && job.output !== null) {
      const { shard, range } = job.output;
      tensors[shard]?.set(job.id, range);
      if (range.end >= (last.get(shard)?.end ?? 0)) {
        last.set(shard, { name: job.name, end: range.end });
      }
    }
  }
  return shards.flatMap(({ file, size }, shard) =>
    size === null
      ? []
      : {
          ...{ file, size, direct, path: staged(file) },
          ...{ last: last.get(shard)?.name ?? "", tensors: tensors[shard] ?? new Map<number, ByteRange>() },
        },
  );
}

/** How many bytes are read at a time: whole pages, and enough to need few calls. */
const PIECE = 1 << 20;

/** A file that is being digested. */
interface Growing {
  readonly file: GrowingFile;
  readonly hash: Hash;
  /** The tensors in the order of the file. All before `next` are written. */
  readonly order: readonly (readonly [job: number, range: ByteRange])[];
  next: number;
  opened: DiskFile | null;
  /** How many bytes are digested. */
  done: number;
}

/** The file was only read, so nothing is lost if closing it fails. */
async function closeRead(each: Growing): Promise<void> {
  await each.opened?.close().catch(() => {});
  each.opened = null;
}

/** Reads files one after the other, in the given order. @param onRead is told how many bytes were read. */
export function followFiles(
  disk: Disk,
  files: readonly GrowingFile[],
  onRead: (file: GrowingFile, bytes: number) => void,
): Follower {
  const growing = files.map((file): Growing => {
    const order = [...file.tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
    return { file, hash: createHash("sha256"), order, next: 0, opened: null, done: 0 };
  });
  const byJob = new Map(growing.flatMap((each) => each.order.map(([job]) => [job, each] as const)));
  const written = new Set<number>();
  const memory = new Uint8Array(files.length === 0 ? new ArrayBuffer(0) : createMemory(2 * PIECE));
  /** One buffer is digested while the other is filled. */
  const buffers = [0, PIECE].map((at) => memory.subarray(at, at + PIECE)) as [Uint8Array, Uint8Array];
  const digests = new Map<string, string>();
  let stopped = false;

  /** Up to which byte the file is final. */
  const readyOf = (each: Growing): number => {
    while (each.next < each.order.length && written.has(each.order[each.next]?.[0] ?? -1)) {
      each.next++;
    }
    return each.order[each.next]?.[1].begin ?? each.file.size;
  };
  const readPiece = async (each: Growing, at: number, count: number): Promise<Uint8Array> => {
    const { path, direct } = each.file;
    const buffer = buffers[(at / PIECE) % 2 === 0 ? 0 : 1];
    const pages = Math.ceil(count / PAGE) * PAGE;
    each.opened ??= await openAs(disk, path, "read", direct);
    try {
      await readFully(each.opened, buffer.subarray(0, each.opened.direct ? pages : count), at, count);
    } catch (error) {
      // Some file systems accept O_DIRECT when a file is opened, but refuse to read that way.
      if (!each.opened.direct) {
        throw error;
      }
      await closeRead(each);
      each.opened = await openAs(disk, path, "read", false);
      await readFully(each.opened, buffer.subarray(0, count), at);
    }
    return buffer.subarray(0, count);
  };
  /** The bytes from `at` on; null at the end of the file, or if they are not written yet. */
  const pieceAt = (each: Growing, at: number): Promise<Uint8Array> | null => {
    const count = Math.min(PIECE, each.file.size - at);
    // Only whole pieces are read, so that no page is read while a worker still writes to it.
    return count === 0 || at + count > readyOf(each) || stopped ? null : readPiece(each, at, count);
  };
  const follow = async (): Promise<void> => {
    for (const each of growing) {
      const { file, hash } = each;
      for (let next = pieceAt(each, each.done); next !== null; ) {
        const piece = await next;
        onRead(file, piece.length);
        next = pieceAt(each, each.done + piece.length);
        hash.update(piece);
        each.done += piece.length;
      }
      if (each.done < file.size) {
        return;
      }
      await closeRead(each);
      if (!digests.has(file.file)) {
        digests.set(file.file, hash.digest("hex"));
      }
    }
  };

  /** Only one run at a time, since there is one pair of buffers. */
  let following: Promise<void> | null = null;
  let failure: { readonly error: unknown } | null = null;
  const start = (): void => {
    following ??= follow()
      .catch((error: unknown) => {
        failure ??= { error };
        stopped = true;
      })
      .finally(() => {
        following = null;
      });
  };
  return {
    take(job) {
      written.add(job);
      const each = byJob.get(job);
      if (each !== undefined && each.order[each.next]?.[0] === job) {
        start();
      }
    },
    async finish() {
      await following;
      start();
      await following;
      await this.stop();
      if (failure !== null) {
        throw failure.error;
      }
      return digests;
    },
    async stop() {
      stopped = true;
      await following;
      for (const each of growing) {
        await closeRead(each);
      }
    },
  };
}
