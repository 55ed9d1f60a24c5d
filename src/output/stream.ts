/**
 * A run's only file as a stream on stdout: header first, tensors in the order of the file. Bytes that have gone out cannot be taken back,
 * so the last byte is held until every check has passed. A run that fails leaves a file that no reader of safetensors opens.
 */
import { createHash, type Hash } from "node:crypto";
import { isatty } from "node:tty";
import { WeightDiffError } from "../errors.js";
import { errnoOf, fileError } from "../files/errno.js";
import { inTurn, type Turns } from "../files/in-turn.js";
import { openNew } from "../files/new-file.js";
import { STDOUT, writeSome } from "../files/pipe.js";
import type { StagedShard } from "./staging.js";

/** Its name in messages. */
const NAME = "stdout";

export interface OutputStream {
  /** Writes some of `source` once everything before `position` is written. @returns the number of bytes written. */
  write(source: Uint8Array, position: number): Promise<number>;
  /** sha256 (hex) of the whole file, once all of it was taken; null if no manifest was asked for. */
  digest(): string | null;
  /** Writes the last byte, then the manifest. @throws {WeightDiffError} IO, DISK_FULL. */
  finish(manifest: Iterable<string>): Promise<void>;
  /** Leaves the stream without its last byte, and writes no manifest. */
  abandon(): Promise<void>;
}

/** @throws {WeightDiffError} USAGE if stdout is a terminal. */
export function refuseTerminal(): void {
  if (isatty(STDOUT)) {
    throw new WeightDiffError(
      "USAGE",
      "stdout is a terminal, and would show the bytes of the tensors",
      "send them to a program or a file: … | zstd > model.safetensors.zst",
    );
  }
}

/**
 * Begins the stream with the header of `shard`.
 * @param manifest path of the manifest; null writes none. The file is made at once, so that a bad path ends the run at its beginning.
 * @param signal ends a write that nobody reads.
 * @throws {WeightDiffError} OUTPUT_REFUSED if the manifest's file exists; IO, DISK_FULL.
 */
export async function openStream(
  { header, size }: Pick<StagedShard, "header" | "size">,
  manifest: string | null,
  signal?: AbortSignal,
): Promise<OutputStream> {
  if (size === null) {
    throw new TypeError("the length of a stream must be known before its first byte");
  }
  const beside = manifest === null ? null : await openNew(manifest);
  const sink: Sink = { size, turns: inTurn(0), hash: beside === null ? null : createHash("sha256"), last: null };
  const stop = (): void => sink.turns.end(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  const leave = async (): Promise<void> => {
    signal?.removeEventListener("abort", stop);
    await beside?.close();
  };
  const stream: OutputStream = {
    write: (source, position) => writeTo(sink, source, position),
    digest: () => sink.hash?.copy().digest("hex") ?? null,
    async finish(text) {
      if (sink.last === null) {
        throw new TypeError("a stream is finished before all of it was written");
      }
      await putAll(sink, sink.last);
      await beside?.write(text);
      await leave();
    },
    async abandon() {
      await beside?.remove();
      await leave();
    },
  };
  try {
    for (let at = 0; at < header.length; ) {
      at += await stream.write(header.subarray(at), at);
    }
    return stream;
  } catch (error) {
    await stream.abandon();
    throw error;
  }
}

interface Sink {
  readonly size: number;
  readonly turns: Turns;
  readonly hash: Hash | null;
  /** The last byte of the file, once it is known. */
  last: Uint8Array | null;
}

function writeTo(sink: Sink, source: Uint8Array, position: number): Promise<number> {
  return sink.turns.take(position, async () => {
    const isLast = position + source.length === sink.size;
    const now = isLast ? source.subarray(0, -1) : source;
    const count = now.length === 0 ? 0 : await put(sink, now);
    if (count < now.length || !isLast) {
      sink.hash?.update(source.subarray(0, count));
      return count;
    }
    sink.hash?.update(source);
    sink.last = source.slice(-1);
    return source.length;
  });
}

async function putAll(sink: Sink, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += await put(sink, bytes.subarray(at));
  }
}

async function put({ turns, size }: Sink, bytes: Uint8Array): Promise<number> {
  try {
    return await writeSome(STDOUT, bytes);
  } catch (error) {
    if (errnoOf(error) !== "EPIPE") {
      throw fileError(NAME, `write at byte ${turns.at}`, error);
    }
    throw new WeightDiffError(
      "IO",
      `the reader closed it after some ${turns.at} of ${size} bytes`,
      "it has only a part of the file: find out why it ended, then run again",
      { at: { file: NAME }, cause: error },
    );
  }
}
