/**
 * A Hub for tests: the HTTP of huggingface.co as its own Python client sees it (test/conformance/hub-server.test.ts proves that), on
 * three ports: the Hub, its storage ("CDN"), and a host that belongs to somebody else. Every request is logged; faults are to order.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Fault, type FaultRule, spoil } from "./faults.js";
import type { Account, Hub } from "./hub.js";
import { gate, info, openRepo, pathsInfo, tree } from "./read-api.js";
import { failure, json, type Reply, type Request, send } from "./reply.js";
import { commit, newRepo, type Repo, type RepoFile, type RepoOptions } from "./repo.js";
import { download, refuseUnsigned, resolve } from "./resolve.js";
import {
  complete,
  createRepo,
  lfsBatch,
  makeCommit,
  newReference,
  preupload,
  refuseWrite,
  upload,
  verifyObject,
  whoami,
} from "./write-api.js";

export interface Logged {
  readonly port: Request["port"];
  readonly method: string;
  readonly url: string;
  readonly range: string | null;
  /** Did a credential come along? */
  readonly token: boolean;
  status: number;
  /** Bytes of body that were written. */
  sent: number;
}

export interface TestHub extends Hub {
  /** Whose token never belongs there. */
  readonly foreign: string;
  readonly log: Logged[];
  /** Empties the log, also of what was sent already and is not read yet: a client that gave up need not wait for that. */
  forget(): Promise<void>;
  /** The next `times` requests that match get this instead. @param when matches "GET hub /path?query bytes=0-9". */
  fault(when: RegExp, fault: Fault, times?: number): void;
  /** A repository with these files on main, in one commit. */
  add(id: string, files: ReadonlyMap<string, RepoFile>, options?: RepoOptions): Repo;
  account(token: string, account: Partial<Account>): void;
  close(): Promise<void>;
}

