/**
 * Publishing: make a repository, ask how each file goes up, upload large ones through LFS (in one piece or in several), and
 * commit. Xet is never offered: asked for it, the Hub may choose another transfer, and clients must follow.
 */
import { type Hub, objectNamed, repoNamed } from "./hub.js";
import { accountOf, revisionMissing } from "./read-api.js";
import { failure, json, type Reply, type Request } from "./reply.js";
import { commit, digest, isLarge, newRepo, type Repo, type RepoFile, repoFile } from "./repo.js";
import { refuseUnsigned, signed } from "./resolve.js";

/** GET /api/whoami-v2. */
export function whoami(hub: Hub, request: Request): Reply {
  const account = accountOf(hub, request);
  if (account === null || account === undefined) {
    return failure(401, null, "Invalid username or password.");
  }
  const orgs = account.namespaces.filter((name) => name !== account.name);
  return json({
    type: "user",
    id: digest("sha1", account.name).slice(0, 24),
    name: account.name,
    fullname: account.name,
    orgs: orgs.map((name) => ({ type: "org", name, fullname: name, roleInOrg: "write" })),
    auth: { type: "access_token", accessToken: { displayName: "test", role: account.role } },
  });
}

/** POST /api/repos/create. */
export function createRepo(hub: Hub, request: Request): Reply {
  const asked: { name?: string; organization?: string | null; visibility?: string; private?: boolean } = body(request);
  const namespace = asked.organization ?? accountOf(hub, request)?.name ?? "";
  const id = `${namespace}/${asked.name}`;
  const refused = refuseWrite(hub, request, id);
  if (refused !== null) {
    return refused;
  }
  const url = `${hub.endpoint}/${id}`;
  if (repoNamed(hub, id) !== undefined) {
    const error = "You already created this model repo";
    return json({ error, url }, { "x-error-message": error }, 409);
  }
  hub.repos.set(id, newRepo(id, { private: asked.visibility === "private" || asked.private === true }));
  return json({ url, name: id, id: digest("sha1", id).slice(0, 24) });
}

/** Null if this token may write there. */
export function refuseWrite(hub: Hub, request: Request, id: string): Reply | null {
  const account = accountOf(hub, request);
  if (account === null || account === undefined) {
    return failure(401, null, account === null ? "Invalid username or password." : "Invalid user token.");
  }
  const namespace = id.split("/")[0] ?? "";
  if (account.role !== "write" || !account.namespaces.includes(namespace)) {
    const words = `Forbidden: you don't have the rights to create or change a model under the namespace "${namespace}".`;
    return failure(403, null, words);
  }
  return null;
}

/** POST /api/models/{id}/preupload/{revision}. */
export function preupload(request: Request, repo: Repo, revision: string): Reply {
  const head = repo.commits.get(repo.branches.get(revision) ?? "");
  if (head === undefined) {
    return revisionMissing(revision);
  }
  const asked: { files: readonly { path: string; size: number; sample: string }[] } = body(request);
  const files = asked.files.map(({ path, size, sample }) => ({
    path,
    uploadMode: isLarge(path, size, Buffer.from(sample, "base64")) ? "lfs" : "regular",
    shouldIgnore: false,
    oid: head.files.get(path)?.lfs?.oid ?? head.files.get(path)?.oid ?? null,
  }));
  return json({ files, commitOid: head.sha });
}

/** POST /{id}.git/info/lfs/objects/batch. */
export function lfsBatch(hub: Hub, request: Request, repo: Repo): Reply {
  const asked: { objects: readonly { oid: string; size: number }[] } = body(request);
  const multipart = hub.partSize !== null;
  const objects = asked.objects.map(({ oid, size }) => {
    const known = { oid, size, authenticated: true };
    const there = objectNamed(hub, oid);
    if (there !== undefined && digest("sha256", there) === oid) {
      return known;
    }
    if (hub.quota !== null && size > hub.quota) {
      return { oid, size, error: { code: 403, message: "Private repository storage limit reached" } };
    }
    const verify = { href: `${hub.endpoint}/${repo.id}.git/info/lfs/objects/verify` };
    const upload =
      hub.partSize !== null && size > hub.partSize
        ? {
            href: `${hub.endpoint}/api/complete_multipart?oid=${oid}`,
            header: { chunk_size: String(hub.partSize), ...partUrls(hub, oid, Math.ceil(size / hub.partSize)) },
          }
        : { href: signed(hub, `/uploads/${oid}`) };
    return { ...known, actions: { upload, verify } };
  });
  return json(
    { transfer: multipart ? "multipart" : "basic", objects },
    { "content-type": "application/vnd.git-lfs+json" },
  );
}

function partUrls(hub: Hub, oid: string, count: number): Record<string, string> {
  const numbers = Array.from({ length: count }, (_, index) => String(index + 1).padStart(5, "0"));
  return Object.fromEntries(numbers.map((part) => [part, signed(hub, `/uploads/${oid}/${part}`)]));
}

