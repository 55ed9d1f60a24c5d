/**
 * The Hub during one command: each name that the user gave is resolved to a commit once, its small files are brought to this
 * disk, and its weights stay where they are until somebody wants their bytes: in the cache, or, without one, at the Hub.
 */
import { mkdtemp, readlink, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { WeightDiffError } from "../errors.js";
import { printable } from "../formats/quote.js";
import { fileError } from "./file-source.js";
import { type HubEntry, listFolder, pageOf, resolveCommit, resolveUrl } from "./hub.js";
import {
  blobPath,
  cachedCommit,
  cachedFile,
  dropBlob,
  type HubSnapshot,
  isNoted,
  isTrueBlob,
  note,
  pointTo,
  prepareCache,
  repoFolder,
  snapshotNames,
  snapshotOf,
  writeRef,
} from "./hub-cache.js";
import { downloadFile, inParallel } from "./hub-download.js";
import { type HubName, parseHubName } from "./hub-name.js";
import type { FetchProgress, Hub, HubFile, HubPlace } from "./hub-place.js";
import { type HubOptions, type HubSettings, hubSettings } from "./hub-settings.js";
import { expandHome } from "./locate.js";
import { isSideFile } from "./side-files.js";
import { sizeOf } from "./small-files.js";

/** Beside the weights, and read before them. */
const READ_FIRST =
  /^(config\.json|params\.json|weight-diff\.json|model_sum\.txt|checksum_psum\.txt|patch_history\.json|added_tokens\.json|README\.md|.+\.index\.json)$/;
/** Larger ones are not small; the largest tokenizer seen has 35 MB. */
const MAX_SMALL_BYTES = 200_000_000;
/** A repository has some ten. */
const MAX_SMALL_FILES = 500;
const SMALL_PARALLEL = 8;
const WEIGHTS = /\.(bin|safetensors|pth|pt)$/;

export function openHub(options: HubOptions, signal?: AbortSignal): Hub {
  const places = new Map<string, Promise<HubPlace | null>>();
  const folders: string[] = [];
  let reading: Promise<HubSettings> | null = null;
  const settings = (): Promise<HubSettings> => {
    reading ??= hubSettings(options);
    return reading;
  };
  const look = async (path: string): Promise<HubPlace | null> => {
    const name = parseHubName(path);
    if (name === null || (!name.explicit && (await exists(path)))) {
      return null;
    }
    const how = await settings();
    try {
      return how.offline ? await findCached(name, how) : await findOnline(name, how, folders, signal);
    } catch (error) {
      throw name.explicit ? error : withBothReadings(error, path);
    }
  };
  return {
    find(path) {
      const found = places.get(path) ?? look(path);
      places.set(path, found);
      return found;
    },
    async missing(files) {
      const open = await Promise.all(
        files.map(async (file) => (file.snapshot === null || (await isThere(file)) ? 0 : file.size)),
      );
      return open.reduce((sum, size) => sum + size, 0);
    },
    async fetch(files, onProgress) {
      const how = await settings();
      const wanted = files.filter((file) => file.snapshot !== null);
      await fetchFiles(wanted, how, signal, onProgress ?? (() => {}));
      for (const [path, place] of places) {
        places.set(
          path,
          place.then((known) => (known === null ? null : nowCached(known, wanted))),
        );
      }
    },
    async close() {
      for (const folder of folders) {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

async function exists(path: string): Promise<boolean> {
  return (await stat(resolve(expandHome(path))).catch(() => null)) !== null;
}

/** A name that could have been a path: whoever mistyped one must not be left with the Hub's answer alone. */
function withBothReadings(error: unknown, path: string): unknown {
  return error instanceof WeightDiffError && /^(HUB_|NETWORK)/.test(error.code)
    ? new WeightDiffError(
        error.code,
        `${path}: no file or directory here; as a repository of the Hub: ${error.message}`,
        error.hint,
        { cause: error },
      )
    : error;
}

/** Splits a path in the repository into the folder and the weight file that it may name. */
function splitPath({ path }: HubName): { readonly folder: string; readonly single: string | null } {
  if (!WEIGHTS.test(path)) {
    return { folder: path, single: null };
  }
  const folder = dirname(path);
  return { folder: folder === "." ? "" : folder, single: basename(path) };
}

async function findOnline(
  name: HubName,
  { access, cache, symlinks }: HubSettings,
  folders: string[],
  signal: AbortSignal | undefined,
): Promise<HubPlace> {
  const { id } = name;
  const { folder, single } = splitPath(name);
  const revision = name.revision ?? "main";
  const commit = await resolveCommit(access, id, revision, signal);
  const { files, notes } = await listFolder(access, id, commit, folder, signal);
  const page = pageOf(access, id);
  if (single !== null && !files.some(({ file }) => file === single)) {
    throw new WeightDiffError(
      "HUB_NO_FILE",
      `${id}@${commit.slice(0, 8)}: the repository has no file ${printable(name.path)}`,
      `its files are listed at ${page}/tree/${commit}`,
    );
  }
  let snapshot: HubSnapshot | null = null;
  let directory: string;
  if (cache === null) {
    directory = await mkdtemp(join(tmpdir(), "weight-diff-hub-")).catch((error: unknown) => {
      throw fileError(tmpdir(), "make a folder in", error);
    });
    folders.push(directory);
  } else {
    snapshot = snapshotOf(repoFolder(cache, id), commit);
    directory = join(snapshot.directory, folder);
    await prepareCache(cache);
    await writeRef(snapshot.folder, revision, commit);
  }
  const all = files.map(({ file, size, etag }: HubEntry): HubFile => {
    const path = folder === "" ? file : `${folder}/${file}`;
    return {
      name: `${id}@${commit.slice(0, 8)}: ${printable(path)}`,
      url: resolveUrl(access, id, commit, path),
      page,
      size,
      etag,
      access,
      sha256: etag.length === 64 ? etag : null,
      path,
      snapshot,
      cached: false,
    };
  });
  const isSmall = ({ path, size }: HubFile): boolean =>
    single === null && size <= MAX_SMALL_BYTES && (READ_FIRST.test(basename(path)) || isSideFile(basename(path)));
  const small = all.filter(isSmall);
  if (small.length > MAX_SMALL_FILES) {
    throw new WeightDiffError(
      "LIMIT",
      `${id}: ${small.length} small files beside the weights, at most ${MAX_SMALL_FILES} are fetched`,
    );
  }
  await inParallel(small, signal, (file, stop) => provide(file, directory, symlinks, stop), SMALL_PARALLEL);
  const others = new Map<string, HubFile>();
  for (const file of all.filter((candidate) => !isSmall(candidate))) {
    const cached =
      snapshot !== null && WEIGHTS.test(file.path) && (await cachedFile(snapshot, file.path, file, symlinks)) !== null;
    others.set(basename(file.path), { ...file, cached });
  }
  const names = all.map(({ path }) => basename(path));
  return {
    id,
    commit,
    page: `${page}/tree/${commit}${folder === "" ? "" : `/${folder}`}`,
    directory,
    names,
    single,
    files: others,
    offline: false,
    notes,
  };
}

/** A small file, whole and true: from the cache, or fetched. */
async function provide(file: HubFile, directory: string, symlinks: boolean, signal: AbortSignal): Promise<void> {
  const { snapshot } = file;
  if (snapshot === null) {
    await downloadFile(file, join(directory, basename(file.path)), signal);
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
  await dropBlob(snapshot, file.path, file.etag);
  const blob = blobPath(snapshot.folder, file.etag);
  await downloadFile(file, blob, signal, onBytes);
  await pointTo(blob, join(snapshot.directory, file.path), { symlinks, fresh: true });
}

/** What the cache has of the folder, without asking anybody. */
async function findCached(name: HubName, { access, cache }: HubSettings): Promise<HubPlace> {
  const { id } = name;
  const { folder, single } = splitPath(name);
  const page = pageOf(access, id);
  const revision = name.revision ?? "main";
  const spelled = name.revision === null ? id : `${id}@${revision}`;
  const root = repoFolder(cache ?? "", id);
  const commit = await cachedCommit(root, revision);
  const snapshot = commit === null ? null : snapshotOf(root, commit);
  const directory = snapshot === null ? "" : join(snapshot.directory, folder);
  const names = snapshot === null ? null : await snapshotNames(directory);
  if (commit === null || snapshot === null || names === null || (single !== null && !names.includes(single))) {
    const what = single !== null && names !== null ? `the file ${printable(name.path)}` : "it";
    throw new WeightDiffError(
      "HUB_OFFLINE",
      `${spelled}: offline, and ${what} is not in the cache ${cache ?? ""}`,
      `run once without --offline and HF_HUB_OFFLINE, or: hf download ${id}${name.revision === null ? "" : ` --revision ${revision}`}; see ${page}`,
    );
  }
  const files = new Map<string, HubFile>();
  for (const file of names.filter((candidate) => WEIGHTS.test(candidate))) {
    const path = folder === "" ? file : `${folder}/${file}`;
    // Where the cache has no links, the blob's name is not known.
    const etag = basename(await readlink(join(directory, file)).catch(() => ""));
    const size = await sizeOf(join(directory, file));
    if (size !== null) {
      const sha256 = /^[0-9a-f]{64}$/.test(etag) ? etag : null;
      const url = resolveUrl(access, id, commit, path);
      const label = `${id}@${commit.slice(0, 8)}: ${printable(path)}`;
      files.set(file, { name: label, url, page, size, etag, access, sha256, path, snapshot, cached: true });
    }
  }
  return { id, commit, page: `${page}/tree/${commit}`, directory, names, single, files, offline: true, notes: [] };
}

async function isThere({ snapshot, path, size }: HubFile): Promise<boolean> {
  return snapshot !== null && (await sizeOf(join(snapshot.directory, path))) === size;
}

async function fetchFiles(
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
        `${file.name}: damaged in the cache: its digest is not ${file.etag}`,
        `run once without --offline and HF_HUB_OFFLINE: it is fetched again; see ${file.page}`,
      );
    }
    await download(file, snapshot, how.symlinks, stop, count("fetched"));
    await note(snapshot, file.path, file.etag);
  });
}

function nowCached(place: HubPlace, fetched: readonly HubFile[]): HubPlace {
  const urls = new Set(fetched.map(({ url }) => url));
  const files = [...place.files].map(
    ([name, file]) => [name, urls.has(file.url) ? { ...file, cached: true } : file] as const,
  );
  return { ...place, files: new Map(files) };
}
