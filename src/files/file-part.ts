/**
 * A file, or a part of it, as a Blob that is read on demand. fetch and @huggingface/hub take it for an upload. The library's own Blob
 * ignores how many bytes a read returned.
 */
import { Readable } from "node:stream";
import { WeightDiffError } from "../errors.js";
import { type FileSource, openFileSource, type PlacedFile } from "./file-source.js";

/** Bytes read at once. */
const PIECE = 1 << 18;

export class FilePart extends Blob {
  readonly place: PlacedFile;
  /** The range of bytes in the file. */
  readonly begin: number;
  readonly end: number;
  override readonly size: number;
  readonly #onBytes: (count: number) => void;

  /** @param onBytes called for every piece that leaves through a stream. */
  constructor(place: PlacedFile, begin: number, end: number, onBytes: (count: number) => void = () => {}) {
    super([]);
    this.size = end - begin;
    this.place = place;
    this.begin = begin;
    this.end = end;
    this.#onBytes = onBytes;
  }

  override slice(from = 0, to = this.size): FilePart {
    const at = (place: number): number => Math.min(Math.max(place < 0 ? this.size + place : place, 0), this.size);
    return new FilePart(this.place, this.begin + at(from), this.begin + Math.max(at(from), at(to)), this.#onBytes);
  }

  /** The same bytes with another counter. */
  counted(onBytes: (count: number) => void): FilePart {
    return new FilePart(this.place, this.begin, this.end, onBytes);
  }

  /** @throws {WeightDiffError} INPUT_CHANGED if the file has become shorter; LINK_OUTSIDE, IO, NOT_FOUND. */
  override async arrayBuffer(): Promise<ArrayBuffer> {
    const source = await this.#open();
    try {
      return Uint8Array.from(await source.readAt(this.begin, this.size)).buffer;
    } finally {
      await source.close();
    }
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(await this.arrayBuffer());
  }

  /** Fails with a WeightDiffError, like arrayBuffer. */
  override stream(): ReturnType<Blob["stream"]> {
    const { begin, end } = this;
    const onBytes = this.#onBytes;
    const open = (): Promise<FileSource> => this.#open();
    async function* pieces(): AsyncGenerator<Uint8Array> {
      const source = await open();
      try {
        for (let at = begin; at < end; at += PIECE) {
          const piece = await source.readAt(at, Math.min(PIECE, end - at));
          onBytes(piece.length);
          yield piece;
        }
      } finally {
        await source.close();
      }
    }
    return Readable.toWeb(Readable.from(pieces(), { objectMode: false })) as ReturnType<Blob["stream"]>;
  }

  async #open(): Promise<FileSource> {
    const { path, within } = this.place;
    const source = await openFileSource(path, within);
    if (source.size < this.end) {
      await source.close();
      throw new WeightDiffError(
        "INPUT_CHANGED",
        `is ${this.end - source.size} bytes shorter than before`,
        "run the command again",
        { at: { file: path } },
      );
    }
    return source;
  }
}
