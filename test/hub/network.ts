/**
 * A network around the test Hub: an http proxy (CONNECT, and whole addresses in the request line) that wants credentials if told to, and
 * a front that speaks TLS with a certificate of a private authority (fixtures/tls). Names end in .test and exist only behind the proxy.
 */
import { readFileSync } from "node:fs";
import { request as ask, createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect, type Server } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { FIXTURES } from "../support/fixtures.js";

export const AUTHORITY = join(FIXTURES, "tls/authority.pem");
export const IDENTITY = {
  cert: readFileSync(join(FIXTURES, "tls/server.pem")),
  key: readFileSync(join(FIXTURES, "tls/server.key")),
};

export interface Running {
  readonly port: number;
  close(): Promise<void>;
}

export interface TestProxy extends Running {
  /** "CONNECT hub.test:443", "GET http://hub.test/api/…": what was let through. */
  readonly log: string[];
  /** Requests that were answered 407. */
  denied: number;
  /** Every request is answered so. */
  status: number | null;
}

/** @param hosts "hub.test:443" -> port on this machine. @param credentials "user:password". @param secured speaks TLS itself. */
export async function startProxy(
  hosts: ReadonlyMap<string, number>,
  credentials: string | null = null,
  secured = false,
): Promise<TestProxy> {
  const state = { log: [] as string[], denied: 0, status: null as number | null };
  const expected = credentials === null ? null : `Basic ${Buffer.from(credentials).toString("base64")}`;
  const refusal = ({ headers }: IncomingMessage, host: string): number | null => {
    if (expected !== null && headers["proxy-authorization"] !== expected) {
      state.denied++;
      return 407;
    }
    return state.status ?? (hosts.has(host) ? null : 502);
  };
  const pass = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const url = new URL(incoming.url ?? "");
    const host = `${url.hostname}:${url.port || 80}`;
    const status = refusal(incoming, host) ?? (incoming.headers.host === url.host ? null : 400);
    if (status !== null) {
      outgoing.writeHead(status).end();
      return;
    }
    state.log.push(`${incoming.method} ${url.origin}${url.pathname}`);
    const { "proxy-authorization": _, ...headers } = incoming.headers;
    const onward = ask(
      {
        port: hosts.get(host),
        host: "127.0.0.1",
        method: incoming.method,
        path: `${url.pathname}${url.search}`,
        headers,
      },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(outgoing);
      },
    );
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  };
  const server = secured ? createSecureServer(IDENTITY, pass) : createServer(pass);
  server.on("connect", (incoming, socket, head) => {
    const host = incoming.url ?? "";
    socket.on("error", () => {});
    const status = refusal(incoming, host);
    if (status !== null) {
      socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    state.log.push(`CONNECT ${host}`);
    const onward = connect(hosts.get(host) ?? 0, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    onward.on("error", () => socket.destroy());
    socket.on("close", () => onward.destroy());
  });
  return Object.assign(state, await listening(server));
}

/** TLS in front of a port on this machine. */
export async function startFront(behind: number): Promise<Running> {
  const server = createTlsServer(IDENTITY, (socket) => {
    const onward = connect(behind, "127.0.0.1");
    socket.on("error", () => onward.destroy());
    onward.on("error", () => socket.destroy());
    socket.on("close", () => onward.destroy());
    socket.pipe(onward).pipe(socket);
  });
  server.on("tlsClientError", () => {});
  return listening(server);
}

async function listening(server: Server): Promise<Running> {
  const sockets = new Set<{ destroy(): void }>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) {
          socket.destroy();
        }
      }),
  };
}