/** PUT on the second port: an object, or a part of one. Storage itself does not know what the content should be. */
export function upload(hub: Hub, request: Request): Reply {
  const refused = refuseUnsigned(hub, request);
  if (refused !== null) {
    return refused;
  }
  const [, oid = "", part] = request.segments;
  hub.uploads.set(part === undefined ? oid : `${oid}/${Number(part)}`, request.body);
  return { status: 200, headers: { etag: `"${digest("sha1", request.body).slice(0, 32)}"` }, body: Buffer.alloc(0) };
}

/** POST /api/complete_multipart. */
export function complete(hub: Hub, request: Request): Reply {
  const asked: { oid: string; parts: readonly { partNumber: number; etag: string }[] } = body(request);
  const pieces = asked.parts.map(({ partNumber, etag }) => {
    const piece = hub.uploads.get(`${asked.oid}/${partNumber}`);
    return piece !== undefined && etag === `"${digest("sha1", piece).slice(0, 32)}"` ? piece : null;
  });
  if (pieces.includes(null)) {
    return failure(400, null, "a part is missing, or is another one");
  }
  hub.uploads.set(asked.oid, Buffer.concat(pieces.flatMap((piece) => piece ?? [])));
  return json({ success: true });
}

/** POST /{id}.git/info/lfs/objects/verify. */
export function verifyObject(hub: Hub, request: Request): Reply {
  const asked: { oid: string; size: number } = body(request);
  return objectNamed(hub, asked.oid)?.length === asked.size
    ? json({})
    : failure(422, null, "the object is not there, or has another size");
}

interface Line {
  readonly key: "header" | "file" | "lfsFile" | "deletedFile" | "deletedFolder";
  readonly value: {
    readonly summary?: string;
    readonly parentCommit?: string | null;
    readonly path?: string;
    readonly content?: string;
    readonly oid?: string;
  };
}

/** POST /api/models/{id}/commit/{branch}: lines of JSON, the header first. All of it happens, or nothing. */
export function makeCommit(hub: Hub, request: Request, repo: Repo, branch: string): Reply {
  const lines: readonly Line[] = request.body
    .toString()
    .split("\n")
    .flatMap((line) => (line === "" ? [] : JSON.parse(line)));
  const [header, ...operations] = lines;
  const head = repo.branches.get(branch);
  if (head === undefined) {
    return revisionMissing(branch);
  }
  if (header?.key !== "header" || header.value.summary === undefined || header.value.summary === "") {
    return failure(400, null, "the first line is no header with a summary");
  }
  if (typeof header.value.parentCommit === "string" && header.value.parentCommit !== head) {
    return failure(412, null, "A commit has happened since. Please refresh and try again.");
  }
  const changes = new Map<string, RepoFile | null>();
  for (const { key, value } of operations) {
    const path = value.path ?? "";
    const uploaded = key === "lfsFile" ? objectNamed(hub, value.oid ?? "") : undefined;
    if (key === "lfsFile" && (uploaded === undefined || digest("sha256", uploaded) !== value.oid)) {
      return failure(400, null, `LFS object ${value.oid} of ${path} was not uploaded, or is another one`);
    }
    if (key === "deletedFolder") {
      const inside = repo.commits.get(head)?.files.keys() ?? [];
      for (const name of [...inside].filter((name) => name.startsWith(`${path}/`))) {
        changes.set(name, null);
      }
    } else {
      const bytes = uploaded ?? Buffer.from(value.content ?? "", "base64");
      changes.set(path, key === "deletedFile" ? null : repoFile(path, bytes, key === "lfsFile"));
    }
  }
  const made = commit(repo, branch, header.value.summary, changes);
  return json({
    success: true,
    commitOid: made.sha,
    commitUrl: `${hub.endpoint}/${repo.id}/commit/${made.sha}`,
    hookOutput: "",
  });
}

/** POST /api/models/{id}/branch/{name} and /tag/{revision}. */
export function newReference(request: Request, repo: Repo, kind: "branch" | "tag", name: string): Reply {
  const asked: { startingPoint?: string; tag?: string } = request.body.length === 0 ? {} : body(request);
  const from =
    repo.branches.get(kind === "tag" ? name : (asked.startingPoint ?? "main")) ?? asked.startingPoint ?? name;
  const target = kind === "tag" ? asked.tag : name;
  const known = kind === "tag" ? repo.tags : repo.branches;
  if (target === undefined || !repo.commits.has(from)) {
    return revisionMissing(from);
  }
  if (known.has(target)) {
    return failure(409, null, "Reference already exists");
  }
  known.set(target, from);
  return json({});
}

/** JSON that a client sent; whoever reads it says what it should be. */
function body<T>(request: Request): T {
  return JSON.parse(request.body.toString());
}
