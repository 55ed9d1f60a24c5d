/**
 * A file, or a part of it, as a Blob that is read when it is needed: what fetch and @huggingface/hub take for an upload. The
 * library's own one ignores how many bytes a read gave.
 */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { WeightDiffError } from "../errors.js";
import { openFileSource } from "./file-source.js";

/** Bytes read at once. */
const PIECE = 1 << 18;

export class FilePart extends Blob {
  readonly path: string;
  /** Bytes of the file: from, to. */
  readonly begin: number;
  readonly end: number;
  override readonly size: number;
  readonly #onBytes: (count: number) => void;

  /** @param onBytes is told of every piece that leaves through a stream. */
  constructor(path: string, begin: number, end: number, onBytes: (count: number) => void = () => {}) {
    super([]);
    this.size = end - begin;
    this.path = path;
    this.begin = begin;
    this.end = end;
    this.#onBytes = onBytes;
  }

  override slice(from = 0, to = this.size): FilePart {
    const at = (place: number): number => Math.min(Math.max(place < 0 ? this.size + place : place, 0), this.size);
    return new FilePart(this.path, this.begin + at(from), this.begin + Math.max(at(from), at(to)), this.#onBytes);
  }

  /** The same bytes, counted by somebody else. */
  counted(onBytes: (count: number) => void): FilePart {
    return new FilePart(this.path, this.begin, this.end, onBytes);
  }

  /** @throws {WeightDiffError} INPUT_CHANGED if the file has become shorter; IO, NOT_FOUND. */
  override async arrayBuffer(): Promise<ArrayBuffer> {
    const source = await openFileSource(this.path);
    try {
      return Uint8Array.from(await source.readAt(this.begin, this.size)).buffer;
    } finally {
      await source.close();
    }
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(await this.arrayBuffer());
  }

  /** Fails with a WeightDiffError if the file has become shorter. */
  override stream(): ReturnType<Blob["stream"]> {
    const { path, begin, end, size } = this;
    const onBytes = this.#onBytes;
    async function* pieces(): AsyncGenerator<Uint8Array> {
      let at = 0;
      for await (const piece of size === 0
        ? []
        : createReadStream(path, { start: begin, end: end - 1, highWaterMark: PIECE })) {
        at += piece.length;
        onBytes(piece.length);
        yield piece;
      }
      if (at !== size) {
        throw new WeightDiffError(
          "INPUT_CHANGED",
          `is ${size - at} bytes shorter than before`,
          "run the command again",
          { at: { file: path } },
        );
      }
    }
    return Readable.toWeb(Readable.from(pieces(), { objectMode: false })) as ReturnType<Blob["stream"]>;
  }
}
