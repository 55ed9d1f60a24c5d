/** A local file as formats/ sees it: path, size and exact reads. Opened read-only, and not kept open between reads of different shards. */
import type { FileHandle } from "node:fs/promises";
import { WeightDiffError } from "../errors.js";
import { INCOMPLETE } from "../formats/damage.js";
import { printable } from "../formats/quote.js";
import type { ByteSource } from "../formats/tensor-info.js";
import { fileError } from "./errno.js";
import { isWithin, type OpenedFile, openRegular, placeOf } from "./regular-file.js";

export interface FileSource extends ByteSource {
  readonly path: string;
  /** Last modification in nanoseconds since 1970, as text since it does not fit a double. */
  readonly modified: string;
  close(): Promise<void>;
}

/** A file whose bytes go into an output, and the folder that links must not lead out of. */
export interface PlacedFile {
  readonly path: string;
  readonly within: string;
}

/**
 * Opens `path` for reading.
 * @param within the folder that links must not lead out of, except into the blobs of the Hub cache: for files whose bytes go into an
 * output. Null for files that only tell something about a model, since people keep weights on other disks.
 * @throws {WeightDiffError} NOT_FOUND, LINK_OUTSIDE, INPUT_CHANGED, IO.
 */
export async function openFileSource(path: string, within: string | null = null): Promise<FileSource> {
  const opened = await openRegular(path).catch((error: unknown) => {
    throw fileError(path, "open", error);
  });
  if (opened === null) {
    throw new WeightDiffError("NOT_FOUND", "not a regular file", "give a checkpoint directory or one weight file", {
      at: { file: path },
    });
  }
  const { handle, info } = opened;
  try {
    if (within !== null) {
      await refuseStray(opened, path, within);
    }
  } catch (error) {
    await handle.close();
    throw fileError(path, "open", error);
  }
  const size = Number(info.size);
  return {
    path,
    // Base and diff often have files of the same name, so messages give the path.
    name: path,
    size,
    modified: String(info.mtimeNs),
    readAt: (offset, length, room) => readExactly(handle, path, size, { offset, length, room }),
    close: () => handle.close(),
  };
}

/** A link may lead to anything that the user can read. What is copied and published must belong to the checkpoint. */
async function refuseStray(opened: OpenedFile, path: string, within: string): Promise<void> {
  const place = await placeOf(opened, path);
  if (place === null) {
    throw new WeightDiffError(
      "INPUT_CHANGED",
      "another file took its place while it was opened",
      "wait until nothing writes to it, then run again",
      { at: { file: path } },
    );
  }
  if (!(await isWithin(place, within))) {
    throw new WeightDiffError(
      "LINK_OUTSIDE",
      `a link leads out of its folder, to ${printable(place)}, which is neither read nor copied`,
      "if that file belongs to the model, put a copy of it in place of the link; else remove the link",
      { at: { file: path } },
    );
  }
}

async function readExactly(
  handle: FileHandle,
  path: string,
  size: number,
  { offset, length, room }: { readonly offset: number; readonly length: number; readonly room: Uint8Array | undefined },
): Promise<Uint8Array> {
  if (
    !Number.isSafeInteger(offset) ||
    !Number.isSafeInteger(length) ||
    offset < 0 ||
    length < 0 ||
    offset + length > size
  ) {
    throw new WeightDiffError(
      "TRUNCATED",
      `bytes ${offset} to ${offset + length} are wanted, the file has ${size}`,
      INCOMPLETE,
      { at: { file: path } },
    );
  }
  const buffer = room ?? new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    let bytesRead: number;
    try {
      ({ bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled));
    } catch (error) {
      throw fileError(path, `read at byte ${offset + filled}`, error);
    }
    if (bytesRead === 0) {
      throw new WeightDiffError(
        "INPUT_CHANGED",
        `ends at byte ${offset + filled}, had ${size} bytes when it was opened`,
        "another program is changing the file: wait for it, then run again",
        { at: { file: path } },
      );
    }
    filled += bytesRead;
  }
  return buffer;
}

/** @throws {WeightDiffError} FORMAT_INVALID if the bytes are not UTF-8. */
export function decodeText(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new WeightDiffError("FORMAT_INVALID", "not UTF-8 text", "fetch it again", { at: { file: path } });
  }
}
