/** Brings files of a repository onto this disk: a file that is there with the right digest is kept, any other is fetched. */
import { basename, join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { isTrueBlob } from "../files/blob.js";
import { sizeOf } from "../files/small-files.js";
import { blobPath, cachedFile, type HubSnapshot, isNoted, note, pointTo } from "./cache.js";
import { downloadFile, inParallel } from "./download.js";
import type { FetchProgress, HubFile } from "./place.js";
import type { HubSettings } from "./settings.js";

/** A small file with the right digest: from the cache, or fetched; without a cache it is fetched to `target`. @throws {WeightDiffError} NETWORK, HUB_…, IO, DISK_FULL. */
export async function provide(file: HubFile, target: string, symlinks: boolean, signal: AbortSignal): Promise<void> {
  const { snapshot } = file;
  if (snapshot === null) {
    await downloadFile(file, target, signal);
    return;
  }
  const there = await cachedFile(snapshot, file.path, file, symlinks);
  if (there !== null && (await isTrueBlob(there, file.etag, signal))) {
    return;
  }
  await download(file, snapshot, symlinks, signal, () => {});
}

async function download(
  file: HubFile,
  snapshot: HubSnapshot,
  symlinks: boolean,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<void> {
  const blob = blobPath(snapshot.folder, file.etag);
  const pointer = join(snapshot.directory, file.path);
  await downloadFile(file, blob, signal, onBytes, pointer);
  await pointTo(blob, pointer, { symlinks, fresh: file.etag });
}

/** Is the file in the cache, of the right size? */
export async function isThere({ snapshot, path, size }: HubFile): Promise<boolean> {
  return snapshot !== null && (await sizeOf(join(snapshot.directory, path))) === size;
}

/** Weights, as Hub.fetch (place.ts) says. */
export async function fetchFiles(
  files: readonly HubFile[],
  how: HubSettings,
  signal: AbortSignal | undefined,
  onProgress: (state: FetchProgress) => void,
): Promise<void> {
  const todo: { readonly file: HubFile; readonly snapshot: HubSnapshot; readonly there: boolean }[] = [];
  for (const file of new Map(files.map((each) => [each.url, each])).values()) {
    const { snapshot, path, etag } = file;
    const there = await isThere(file);
    if (snapshot !== null && etag !== "" && !(there && (await isNoted(snapshot, path, etag)))) {
      todo.push({ file, snapshot, there });
    }
  }
  const total = todo.reduce((sum, { file }) => sum + file.size, 0);
  let done = 0;
  await inParallel(todo, signal, async ({ file, snapshot, there }, stop) => {
    const count =
      (kind: FetchProgress["how"]) =>
      (bytes: number): void => {
        done += bytes;
        onProgress({ done, total, file: basename(file.path), how: kind });
      };
    if (there) {
      let checked = 0;
      const counted = count("checked");
      const isTrue = await isTrueBlob(join(snapshot.directory, file.path), file.etag, stop, (bytes) => {
        checked += bytes;
        counted(bytes);
      });
      if (isTrue) {
        await note(snapshot, file.path, file.etag);
        return;
      }
      counted(-checked);
    }
    if (how.offline) {
      throw new WeightDiffError(
        "HUB_OFFLINE",
        `damaged in the cache: its digest is not ${file.etag}`,
        `go online once (neither the option nor HF_HUB_OFFLINE may forbid it): it is fetched again; see ${file.page}`,
        { at: { file: file.name } },
      );
    }
    await download(file, snapshot, how.symlinks, stop, count("fetched"));
    await note(snapshot, file.path, file.etag);
  });
}
