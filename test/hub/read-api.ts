/** What the Hub tells about a repository: info, listing in pages, paths-info; and who may know. */
import { type Account, type Hub, repoNamed } from "./hub.js";
import { failure, json, type Reply, type Request } from "./reply.js";
import { type Commit, commitOf, digest, type Repo, type RepoFile } from "./repo.js";

/** Every way to get no repository, in the Hub's own words; a repository otherwise. Listings of gated ones are public. */
export function openRepo(hub: Hub, request: Request, id: string): Repo | Reply {
  const account = accountOf(hub, request);
  if (account === undefined) {
    return failure(401, null, "Invalid credentials in Authorization header");
  }
  const repo = repoNamed(hub, id);
  const hidden = repo?.private === true && account?.namespaces.includes(id.split("/")[0] ?? "") !== true;
  if (repo === undefined || hidden) {
    return account === null
      ? failure(401, null, "Invalid username or password.", { "www-authenticate": "Bearer" })
      : failure(404, "RepoNotFound", "Repository not found");
  }
  return repo.disabled ? failure(403, null, "Access to this resource is disabled.") : repo;
}

/** null: nobody in particular. undefined: a token that nobody has. */
export function accountOf(hub: Hub, { token }: Request): Account | null | undefined {
  return token === null ? null : hub.accounts.get(token);
}

/** The answer for a gated repository's files, to those who have not been let in. */
export function gate(hub: Hub, request: Request, repo: Repo): Reply | null {
  const account = accountOf(hub, request);
  if (!repo.gated || account?.accepted.includes(repo.id) === true) {
    return null;
  }
  const restricted = `Access to model ${repo.id} is restricted`;
  return account === null || account === undefined
    ? failure(401, "GatedRepo", `${restricted}. You must have access to it and be authenticated to access it.`)
    : failure(
        403,
        "GatedRepo",
        `${restricted} and you are not in the authorized list. Visit ${hub.endpoint}/${repo.id} to ask for access.`,
      );
}

export function revisionMissing(revision: string): Reply {
  return failure(404, "RevisionNotFound", `Invalid rev id: ${revision}`);
}

/** GET /api/models/{id} and /api/models/{id}/revision/{revision}. */
export function info(hub: Hub, request: Request, repo: Repo, revision: string): Reply {
  const commit = commitOf(repo, revision);
  if (commit === null) {
    return revisionMissing(revision);
  }
  const blobs = request.query.get("blobs") !== null && hub.lists !== "names";
  return json({
    _id: digest("sha1", repo.id).slice(0, 24),
    id: repo.id,
    modelId: repo.id,
    author: repo.id.split("/")[0],
    sha: commit.sha,
    lastModified: commit.date,
    createdAt: [...repo.commits.values()][0]?.date,
    private: repo.private,
    gated: repo.gated ? "manual" : false,
    disabled: repo.disabled,
    downloads: 0,
    likes: 0,
    tags: [],
    siblings: [...commit.files].map(([rfilename, { bytes, oid, lfs }]) => ({
      rfilename,
      ...(blobs ? { size: bytes.length, blobId: oid } : {}),
      ...(blobs && lfs !== null ? { lfs: { sha256: lfs.oid, size: bytes.length, pointerSize: lfs.pointerSize } } : {}),
    })),
    usedStorage: [...commit.files.values()].reduce((sum, { bytes }) => sum + bytes.length, 0),
  });
}

/** GET /api/models/{id}/tree/{revision}/{path}: in pages, the next one named by a Link header. */
export function tree(hub: Hub, request: Request, repo: Repo, revision: string, folder: string): Reply {
  const commit = commitOf(repo, revision);
  if (commit === null) {
    return revisionMissing(revision);
  }
  const recursive = isTrue(request.query.get("recursive"));
  const entries = listing(commit, folder, recursive, isTrue(request.query.get("expand")));
  if (entries.length === 0 && folder !== "") {
    return failure(404, "EntryNotFound", `${folder} does not exist on "${revision}"`);
  }
  const start = Number(request.query.get("cursor") ?? 0);
  const size = Math.min(hub.pageSize, Number(request.query.get("limit") ?? hub.pageSize));
  const more = new URLSearchParams(request.query);
  more.set("cursor", String(start + size));
  const next = `<${hub.endpoint}${request.url.split("?")[0]}?${more}>; rel="next"`;
  return json(entries.slice(start, start + size), start + size < entries.length ? { link: next } : {});
}

/** POST /api/models/{id}/paths-info/{revision}: JSON from one client, a form from another. What is not there is left out. */
export function pathsInfo(request: Request, repo: Repo, revision: string): Reply {
  const commit = commitOf(repo, revision);
  if (commit === null) {
    return revisionMissing(revision);
  }
  const text = request.body.toString();
  const form = new URLSearchParams(text);
  const asked: { paths?: unknown; expand?: unknown } = request.contentType.startsWith("application/json")
    ? JSON.parse(text)
    : { paths: form.getAll("paths"), expand: isTrue(form.get("expand")) };
  const paths = Array.isArray(asked.paths) ? asked.paths.map(String) : [];
  const known = new Map(listing(commit, "", true, asked.expand === true).map((entry) => [entry.path, entry]));
  return json(paths.flatMap((path) => known.get(path) ?? []));
}

function isTrue(text: string | null): boolean {
  return text === "true" || text === "True" || text === "1";
}

interface Entry {
  readonly path: string;
}

function listing(commit: Commit, folder: string, recursive: boolean, expand: boolean): readonly Entry[] {
  const prefix = folder === "" ? "" : `${folder}/`;
  const lastCommit = expand ? { lastCommit: { id: commit.sha, title: commit.title, date: commit.date } } : {};
  const folders = new Set<string>();
  const files: Entry[] = [];
  for (const [path, file] of commit.files) {
    if (path.startsWith(prefix)) {
      const parts = path.slice(prefix.length).split("/");
      const depth = recursive ? parts.length : Math.min(parts.length, 2);
      for (let count = 1; count < depth; count++) {
        folders.add(prefix + parts.slice(0, count).join("/"));
      }
      if (recursive || parts.length === 1) {
        files.push({ ...fileEntry(path, file), ...lastCommit });
      }
    }
  }
  const directory = (path: string): Entry & { type: "directory"; oid: string; size: number } => ({
    type: "directory",
    oid: digest("sha1", path),
    size: 0,
    path,
    ...lastCommit,
  });
  return [...[...folders].map(directory), ...files].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function fileEntry(
  path: string,
  { bytes, oid, lfs }: RepoFile,
): Entry & { readonly type: "file"; readonly oid: string; readonly size: number } {
  const large = lfs === null ? {} : { lfs: { oid: lfs.oid, size: bytes.length, pointerSize: lfs.pointerSize } };
  return { type: "file", oid, size: bytes.length, ...large, path };
}
