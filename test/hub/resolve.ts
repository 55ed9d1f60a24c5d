/**
 * Files: small ones from the Hub itself, large ones by a redirect to a signed address on the second port, whose answers know
 * nothing of the repository (ETag included). The headers that matter stand on the redirect.
 */
import { createHmac } from "node:crypto";
import { type Hub, objectNamed } from "./hub.js";
import { gate, revisionMissing } from "./read-api.js";
import { content, failure, type Reply, type Request } from "./reply.js";
import { commitOf, digest, type Repo } from "./repo.js";

/** HEAD and GET /{id}/resolve/{revision}/{path}, and what /api/resolve-cache has instead. */
export function resolve(hub: Hub, request: Request, repo: Repo, revision: string, path: string): Reply {
  const closed = gate(hub, request, repo);
  if (closed !== null) {
    return closed;
  }
  const commit = commitOf(repo, revision);
  if (commit === null) {
    return revisionMissing(revision);
  }
  const file = commit.files.get(path);
  const about = { "x-repo-commit": commit.sha };
  if (file === undefined) {
    return failure(404, "EntryNotFound", "Entry not found", about);
  }
  if (file.lfs !== null) {
    const headers = {
      ...about,
      "accept-ranges": "bytes",
      "x-linked-etag": `"${file.lfs.oid}"`,
      "x-linked-size": String(file.bytes.length),
      location: signed(hub, `/repos/${file.lfs.oid}`, path),
    };
    return { status: 302, headers, body: Buffer.from("Found. Redirecting") };
  }
  if (hub.resolveCache && request.segments[0] !== "api") {
    const location = `/api/resolve-cache/models/${repo.id}/${commit.sha}/${encodeURIComponent(path)}`;
    return { status: 307, headers: { ...about, location }, body: Buffer.from("Temporary Redirect") };
  }
  return content(request, file.bytes, { ...about, etag: `"${file.oid}"` });
}

/** An address on the second port that is good for a while, for whoever has it. */
export function signed(hub: Hub, path: string, name = ""): string {
  const expires = Date.now() + hub.urlLifetimeMs;
  const disposition =
    name === "" ? "" : `&response-content-disposition=${encodeURIComponent(`inline; filename="${name}"`)}`;
  return `${hub.cdn}${path}?Expires=${expires}${disposition}&Signature=${signature(hub, path, String(expires))}`;
}

/** Null if the address is as it was signed and not too old. Storage takes no second kind of credentials. */
export function refuseUnsigned(hub: Hub, request: Request): Reply | null {
  const [path = ""] = request.url.split("?");
  const expires = request.query.get("Expires") ?? "";
  if (request.token !== null) {
    return denied(400, "InvalidArgument: only one auth mechanism allowed");
  }
  if (request.query.get("Signature") !== signature(hub, path, expires) || Number(expires) < Date.now()) {
    return denied(403, "AccessDenied: Request has expired");
  }
  return null;
}

/** GET and HEAD on the second port. */
export function download(hub: Hub, request: Request): Reply {
  const bytes = objectNamed(hub, request.segments[1] ?? "");
  const etag = `"${digest("sha1", request.segments[1] ?? "").slice(0, 32)}"`;
  return bytes === undefined
    ? denied(404, "NoSuchKey: The specified key does not exist")
    : content(request, bytes, { etag, "last-modified": new Date(0).toUTCString() });
}

function signature(hub: Hub, path: string, expires: string): string {
  return createHmac("sha256", hub.secret).update(`${path} ${expires}`).digest("hex");
}

function denied(status: number, words: string): Reply {
  const body = Buffer.from(`<?xml version="1.0" encoding="UTF-8"?><Error><Message>${words}</Message></Error>`);
  return { status, headers: { "content-type": "application/xml" }, body };
}
