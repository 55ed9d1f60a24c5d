/** One request and one answer of the test Hub, as plain records; ranges; and how an answer goes onto the wire. */
import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

export interface Request {
  readonly port: "hub" | "cdn" | "foreign";
  readonly method: string;
  /** As it came, with the query. */
  readonly url: string;
  /** Decoded, one by one: nothing is normalised. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  /** The bearer token; "" if there is an Authorization header of another kind. */
  readonly token: string | null;
  readonly range: string | null;
  readonly contentType: string;
  readonly body: Buffer;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** A Content-Length that is a lie. */
  readonly length?: number;
  readonly pace?: {
    readonly before?: number;
    readonly stallAfter?: number;
    readonly cutAfter?: number;
    readonly lost?: boolean;
    readonly chunk?: number;
    readonly every?: number;
  };
}

export function json(value: unknown, headers: Reply["headers"] = {}, status = 200): Reply {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body: Buffer.from(JSON.stringify(value)),
  };
}

/** An error as the Hub puts it: code and words in headers, the words in the body too. */
export function failure(status: number, code: string | null, message: string, headers: Reply["headers"] = {}): Reply {
  const said = { "x-error-message": message, ...(code === null ? {} : { "x-error-code": code }), ...headers };
  return json({ error: message }, said, status);
}

/** The whole content, or the one range that was asked for (RFC 9110, 14). */
export function content(request: Request, bytes: Buffer, headers: Reply["headers"]): Reply {
  const both = { "accept-ranges": "bytes", "content-type": "application/octet-stream", ...headers };
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(request.range ?? "") ?? [];
  if (first === "" && last === "") {
    return { status: 200, headers: both, body: bytes };
  }
  const start = first === "" ? Math.max(0, bytes.length - Number(last)) : Number(first);
  const end = first === "" || last === "" ? bytes.length - 1 : Math.min(Number(last), bytes.length - 1);
  if (start >= bytes.length || (last !== "" && first !== "" && Number(last) < start)) {
    return { status: 416, headers: { ...both, "content-range": `bytes */${bytes.length}` }, body: Buffer.alloc(0) };
  }
  const range = { ...both, "content-range": `bytes ${start}-${end}/${bytes.length}` };
  return { status: 206, headers: range, body: bytes.subarray(start, end + 1) };
}

/** Writes an answer at its pace. @param sent is told of every piece. */
export async function send(
  reply: Reply,
  method: string,
  response: ServerResponse,
  sent: (bytes: number) => void,
): Promise<void> {
  const { before = 0, stallAfter, cutAfter, chunk = 1 << 20, every = 0 } = reply.pace ?? {};
  await sleep(before);
  if (reply.pace?.lost === true) {
    response.destroy();
    return;
  }
  if (stallAfter === 0) {
    return;
  }
  const body = method === "HEAD" ? Buffer.alloc(0) : reply.body;
  const end = Math.min(stallAfter ?? body.length, cutAfter ?? body.length, body.length);
  response.writeHead(reply.status, { ...reply.headers, "content-length": reply.length ?? reply.body.length });
  response.flushHeaders();
  for (let at = 0; at < end && !response.destroyed; at += chunk) {
    const piece = body.subarray(at, Math.min(at + chunk, end));
    if (!response.write(piece)) {
      await drained(response);
    }
    sent(piece.length);
    await (every > 0 ? sleep(every) : undefined);
  }
  if (cutAfter !== undefined || (reply.length ?? 0) > reply.body.length) {
    await new Promise((resolve) => response.write("", resolve));
    response.destroy();
  } else if (stallAfter === undefined) {
    response.end();
  }
}

/** Until there is room for more, or nobody wants it. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
    if (response.destroyed) {
      done();
    }
  });
}
