/**
 * One exchange by node:http and node:https, for what fetch does not know: proxies - a tunnel to a server that speaks TLS (CONNECT,
 * RFC 9110, 9.3.6), else the whole address in the request line (RFC 9112, 3.2.2) - and authorities of one's own. Connections are kept
 * and used again, as fetch does.
 */
import { Agent, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps, Agent as SecureAgent } from "node:https";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import * as tls from "node:tls";
import { WeightDiffError } from "../errors.js";
import { lineError } from "./fault.js";
import { credentialsOf, type NamedProxy } from "./network.js";
import { TransientError } from "./retry.js";
import { trusting } from "./trust.js";

/** Until a proxy has answered, or a server shaken hands: as long as fetch itself waits for a connection. */
const CONNECT_MS = 10_000;
/** A connection that rests longer may be closed by the other end at any moment. */
const REST_MS = 4000;
const PROXY_DENIES = 407;

/** As fetch, with redirect "manual". @param authorities as Network has them. @param proxy to ask; null goes to the server itself. */
export async function exchange(
  authorities: string | null,
  proxy: NamedProxy | null,
  url: URL,
  init: RequestInit,
): Promise<Response> {
  const { signal } = init;
  signal?.throwIfAborted();
  const { bytes, stream } = bodyOf(init);
  const headers = new Headers(init.headers);
  if (!headers.has("accept-encoding")) {
    headers.set("accept-encoding", "identity");
  }
  if (bytes !== null) {
    headers.set("content-length", String(bytes));
  }
  const through = proxy === null ? null : new URL(proxy.address);
  const secured = url.protocol === "https:";
  const whole = through !== null && !secured;
  if (whole) {
    headers.set("host", url.host);
    const credentials = credentialsOf(through);
    if (credentials !== null) {
      headers.set("proxy-authorization", `Basic ${credentials}`);
    }
  }
  const asked = whole ? through : url;
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = (asked.protocol === "https:" ? requestHttps : requestHttp)({
      host: bareHost(asked),
      port: portOf(asked),
      path: whole ? `${url.origin}${url.pathname}${url.search}` : `${url.pathname}${url.search}`,
      method: init.method ?? "GET",
      headers: Object.fromEntries(headers),
      agent: agentFor(asked, secured ? proxy : null, authorities),
      signal: signal ?? undefined,
    });
    outgoing.on("response", resolve);
    outgoing.on("error", (error) => reject(whole && proxy !== null ? proxyError(proxy, error) : error));
    if (stream === null) {
      outgoing.end();
    } else {
      const source = Readable.fromWeb(stream as Parameters<typeof Readable.fromWeb>[0]);
      source.on("error", (error) => outgoing.destroy(error));
      outgoing.on("close", () => source.destroy());
      source.pipe(outgoing);
    }
  });
  if (whole && incoming.statusCode === PROXY_DENIES && proxy !== null) {
    incoming.destroy();
    throw deniedBy(proxy, url, PROXY_DENIES);
  }
  return answerOf(incoming);
}

/** What is sent, and how many bytes it has; null bytes where that shows only at its end. */
function bodyOf({ body }: RequestInit): { readonly bytes: number | null; readonly stream: ReadableStream | null } {
  if (body === undefined || body === null) {
    return { bytes: null, stream: null };
  }
  if (body instanceof Blob) {
    return { bytes: body.size, stream: body.stream() as ReadableStream };
  }
  if (typeof body === "string" || body instanceof Uint8Array) {
    const blob = new Blob([body as string]);
    return { bytes: blob.size, stream: blob.stream() as ReadableStream };
  }
  return { bytes: null, stream: new Response(body).body };
}

/** Statuses that have no body (RFC 9110, 15). */
const EMPTY: ReadonlySet<number> = new Set([204, 205, 304]);

function answerOf(incoming: IncomingMessage): Response {
  const headers = new Headers();
  for (let at = 0; at + 1 < incoming.rawHeaders.length; at += 2) {
    headers.append(incoming.rawHeaders[at] ?? "", incoming.rawHeaders[at + 1] ?? "");
  }
  const status = incoming.statusCode ?? 0;
  if (EMPTY.has(status)) {
    incoming.resume();
    return new Response(null, { status, headers });
  }
  return new Response(Readable.toWeb(incoming) as ReadableStream, { status, headers });
}

