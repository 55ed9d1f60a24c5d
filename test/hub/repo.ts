/**
 * Repositories of the test Hub: files, commits, branches and tags, in memory. Object names are git's and LFS's own: sha1 of the
 * blob (of the pointer file, for large files), sha256 of the content, so that a client that checks them has something to check.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface RepoFile {
  readonly bytes: Buffer;
  /** The git object: of the content, or of the pointer to it. */
  readonly oid: string;
  readonly lfs: { readonly oid: string; readonly pointerSize: number } | null;
}

export interface Commit {
  readonly sha: string;
  readonly parent: string | null;
  readonly title: string;
  readonly date: string;
  readonly files: ReadonlyMap<string, RepoFile>;
}

export interface Repo {
  readonly id: string;
  private: boolean;
  gated: boolean;
  disabled: boolean;
  readonly commits: Map<string, Commit>;
  readonly branches: Map<string, string>;
  readonly tags: Map<string, string>;
}

export interface RepoOptions {
  readonly private?: boolean;
  readonly gated?: boolean;
  readonly disabled?: boolean;
}

/** As the Hub's default .gitattributes, for what weights and tokenizers consist of. */
const LFS_NAMES = /\.(safetensors|bin|pt|pth|ckpt|h5|msgpack|model|npy|npz|onnx|pb|pkl|tar|gz|zip|zst|7z|parquet)$/i;
const GIT_ATTRIBUTES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.bin filter=lfs diff=lfs merge=lfs -text\n";

/** Would the Hub keep it in large file storage? By name, by size, or because it is no text; never if it is empty. */
export function isLarge(path: string, size: number, sample: Uint8Array): boolean {
  return size > 0 && (LFS_NAMES.test(path) || size > 10 * 1024 * 1024 || sample.includes(0));
}

export function digest(algorithm: "sha1" | "sha256", ...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash(algorithm);
  for (const part of parts) {
    hash.update(part);
  }
  return hash.digest("hex");
}

/** @param large overrides the rule for what goes into large file storage. */
export function repoFile(path: string, bytes: Buffer, large = isLarge(path, bytes.length, bytes.subarray(0, 512))) {
  const blob = (content: string | Uint8Array): string =>
    digest("sha1", `blob ${Buffer.byteLength(content)}\0`, content);
  if (!large) {
    return { bytes, oid: blob(bytes), lfs: null };
  }
  const oid = digest("sha256", bytes);
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${bytes.length}\n`;
  return { bytes, oid: blob(pointer), lfs: { oid, pointerSize: pointer.length } };
}

/** A repository as the Hub makes one: with a first commit that holds .gitattributes. */
export function newRepo(id: string, options: RepoOptions = {}): Repo {
  const repo: Repo = {
    id,
    private: options.private ?? false,
    gated: options.gated ?? false,
    disabled: options.disabled ?? false,
    commits: new Map(),
    branches: new Map(),
    tags: new Map(),
  };
  commit(
    repo,
    "main",
    "initial commit",
    new Map([[".gitattributes", repoFile("", Buffer.from(GIT_ATTRIBUTES), false)]]),
  );
  return repo;
}

/** A commit on top of a branch, or its first one. @param changes null deletes a file. */
export function commit(
  repo: Repo,
  branch: string,
  title: string,
  changes: ReadonlyMap<string, RepoFile | null>,
): Commit {
  const parent = repo.branches.get(branch) ?? null;
  const files = new Map(parent === null ? [] : repo.commits.get(parent)?.files);
  for (const [path, file] of changes) {
    if (file === null) {
      files.delete(path);
    } else {
      files.set(path, file);
    }
  }
  const listing = [...files].map(([path, { oid }]) => `${oid} ${path}\n`).join("");
  const sha = digest("sha1", `${repo.id} ${parent} ${title} ${repo.commits.size}\n`, listing);
  const made = { sha, parent, title, date: new Date().toISOString(), files };
  repo.commits.set(sha, made);
  repo.branches.set(branch, sha);
  return made;
}

/** The commit that a branch, a tag or a commit's full name stands for. */
export function commitOf(repo: Repo, revision: string): Commit | null {
  const sha = repo.branches.get(revision) ?? repo.tags.get(revision) ?? revision;
  return repo.commits.get(sha) ?? null;
}

/** Every file below a directory, as the files of a commit. */
export function filesOf(directory: string): ReadonlyMap<string, RepoFile> {
  return new Map(
    readdirSync(directory, { recursive: true, withFileTypes: true }).flatMap((entry) => {
      const path = join(entry.parentPath, entry.name);
      const name = path.slice(directory.length).replaceAll("\\", "/").replace(/^\/+/, "");
      return entry.isDirectory() ? [] : [[name, repoFile(name, readFileSync(path))] as const];
    }),
  );
}
