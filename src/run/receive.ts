/**
 * Reads a safetensors file from stdin. Reads its header, then digests each tensor once as it passes, in the order of the file. Of the
 * values, it keeps only small vectors, which help to tell what the model is.
 */
import { createHash, type Hash } from "node:crypto";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { loneState } from "../checkpoint/layouts/huggingface.js";
import { plainModel } from "../checkpoint/layouts/registry.js";
import type { Shard } from "../checkpoint/shard.js";
import type { Disk } from "../engine/io/disk.js";
import { WeightDiffError } from "../errors.js";
import { fileError } from "../files/errno.js";
import type { FileSource } from "../files/file-source.js";
import { inTurn } from "../files/in-turn.js";
import { readSome, STDIN, STREAM } from "../files/pipe.js";
import { openStdin, STDIN_NAME } from "../files/stdin-source.js";
import { type ByteRange, rangeLength } from "../formats/tensor-info.js";
import { readWeightFile } from "../formats/weight-file.js";
import { type Reading, readTensors } from "./digest.js";
import type { RunOptions } from "./run-plan.js";

export interface Received {
  readonly checkpoint: Checkpoint;
  /** With the sha256 of the whole file, if asked for. */
  readonly reading: Reading;
}

/** Bytes at the start of a file that tell its format: as many as weight-file.ts looks at. */
const HEAD = 512;
/** Vectors of at most so many bytes are kept, norms among them. The same limit holds for all together. */
const KEPT_VECTOR = 1 << 17;
const KEPT_TOTAL = 1 << 24;

/**
 * Reads stdin to its end.
 * @param whole take the sha256 of the whole file too.
 * @param name of the file, where a manifest states it.
 * @throws {WeightDiffError} NOT_WEIGHTS, FORMAT_… and LIMIT if it is no safetensors file; TRUNCATED if it is shorter or longer than its
 * header says; IO, INTERRUPTED.
 */
export async function receive(
  { whole, ...options }: RunOptions & { readonly sum?: boolean; readonly whole: boolean },
  name = "model.safetensors",
): Promise<Received> {
  const stdin = await openStdin(HEAD);
  const header = await readWeightFile(stdin);
  if (header.format !== "safetensors") {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `is a file of torch's: only safetensors can be read from a stream`,
      "save it to a file first",
      { at: { file: STDIN_NAME } },
    );
  }
  const last = header.tensors.at(-1);
  if (last === undefined) {
    throw new WeightDiffError("NOT_WEIGHTS", "no tensor in it", "check the program that writes to it", {
      at: { file: STDIN_NAME },
    });
  }
  const [first = last] = header.tensors;
  const data = { begin: first.range.begin, end: last.range.end };
  const hash = whole ? createHash("sha256") : null;
  const passing = pass(stdin.beginning(), data, { kept: keptRanges(header.tensors), hash }, options.signal);
  const shard: Shard = { file: name, path: STDIN_NAME, size: data.end, modified: "", header, passed: passing.kept };
  const checkpoint: Checkpoint = {
    ...plainModel(STREAM),
    ...{ path: STREAM, directory: null, repo: null, commit: null, shards: [shard] },
    ...loneState(shard),
  };
  const reading = await readTensors(checkpoint, {
    ...options,
    ...{ count: true, threads: 0, directIo: false, disk: passing.disk },
  });
  await passing.finish();
  return { checkpoint, reading: { ...reading, files: new Map(hash === null ? [] : [[name, hash.digest("hex")]]) } };
}

function keptRanges(tensors: Shard["header"]["tensors"]): readonly ByteRange[] {
  let left = KEPT_TOTAL;
  return tensors.flatMap(({ shape, range }) => {
    const bytes = rangeLength(range);
    if (shape.length > 1 || bytes === 0 || bytes > KEPT_VECTOR || bytes > left) {
      return [];
    }
    left -= bytes;
    return [range];
  });
}

/**
 * The bytes of the stream in order.
 * @param beginning the bytes that were read already.
 * @param wanted which bytes to keep, by position, and what takes all bytes.
 */
function pass(
  beginning: Uint8Array,
  { begin, end }: ByteRange,
  wanted: { readonly kept: readonly ByteRange[]; readonly hash: Hash | null },
  signal: AbortSignal | undefined,
): { readonly disk: Disk; readonly kept: FileSource; finish(): Promise<void> } {
  const { hash } = wanted;
  hash?.update(beginning.subarray(0, begin));
  const turns = inTurn(begin);
  const kept = wanted.kept.map((range) => ({ range, bytes: new Uint8Array(rangeLength(range)) }));
  let next = 0;
  const keep = (bytes: Uint8Array, position: number): void => {
    const after = position + bytes.length;
    for (let at = next; at < kept.length; at++) {
      const one = kept[at];
      if (one === undefined || one.range.begin >= after) {
        return;
      }
      const from = Math.max(one.range.begin, position);
      one.bytes.set(bytes.subarray(from - position, one.range.end - position), from - one.range.begin);
      next = one.range.end <= after ? at + 1 : next;
    }
  };
  const some = async (target: Uint8Array): Promise<number> => {
    const ahead = beginning.subarray(turns.at, turns.at + target.length);
    if (ahead.length > 0) {
      target.set(ahead);
      return ahead.length;
    }
    return readSome(STDIN, target).catch((error: unknown) => {
      throw fileError(STDIN_NAME, `read at byte ${turns.at}`, error);
    });
  };
  const stop = (): void => turns.end(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  return {
    disk: {
      async openFile(path) {
        const none = (): never => {
          throw new TypeError("a stream is only read");
        };
        return {
          ...{ path, direct: false, write: none, truncate: none, sync: none },
          read: (target, position) =>
            turns.take(position, async () => {
              const count = await some(target);
              if (count === 0) {
                const fact = `ends at byte ${position}, but its header describes ${end} bytes`;
                throw wrongLength(fact, "check why the program that writes to it ended");
              }
              hash?.update(target.subarray(0, count));
              keep(target.subarray(0, count), position);
              return count;
            }),
          stat: async () => ({ size: end, modified: "" }),
          close: async () => {},
        };
      },
    },
    kept: {
      ...{ path: STDIN_NAME, name: STDIN_NAME, size: end, modified: "", close: async () => {} },
      async readAt(offset, length) {
        const found = kept.find(({ range }) => range.begin <= offset && offset + length <= range.end);
        if (found === undefined) {
          throw wrongLength(`bytes ${offset} to ${offset + length} have already passed`, "save it to a file first");
        }
        return found.bytes.slice(offset - found.range.begin, offset - found.range.begin + length);
      },
    },
    async finish() {
      const more = await turns.take(end, () => some(new Uint8Array(1)));
      signal?.removeEventListener("abort", stop);
      if (more > 0) {
        throw wrongLength(`goes on after byte ${end}, where it ends by its header`, "check what else writes to it");
      }
    },
  };
}

function wrongLength(fact: string, remedy: string): WeightDiffError {
  return new WeightDiffError("TRUNCATED", fact, remedy, { at: { file: STDIN_NAME } });
}
