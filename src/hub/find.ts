/** Resolves a name to a folder of a repository: its commit, its small files, which are brought onto this disk, and where its weights are. */
import { mkdtemp, readlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { fileError } from "../files/errno.js";
import { isSideFile } from "../files/side-names.js";
import { sizeOf } from "../files/small-files.js";
import { printable } from "../formats/quote.js";
import { pause, TransientError } from "../http/retry.js";
import { pageOf, resolveCommit, resolveUrl } from "./api.js";
import {
  cachedCommit,
  cachedFile,
  type HubSnapshot,
  prepareCache,
  repoFolder,
  snapshotFolders,
  snapshotNames,
  snapshotOf,
  writeRef,
} from "./cache.js";
import { inParallel } from "./download.js";
import type { HubEntry } from "./entries.js";
import { isThere, provide } from "./fetch.js";
import { listFolder, listSideFolders } from "./list.js";
import { atCommit, type HubName } from "./name.js";
import type { HubFile, HubPlace } from "./place.js";
import type { HubSettings } from "./settings.js";

/** Files that are read before the weights, besides the side files of a model. The configs say which code is the model's. */
const READ_FIRST =
  /^(config\.json|params\.json|weight-diff\.json|model_sum\.txt|checksum_psum\.txt|patch_history\.json|README\.md|.+\.index\.json|.+\.py)$/;
/** The most bytes of all small files, which are fetched before anything else; the largest tokenizer seen has 35 MB. A larger file is no small file. */
const MAX_SMALL_BYTES = 200_000_000;
/** A repository has some ten. */
const MAX_SMALL_FILES = 500;
const SMALL_PARALLEL = 8;
/** How often small files that have just vanished are looked for, and the pause in between. */
const ROUNDS = 5;
const ROUND_MS = 50;
const WEIGHTS = /\.(bin|safetensors|pth|pt|enc)$/;

/** A path in the repository. */
function below(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}

function isSmallName(name: string): boolean {
  return READ_FIRST.test(name) || isSideFile(name);
}

/** Splits a path in the repository into the folder and the weight file that it may name. */
function splitPath({ path }: HubName): { readonly folder: string; readonly single: string | null } {
  if (!WEIGHTS.test(path)) {
    return { folder: path, single: null };
  }
  const folder = dirname(path);
  return { folder: folder === "." ? "" : folder, single: basename(path) };
}

/**
 * Asks the Hub, and brings the small files here.
 * @param temporary gets the temporary folder, where nothing is cached. @param onFound is told that there is such a repository. @throws {WeightDiffError} HUB_…, NETWORK, LIMIT, IO, DISK_FULL.
 */
export async function findOnline(
  name: HubName,
  settings: HubSettings,
  temporary: string[],
  signal: AbortSignal | undefined,
  onFound: () => void,
): Promise<HubPlace> {
  const { access, cache, symlinks } = settings;
  const { id } = name;
  const { folder, single } = splitPath(name);
  const revision = name.revision ?? "main";
  const commit = await resolveCommit(access, id, revision, signal).catch(async (error: unknown) => {
    throw await withCacheAdvice(error, name, settings);
  });
  onFound();
  const { files, folders, notes } = await listFolder(access, id, commit, folder, signal);
  const page = pageOf(access, id);
  if (single !== null && !files.some(({ file }) => file === single)) {
    throw new WeightDiffError(
      "HUB_NO_FILE",
      `${atCommit(id, commit)}: the repository has no file ${printable(name.path)}`,
      `its files are listed at ${page}/tree/${commit}`,
    );
  }
  let snapshot: HubSnapshot | null = null;
  let directory: string;
  if (cache === null) {
    directory = await mkdtemp(join(tmpdir(), "weight-diff-hub-")).catch((error: unknown) => {
      throw fileError(tmpdir(), "make a folder in", error);
    });
    temporary.push(directory);
  } else {
    snapshot = snapshotOf(repoFolder(cache, id), commit);
    directory = join(snapshot.directory, folder);
    await prepareCache(cache);
    await writeRef(snapshot.folder, revision, commit);
  }
  const place = ({ file, size, etag }: HubEntry): HubFile => {
    const path = below(folder, file);
    return {
      name: atCommit(id, commit, path),
      repo: id,
      url: resolveUrl(access, id, commit, path),
      page,
      size,
      etag,
      access,
      sha256: etag.length === 64 ? etag : null,
      path,
      snapshot,
      cached: false,
      ended: signal,
    };
  };
  const isSmall = ({ file, size }: HubEntry): boolean =>
    single === null && size <= MAX_SMALL_BYTES && isSmallName(file);
  const inner = single === null ? await listSideFolders(access, id, commit, { folder, folders }, signal) : [];
  const small = [...files, ...inner].filter(isSmall);
  refuseMany(id, small);
  const bring = (entry: HubEntry, stop: AbortSignal): Promise<void> =>
    provide(place(entry), join(directory, entry.file), symlinks, stop);
  await inParallel(small, signal, bring, SMALL_PARALLEL);
  // huggingface_hub removes a pointer before it makes the same one again (file_download.py, _create_symlink).
  for (let round = 0; snapshot !== null && round < ROUNDS; round++) {
    const there = await Promise.all(small.map((entry) => isThere(place(entry))));
    const gone = small.filter((_, index) => there[index] === false);
    if (gone.length === 0) {
      break;
    }
    await pause(ROUND_MS, signal);
    await inParallel(gone, signal, bring, SMALL_PARALLEL);
  }
  const others = new Map<string, HubFile>();
  for (const entry of files.filter((candidate) => !isSmall(candidate))) {
    const file = place(entry);
    const cached = snapshot !== null && (await cachedFile(snapshot, file.path, file, symlinks)) !== null;
    others.set(entry.file, { ...file, cached });
  }
  const names = files.map(({ file }) => file);
  return {
    id,
    commit,
    folder,
    page: `${page}/tree/${commit}${folder === "" ? "" : `/${folder}`}`,
    directory,
    names,
    folders,
    single,
    files: others,
    offline: false,
    notes,
  };
}

/** If the Hub does not answer, the copy in the cache may be enough: the error says so. */
async function withCacheAdvice(error: unknown, name: HubName, settings: HubSettings): Promise<unknown> {
  const unreached = error instanceof WeightDiffError && error.cause instanceof TransientError && error.cause.unreached;
  const cached = unreached && settings.cache !== null && (await findCached(name, settings).catch(() => null)) !== null;
  return cached
    ? new WeightDiffError(error.code, error.fact, "check the connection", {
        at: error.at,
        advice: [{ to: "use the copy in the cache", option: "hub.offline", value: true }],
        cause: error.cause,
      })
    : error;
}

/** @throws {WeightDiffError} LIMIT if there are more small files, or bytes in them, than any model needs. */
function refuseMany(id: string, small: readonly { readonly size: number }[]): void {
  const bytes = small.reduce((sum, { size }) => sum + size, 0);
  if (small.length > MAX_SMALL_FILES || bytes > MAX_SMALL_BYTES) {
    throw new WeightDiffError(
      "LIMIT",
      `${small.length} small files of ${bytes} bytes beside the weights, at most ${MAX_SMALL_FILES} of ${MAX_SMALL_BYTES} are fetched unasked`,
      `if you want them, fetch them yourself (hf download ${id}) and give the folder`,
      { at: { file: id } },
    );
  }
}

/** The part of the folder that the cache has. Makes no request. @throws {WeightDiffError} HUB_OFFLINE. */
export async function findCached(name: HubName, { access, cache }: HubSettings): Promise<HubPlace> {
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
      `offline, and ${what} is not in the cache ${cache ?? ""}`,
      `go online once (neither the option nor HF_HUB_OFFLINE may forbid it), or: hf download ${id}${name.revision === null ? "" : ` --revision ${revision}`}; see ${page}`,
      { at: { file: spelled } },
    );
  }
  const files = new Map<string, HubFile>();
  for (const file of names.filter((candidate) => candidate === single || !isSmallName(candidate))) {
    const path = below(folder, file);
    // Where the cache has no links, the blob's name is not known.
    const etag = basename(await readlink(join(directory, file)).catch(() => ""));
    const size = await sizeOf(join(directory, file));
    if (size !== null) {
      const sha256 = /^[0-9a-f]{64}$/.test(etag) ? etag : null;
      const url = resolveUrl(access, id, commit, path);
      const label = atCommit(id, commit, path);
      files.set(file, { name: label, repo: id, url, page, size, etag, access, sha256, path, snapshot, cached: true });
    }
  }
  const folders = await snapshotFolders(directory);
  const at = `${page}/tree/${commit}`;
  return { id, commit, folder, page: at, directory, names, folders, single, files, offline: true, notes: [] };
}