/** One for each way, so that connections are used again. */
const agents = new Map<string, Agent>();

function agentFor(asked: URL, tunnel: NamedProxy | null, authorities: string | null): Agent {
  const key = `${asked.protocol} ${tunnel?.address ?? ""} ${authorities ?? ""}`;
  let agent = agents.get(key);
  if (agent === undefined) {
    agent = newAgent(asked, tunnel, authorities);
    agents.set(key, agent);
  }
  return agent;
}

function newAgent(asked: URL, tunnel: NamedProxy | null, authorities: string | null): Agent {
  const options = { keepAlive: true, timeout: REST_MS };
  if (asked.protocol !== "https:") {
    return new Agent(options);
  }
  const context = { secureContext: trusting(authorities) };
  const agent = new SecureAgent({ ...options, ...context });
  if (tunnel === null) {
    return agent;
  }
  return Object.assign(agent, {
    createConnection({ host, port, servername }: TunnelEnd, done: (error: unknown, socket?: Socket) => void): void {
      openTunnel(tunnel, `${host.includes(":") ? `[${host}]` : host}:${port}`, context).then(
        (socket) => {
          const secured = tls.connect({ socket, servername: servername || host, ...context });
          secured.setTimeout(CONNECT_MS, () => secured.destroy(new Error("no handshake")));
          secured.once("error", done);
          secured.once("secureConnect", () => {
            secured.setTimeout(0);
            secured.removeListener("error", done);
            done(null, secured);
          });
        },
        (error) => done(error),
      );
    },
  });
}

interface TunnelEnd {
  readonly host: string;
  readonly port: number;
  readonly servername?: string;
}

interface Trust {
  readonly secureContext: tls.SecureContext;
}

/** A connection through `proxy` that ends at `target`. @throws {WeightDiffError} NETWORK where the proxy denies it; {TransientError}. */
function openTunnel(proxy: NamedProxy, target: string, trust: Trust): Promise<Socket> {
  const through = new URL(proxy.address);
  const credentials = credentialsOf(through);
  return new Promise((resolve, reject) => {
    const outgoing = (through.protocol === "https:" ? requestHttps : requestHttp)({
      host: bareHost(through),
      port: portOf(through),
      method: "CONNECT",
      path: target,
      headers: { host: target, ...(credentials === null ? {} : { "proxy-authorization": `Basic ${credentials}` }) },
      agent: false,
      timeout: CONNECT_MS,
      ...(through.protocol === "https:" ? trust : {}),
    });
    const refuse = (status: number): void => {
      reject(
        status >= 500
          ? new TransientError(`${shown(proxy)} answers ${status} for ${target}`)
          : deniedBy(proxy, new URL(`https://${target}`), status),
      );
      outgoing.destroy();
    };
    outgoing.on("connect", ({ statusCode = 0 }, socket) => {
      if (statusCode === 200) {
        outgoing.setTimeout(0);
        resolve(socket);
      } else {
        refuse(statusCode);
      }
    });
    outgoing.on("response", ({ statusCode = 0 }) => refuse(statusCode));
    outgoing.on("timeout", () => {
      reject(new TransientError(`${shown(proxy)}: no answer for ${CONNECT_MS / 1000} s`));
      outgoing.destroy();
    });
    outgoing.on("error", (error) => reject(proxyError(proxy, error)));
    outgoing.end();
  });
}

function proxyError(proxy: NamedProxy, error: unknown): Error {
  return lineError(shown(proxy), "cannot be reached", error);
}

/** Without user and password. */
function shown({ variable, address }: NamedProxy): string {
  return `the proxy ${new URL(address).host} (${variable})`;
}

function deniedBy(proxy: NamedProxy, url: URL, status: number): WeightDiffError {
  const named = credentialsOf(new URL(proxy.address)) !== null;
  return status === PROXY_DENIES
    ? new WeightDiffError(
        "NETWORK",
        `${shown(proxy)} ${named ? "does not accept the user and password" : "needs a user and a password"} (${status})`,
        `write them into ${proxy.variable}: http://user:password@host:port`,
      )
    : new WeightDiffError(
        "NETWORK",
        `${shown(proxy)} does not let through to ${url.host} (${status})`,
        "ask whoever runs it, or name a mirror that it lets through in HF_ENDPOINT",
      );
}

function bareHost({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

function portOf({ port, protocol }: URL): number {
  return port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
}
