/**
 * Connections to servers, over TCP or TLS. Each reads into one buffer. A connection that is no longer needed stays open for a while, and is
 * used again.
 */
import { connect as connectPlain, isIP, type OnReadOpts, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { connect as connectSecure, type TLSSocket } from "node:tls";
import { trusting } from "./trust.js";

export interface Connection {
  readonly socket: Socket;
  /** The next bytes, which are valid until the next call; null if the server has closed. @throws the error of the connection. */
  receive(): Promise<Uint8Array | null>;
}

/** Bytes read at once. */
const PIECE = 1 << 18;
/** The most bytes of one record of TLS (RFC 8446, 5.1). */
const RECORD = 1 << 14;
/** Bytes that may follow the last wanted ones: libuv reads 64 KiB at once. */
const BEYOND = 1 << 17;
/** If a connection is idle for longer, the server may close it at any moment. */
const REST_MS = 4000;

const resting = new Map<string, Connection[]>();
/** The TLS session of each way to a server: with it, a second handshake is shorter. */
const sessions = new Map<string, Buffer>();

/** Connections of one way are interchangeable: they lead to the same server, which was trusted for the same reasons. */
export function wayOf(url: URL, authorities: string | null): string {
  return `${url.origin} ${authorities ?? ""}`;
}

export function newConnection(url: URL, authorities: string | null): Connection {
  let waiting: { resolve(piece: Uint8Array | null): void; reject(error: Error): void } | null = null;
  let early: Uint8Array | null = null;
  let fault: Error | null = null;
  let closed = false;
  const socket = connectTo(url, authorities, (piece) => {
    if (waiting === null) {
      early = piece;
    } else {
      waiting.resolve(piece);
      waiting = null;
    }
  });
  socket.setNoDelay(true);
  socket.on("error", (error) => {
    fault = error;
  });
  socket.on("close", () => {
    closed = true;
    if (fault === null) {
      waiting?.resolve(null);
    } else {
      waiting?.reject(fault);
    }
    waiting = null;
  });
  return {
    socket,
    receive() {
      if (early !== null) {
        const piece = early;
        early = null;
        return Promise.resolve(piece);
      }
      if (closed) {
        return fault === null ? Promise.resolve(null) : Promise.reject(fault);
      }
      return new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        socket.resume();
      });
    },
  };
}

/** @param take gets one piece after each resume(). */
function connectTo(url: URL, authorities: string | null, take: (piece: Uint8Array) => void): Socket {
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  if (url.protocol === "http:") {
    const buffer = Buffer.allocUnsafeSlow(PIECE);
    return connectPlain({
      host,
      port: Number(url.port || 80),
      onread: {
        buffer,
        callback(count) {
          take(buffer.subarray(0, count));
          return false; // the buffer is in use until the next call
        },
      },
    });
  }
  return connectSecurely(url, host, authorities, take);
}

/**
 * TLS delivers records of 16 KiB one by one until it has used what was read from the socket, whatever the callback returns. The records of
 * one turn of the event loop are handed over together: a write for each record took most of the processor's time.
 */
function connectSecurely(
  url: URL,
  host: string,
  authorities: string | null,
  take: (piece: Uint8Array) => void,
): TLSSocket {
  const way = wayOf(url, authorities);
  const session = sessions.get(way);
  const record = Buffer.allocUnsafeSlow(RECORD);
  let gathered = Buffer.allocUnsafeSlow(PIECE + BEYOND);
  let filled = 0;
  const handOver = (): void => {
    const piece = gathered.subarray(0, filled);
    filled = 0;
    if (piece.length > 0) {
      secured.pause();
      take(piece);
    }
  };
  const onread: OnReadOpts = {
    buffer: record,
    callback(count) {
      if (filled === 0) {
        setImmediate(handOver);
      }
      // A piece is in use until somebody asks for the next.
      if (filled + count > gathered.length || (filled === 0 && secured.isPaused())) {
        const before = gathered.subarray(0, filled);
        gathered = Buffer.allocUnsafeSlow(filled + count + PIECE);
        gathered.set(before);
      }
      record.copy(gathered, filled, 0, count);
      filled += count;
      return filled < PIECE;
    },
  };
  const options = {
    host,
    port: Number(url.port || 443),
    ALPNProtocols: ["http/1.1"],
    onread,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(session === undefined ? {} : { session }),
    ...(authorities === null ? {} : { secureContext: trusting(authorities) }),
  };
  const secured = connectSecure(options);
  secured.on("session", (given: Buffer) => sessions.set(way, given));
  // The end may be seen in the same turn as the last bytes.
  secured.on("close", handOver);
  return secured;
}

/** Keeps the connection for the next request. Drops it if it was idle too long, was closed, or brings bytes that nobody asked for. */
export function keep(way: string, connection: Connection): void {
  const { socket } = connection;
  const others = resting.get(way) ?? [];
  resting.set(way, others);
  others.push(connection);
  const leave = (): void => {
    const at = others.indexOf(connection);
    if (at >= 0) {
      others.splice(at, 1);
    }
    socket.destroy();
  };
  socket.unref();
  socket.setTimeout(REST_MS, leave);
  // The next user's handler takes the place of this one.
  connection.receive().then(leave, leave);
}

/**
 * A connection that rested and is still silent; null without one. It is asked for in three turns of the event loop: the second begins after
 * all sockets were looked at, the third after what came over TLS was handed over. What a server had sent beyond the length that it announced
 * is found by then (`keep` ends the connection), and is not read as the next answer's head.
 */
export async function takeQuiet(way: string): Promise<Connection | null> {
  for (;;) {
    const rested = resting.get(way)?.pop();
    if (rested === undefined) {
      return null;
    }
    const { socket } = rested;
    socket.removeAllListeners("timeout").setTimeout(0).ref();
    await turn();
    await turn();
    await turn();
    if (!socket.destroyed) {
      return rested;
    }
  }
}
