/** What can go wrong between a client and the Hub, to order: which requests, how often, and what happens to their answers. */
import { gzipSync } from "node:zlib";
import type { Reply, Request } from "./reply.js";

/** Counts of bytes are of the answer's body. */
export type Fault =
  | { readonly kind: "delay"; readonly ms: number }
  /** Sends so many bytes, then nothing more, and keeps the connection; 0: not even headers. */
  | { readonly kind: "stall"; readonly after: number }
  /** Sends so many bytes, then breaks the connection. */
  | { readonly kind: "cut"; readonly after: number }
  /** Does what was asked, and breaks the connection instead of an answer. */
  | { readonly kind: "lost" }
  | { readonly kind: "slow"; readonly chunk: number; readonly ms: number }
  | { readonly kind: "status"; readonly status: number; readonly headers?: Reply["headers"] }
  | { readonly kind: "ignore-range" }
  | { readonly kind: "content-range"; readonly value: string }
  /** Turns one bit of the byte at this place of the body. */
  | { readonly kind: "flip"; readonly at: number }
  | { readonly kind: "html" }
  | { readonly kind: "gzip" }
  /** Content-Length says so many bytes more (or less) than there are. */
  | { readonly kind: "content-length"; readonly by: number }
  /** The right answer, with these besides. */
  | { readonly kind: "headers"; readonly headers: Reply["headers"] }
  /** To the third port, which belongs to somebody else. */
  | { readonly kind: "foreign-host" }
  | { readonly kind: "location"; readonly to: string }
  /** Any JSON in place of the answer's body: hostile listings. */
  | { readonly kind: "json"; readonly body: unknown; readonly headers?: Reply["headers"] }
  /** A page that names itself as the next one. */
  | { readonly kind: "endless-pages" }
  /** A JSON document of about so many bytes. */
  | { readonly kind: "huge-json"; readonly bytes: number };

export interface FaultRule {
  /** Matches method, port, raw path with its query, and range: "GET hub /org/name/resolve/main/config.json bytes=0-9". */
  readonly when: RegExp;
  readonly fault: Fault;
  /** How often it still happens. */
  left: number;
}

const PAGE = Buffer.from(
  "<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body></body></html>\n",
);

/** The answer as a fault makes it. @param answer makes the right one. */
export function spoil(
  fault: Fault,
  request: Request,
  answer: (request: Request) => Reply,
  hosts: { readonly foreign: string; readonly hub: string },
): Reply {
  const json = (body: string, headers: Reply["headers"] = {}): Reply => ({
    status: 200,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body: Buffer.from(body),
  });
  switch (fault.kind) {
    case "status":
      return { status: fault.status, headers: fault.headers ?? {}, body: Buffer.from(`status ${fault.status}\n`) };
    case "html":
      return { status: 200, headers: { "content-type": "text/html; charset=utf-8" }, body: PAGE };
    case "foreign-host":
      return { status: 302, headers: { location: `${hosts.foreign}${request.url}` }, body: Buffer.alloc(0) };
    case "location":
      return { status: 302, headers: { location: fault.to }, body: Buffer.alloc(0) };
    case "json":
      return json(JSON.stringify(fault.body), fault.headers);
    case "endless-pages":
      return json('[{"type":"file","oid":"0","size":0,"path":"a"}]', {
        link: `<${hosts.hub}${request.url}>; rel="next"`,
      });
    case "huge-json":
      return json(`[${'{"type":"file","oid":"0","size":0,"path":"a"},'.repeat(fault.bytes / 46)}0]`);
    case "ignore-range":
      return answer({ ...request, range: null });
    default:
      return spoilBody(fault, answer(request));
  }
}

function spoilBody(fault: Fault, reply: Reply): Reply {
  switch (fault.kind) {
    case "content-range":
      return { ...reply, headers: { ...reply.headers, "content-range": fault.value } };
    case "flip": {
      const body = Buffer.from(reply.body);
      body[fault.at] = (body[fault.at] ?? 0) ^ 1;
      return { ...reply, body };
    }
    case "gzip":
      return { ...reply, headers: { ...reply.headers, "content-encoding": "gzip" }, body: gzipSync(reply.body) };
    case "content-length":
      return { ...reply, length: reply.body.length + fault.by };
    case "headers":
      return { ...reply, headers: { ...reply.headers, ...fault.headers } };
    case "delay":
      return { ...reply, pace: { before: fault.ms } };
    case "stall":
      return { ...reply, pace: { stallAfter: fault.after } };
    case "lost":
      return { ...reply, pace: { lost: true } };
    case "cut":
      return { ...reply, pace: { cutAfter: fault.after } };
    case "slow":
      return { ...reply, pace: { chunk: fault.chunk, every: fault.ms } };
    default:
      return reply;
  }
}
