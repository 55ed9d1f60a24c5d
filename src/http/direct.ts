/**
 * One GET over a connection of our own, for the bytes of large files. They arrive in one buffer per connection, which takes much less of the
 * processor than fetch does (docs/benchmarks.md). It knows HTTP/1.1 (RFC 9112) as far as storages speak it: an answer with a Content-Length.
 * Other answers are left to fetch. Connections are used again.
 */
import { type Connection, keep, newConnection, takeQuiet, wayOf } from "./connection.js";

/** An answer, as it comes. */
export interface Incoming {
  readonly status: number;
  readonly headers: Headers;
  /** The next bytes of the body, which are valid until the next call; null at its end. @throws the error of the connection. */
  next(): Promise<Uint8Array | null>;
  /** Ends the exchange without the rest. */
  cancel(): void;
}

interface Head {
  readonly status: number;
  readonly headers: Headers;
  /** May the connection be used again? */
  readonly lasting: boolean;
  /** The bytes of the body that came with the head. */
  readonly rest: Uint8Array;
}

/** The longest head of an answer, in bytes; Node's own limit is 16 KiB. */
const MAX_HEAD = 32_768;
const HEAD_END = "\r\n\r\n";
const HEADER_NAME = /^[!#$%&'*+.^_`|~\w-]+$/;

/**
 * Asks for `url`. @param headers without Host. @param signal ends the exchange, the body included.
 * @param authorities that are trusted besides Node's, as Network has them.
 * @returns null if the answer has no Content-Length: use fetch. @throws the error of the connection; the signal's reason.
 */
export async function getDirectly(
  url: URL,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  authorities: string | null,
): Promise<Incoming | null> {
  signal.throwIfAborted();
  const way = wayOf(url, authorities);
  const rested = await takeQuiet(way);
  if (signal.aborted) {
    rested?.socket.destroy();
    throw signal.reason;
  }
  const connection = rested ?? newConnection(url, authorities);
  const { socket } = connection;
  const onAbort = (): void => void socket.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  const cancel = (): void => {
    signal.removeEventListener("abort", onAbort);
    socket.destroy();
  };
  try {
    const lines = [`GET ${url.pathname}${url.search} HTTP/1.1`, `host: ${url.host}`, ...fields(headers)];
    socket.write(`${lines.join("\r\n")}${HEAD_END}`, "latin1");
    const { status, headers: answered, lasting, rest } = await readHead(connection);
    const length = answered.get("content-length") ?? "";
    if (!/^\d{1,15}$/.test(length) || answered.has("transfer-encoding")) {
      cancel();
      return null;
    }
    let left = Number(length);
    let first: Uint8Array | null = rest.length > 0 ? rest : null;
    let reusable = lasting;
    let over = false;
    return {
      status,
      headers: answered,
      async next() {
        if (left > 0) {
          const came: Uint8Array | null = first ?? (await connection.receive());
          first = null;
          if (came === null) {
            throw new Error("closed before the end of the answer");
          }
          // Bytes beyond the announced length belong to no answer.
          reusable &&= came.length <= left;
          const taken = came.subarray(0, left);
          left -= taken.length;
          return taken;
        }
        if (!over) {
          over = true;
          signal.removeEventListener("abort", onAbort);
          if (reusable && first === null) {
            keep(way, connection);
          } else {
            socket.destroy();
          }
        }
        return null;
      },
      cancel() {
        if (!over) {
          over = true;
          cancel();
        }
      },
    };
  } catch (error) {
    cancel();
    throw signal.aborted ? signal.reason : error;
  }
}

/** @throws {TypeError} for characters that no header may have. */
function fields(headers: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(headers).map(([name, value]) => {
    if (!/^[\w-]+$/.test(name) || !/^[\t\x20-\x7e]*$/.test(value)) {
      throw new TypeError(`header ${name}: not a header's value`);
    }
    return `${name}: ${value}`;
  });
}

/** @throws {Error} if it is not the head of an answer. */
async function readHead(connection: Connection): Promise<Head> {
  for (let head = ""; ; ) {
    const piece = await connection.receive();
    if (piece === null) {
      throw new Error("closed before an answer");
    }
    const before = head.length;
    head += Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString("latin1", 0, MAX_HEAD);
    const end = head.indexOf(HEAD_END, Math.max(0, before - HEAD_END.length));
    if (end < 0 ? head.length >= MAX_HEAD : end > MAX_HEAD) {
      throw new Error(`no end of the answer's head within ${MAX_HEAD} bytes`);
    }
    if (end >= 0) {
      return { ...parseHead(head.slice(0, end)), rest: piece.subarray(end + HEAD_END.length - before) };
    }
  }
}

/** Takes time in proportion to the length, whatever the text. @throws {Error} if it is not the head of an answer. */
function parseHead(head: string): Omit<Head, "rest"> {
  const [first = "", ...lines] = head.split("\r\n");
  const [, minor, digits = ""] = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(first) ?? [];
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    if (!HEADER_NAME.test(name)) {
      throw new Error("an answer's head that cannot be read");
    }
    // Headers strips blanks from both ends, and refuses characters that no value may have.
    headers.append(name, line.slice(colon + 1));
  }
  if (minor === undefined) {
    throw new Error("an answer's head that cannot be read");
  }
  const lasting = minor === "1" && !/\bclose\b/i.test(headers.get("connection") ?? "");
  return { status: Number(digits), headers, lasting };
}
