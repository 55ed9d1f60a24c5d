/**
 * Closes the gaps in a staged file whose tensors were written with room to spare. Writes the header, then moves each tensor down behind the
 * one before it, in place. A tensor never moves up, so nothing is overwritten before it is read. If a run ends here, the moved bytes are
 * lost: the next run finds digests that do not match, and makes the tensors again.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { runError } from "../files/errno.js";
import { openOwn } from "../files/own.js";
import type { ByteRange } from "../formats/tensor-info.js";

/** Bytes to move at once. */
const PIECE = 1 << 20;

interface CompactFile {
  readonly header: Uint8Array;
  /** In the order in which they lie in the file, before and after. */
  readonly moves: readonly { readonly from: ByteRange; readonly to: number }[];
  /** Bytes of the file afterwards. */
  readonly size: number;
}

/** @param moved called for every piece. @returns sha256 (hex) of the whole file. @throws {WeightDiffError} IO, DISK_FULL. */
export async function compactFile(
  path: string,
  { header, moves, size }: CompactFile,
  moved: (bytes: number) => void,
): Promise<string> {
  const hash = createHash("sha256");
  const file = await openOwn(path, constants.O_RDWR);
  try {
    await writeAll(file, header, 0);
    hash.update(header);
    const buffer = new Uint8Array(PIECE);
    for (const { from, to } of moves) {
      for (let at = from.begin; at < from.end; at += PIECE) {
        const piece = buffer.subarray(0, Math.min(PIECE, from.end - at));
        await readAll(file, piece, at);
        hash.update(piece);
        await writeAll(file, piece, to + at - from.begin);
        moved(piece.length);
      }
    }
    await file.truncate(size);
    await file.sync();
    return hash.digest("hex");
  } catch (error) {
    throw runError(path, "write", error);
  } finally {
    await file.close();
  }
}

async function readAll(file: FileHandle, target: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < target.length; ) {
    const { bytesRead } = await file.read(target, done, target.length - done, position + done);
    if (bytesRead === 0) {
      throw new Error(`the file ends at byte ${position + done}`);
    }
    done += bytesRead;
  }
}

async function writeAll(file: FileHandle, source: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < source.length; ) {
    const { bytesWritten } = await file.write(source, done, source.length - done, position + done);
    done += bytesWritten;
  }
}
