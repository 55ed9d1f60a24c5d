/** stdin as formats/ sees it: its beginning, which is enough for a header. The rest passes only once. */
import { isatty } from "node:tty";
import { WeightDiffError } from "../errors.js";
import { fileError } from "./errno.js";
import type { FileSource } from "./file-source.js";
import { readSome, STDIN } from "./pipe.js";

/** Its name in messages. */
export const STDIN_NAME = "stdin";

/** More than any accepted header has. */
const MOST = 1 << 25;
/** Bytes to ask for at once. */
const PIECE = 1 << 16;

interface StdinSource extends FileSource {
  /** All bytes that were read to see the beginning. */
  readonly beginning: () => Uint8Array;
}

/**
 * @param look bytes to read at once to tell the format. The size is known if the stream ends there, and Infinity otherwise.
 * @throws {WeightDiffError} USAGE if stdin is a terminal; IO.
 */
export async function openStdin(look: number): Promise<StdinSource> {
  if (isatty(STDIN)) {
    throw new WeightDiffError("USAGE", "stdin is a terminal", "send a safetensors file into it: zstd -dc FILE | …");
  }
  const pieces: Uint8Array[] = [];
  let length = 0;
  let ended = false;
  /** A length that is only claimed takes no memory: the buffer grows with what arrives. */
  const fill = async (wanted: number): Promise<void> => {
    while (length < wanted && !ended) {
      const piece = new Uint8Array(Math.min(PIECE, wanted - length));
      const count = await readSome(STDIN, piece).catch((error: unknown) => {
        throw fileError(STDIN_NAME, `read at byte ${length}`, error);
      });
      ended = count === 0;
      length += count;
      pieces.push(piece.subarray(0, count));
    }
  };
  const beginning = (): Uint8Array => {
    const [first = new Uint8Array(), ...more] = pieces;
    const all = more.length === 0 ? first : Buffer.concat(pieces);
    pieces.splice(0, pieces.length, all);
    return all;
  };
  await fill(look);
  return {
    path: STDIN_NAME,
    name: STDIN_NAME,
    get size() {
      return ended ? length : Number.POSITIVE_INFINITY;
    },
    modified: "",
    beginning,
    async readAt(offset, wanted) {
      if (!Number.isSafeInteger(offset + wanted) || offset + wanted > MOST) {
        throw new WeightDiffError(
          "FORMAT_UNSUPPORTED",
          "is not a safetensors file, and nothing else can be read from a stream",
          "save it to a file first",
          { at: { file: STDIN_NAME } },
        );
      }
      await fill(offset + wanted);
      if (length < offset + wanted) {
        throw new WeightDiffError(
          "TRUNCATED",
          `ends at byte ${length}, but its header goes on to byte ${offset + wanted}`,
          "find out why the program that writes to it ended",
          { at: { file: STDIN_NAME } },
        );
      }
      return beginning().slice(offset, offset + wanted);
    },
    close: async () => {},
  };
}