/** Starts all three ports on 127.0.0.1. */
export async function startHub(): Promise<TestHub> {
  const hub: Hub & Pick<TestHub, "log"> = {
    endpoint: "",
    cdn: "",
    secret: "test",
    repos: new Map(),
    renames: new Map(),
    accounts: new Map(),
    uploads: new Map(),
    lists: "tree",
    pageSize: 1000,
    urlLifetimeMs: 3_600_000,
    resolveCache: false,
    partSize: null,
    quota: null,
    log: [],
  };
  const faults: FaultRule[] = [];
  const hosts = { foreign: "", hub: "" };
  const start = async (port: Request["port"], answer: (request: Request) => Reply): Promise<Server> => {
    const server = createServer((incoming, response) => {
      serve(port, incoming, response, hub.log, (request) => {
        const line = `${request.method} ${port} ${request.url}${request.range === null ? "" : ` ${request.range}`}`;
        const rule = faults.find(({ when, left }) => left > 0 && when.test(line));
        if (rule === undefined) {
          return answer(request);
        }
        rule.left--;
        return spoil(rule.fault, request, answer, hosts);
      }).catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return server;
  };
  const servers = [
    await start("hub", (request) => answerHub(hub, request)),
    await start("cdn", (request) => answerCdn(hub, request)),
    await start("foreign", () => ({ status: 200, headers: {}, body: Buffer.from("who are you?\n") })),
  ];
  const [endpoint = "", cdn = "", foreign = ""] = servers.map(
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  );
  Object.assign(hub, { endpoint, cdn });
  Object.assign(hosts, { foreign, hub: endpoint });
  return Object.assign(hub, {
    foreign,
    fault: (when: RegExp, fault: Fault, times = 1): void => {
      faults.push({ when, fault, left: times });
    },
    forget: async (): Promise<void> => {
      // On connections of their own: all that was sent before them is read before them.
      const asked = { method: "OPTIONS", headers: { connection: "close" } };
      await Promise.all([endpoint, cdn, foreign].map(async (origin) => (await fetch(origin, asked)).arrayBuffer()));
      hub.log.length = 0;
    },
    add: (id: string, files: ReadonlyMap<string, RepoFile>, options: RepoOptions = {}): Repo => {
      const repo = newRepo(id, options);
      commit(repo, "main", "add files", files);
      hub.repos.set(id, repo);
      return repo;
    },
    account: (token: string, account: Partial<Account>): void => {
      hub.accounts.set(token, { name: "tester", role: "write", namespaces: ["tester"], accepted: [], ...account });
    },
    close: async (): Promise<void> => {
      await Promise.all(
        servers.map(
          (server) =>
            new Promise<void>((resolve) => {
              server.close(() => resolve());
              server.closeAllConnections();
            }),
        ),
      );
    },
  });
}

/** One request, from its bytes to the last byte of its answer. */
async function serve(
  port: Request["port"],
  incoming: IncomingMessage,
  response: ServerResponse,
  log: Logged[],
  answer: (request: Request) => Reply,
): Promise<void> {
  response.on("error", () => {});
  const pieces: Buffer[] = [];
  for await (const piece of incoming) {
    pieces.push(piece);
  }
  const { method = "GET", url = "/", headers } = incoming;
  const [path = "", query = ""] = url.split(/\?(.*)/s);
  const authorization = headers.authorization ?? null;
  const request: Request = {
    port,
    method,
    url,
    segments: path.split("/").slice(1).map(decode),
    query: new URLSearchParams(query),
    token: authorization === null ? null : (/^Bearer (.*)$/.exec(authorization)?.[1] ?? ""),
    range: headers.range ?? null,
    contentType: headers["content-type"] ?? "",
    body: Buffer.concat(pieces),
  };
  const logged: Logged = { port, method, url, range: request.range, token: authorization !== null, status: 0, sent: 0 };
  log.push(logged);
  const reply = answer(request);
  logged.status = reply.status;
  await send(reply, method, response, (bytes) => {
    logged.sent += bytes;
  });
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function answerCdn(hub: Hub, request: Request): Reply {
  if (request.segments[0] === "uploads" && request.method === "PUT") {
    return upload(hub, request);
  }
  return refuseUnsigned(hub, request) ?? download(hub, request);
}

function answerHub(hub: Hub, request: Request): Reply {
  const moved = renamed(hub, request);
  if (moved !== null) {
    return moved;
  }
  const { method, segments } = request;
  const [first = "", second = "", third = ""] = segments;
  switch (`${method} ${segments.slice(0, 3).join("/")}`) {
    case "GET api/whoami-v2":
      return whoami(hub, request);
    case "POST api/repos/create":
      return createRepo(hub, request);
    case "POST api/validate-yaml":
      return json({ errors: [], warnings: [] });
    case "POST api/complete_multipart":
      return complete(hub, request);
  }
  if (first === "api" && second === "resolve-cache") {
    const [, , , organization, name, revision = "", ...path] = segments;
    const repo = openRepo(hub, request, `${organization}/${name}`);
    return "status" in repo ? repo : resolve(hub, request, repo, revision, path.join("/"));
  }
  if (first === "api" && second === "models") {
    return answerApi(hub, request, `${third}/${segments[3]}`, segments.slice(4));
  }
  if (second.endsWith(".git") && segments.slice(2, 5).join("/") === "info/lfs/objects") {
    const id = `${first}/${second.slice(0, -4)}`;
    const repo = openRepo(hub, request, id);
    return "status" in repo
      ? repo
      : (refuseWrite(hub, request, id) ??
          (segments[5] === "batch" ? lfsBatch(hub, request, repo) : verifyObject(hub, request)));
  }
  const repo = openRepo(hub, request, `${first}/${second}`);
  if (third === "resolve" && !("status" in repo)) {
    return resolve(hub, request, repo, segments[3] ?? "", segments.slice(4).join("/"));
  }
  return "status" in repo ? repo : failure(404, null, "Sorry, we can't find the page you are looking for.");
}

/** /api/models/{id}/{what}/{revision}/{rest}. */
function answerApi(hub: Hub, request: Request, id: string, parts: readonly string[]): Reply {
  const repo = openRepo(hub, request, id);
  if ("status" in repo) {
    return repo;
  }
  const [what = "", revision = "main", ...rest] = parts;
  const write = (make: () => Reply): Reply => refuseWrite(hub, request, id) ?? make();
  switch (`${request.method} ${what}`) {
    case "GET ":
    case "GET revision":
      return info(hub, request, repo, revision);
    case "GET tree":
      return hub.lists === "tree"
        ? tree(hub, request, repo, revision, rest.join("/"))
        : failure(404, null, "not found");
    case "POST paths-info":
      return pathsInfo(request, repo, revision);
    case "GET auth-check":
      return gate(hub, request, repo) ?? json({});
    case "POST preupload":
      return write(() => preupload(request, repo, revision));
    case "POST commit":
      return write(() => makeCommit(hub, request, repo, revision));
    case "POST branch":
      return write(() => newReference(request, repo, "branch", revision));
    case "POST tag":
      return write(() => newReference(request, repo, "tag", revision));
    default:
      return failure(404, null, "not found");
  }
}

/** A repository that has another name now: relative, to the same thing under the new name. */
function renamed(hub: Hub, { url }: Request): Reply | null {
  for (const [before, after] of hub.renames) {
    for (const prefix of [`/api/models/${before}`, `/${before}`]) {
      const rest = url.slice(prefix.length);
      if (url.startsWith(prefix) && (rest === "" || rest.startsWith("/") || rest.startsWith("?"))) {
        const location = prefix.replace(before, after) + rest;
        return {
          status: 307,
          headers: { location },
          body: Buffer.from(`Temporary Redirect. Redirecting to ${location}`),
        };
      }
    }
  }
  return null;
}
