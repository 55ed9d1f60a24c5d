/**
 * How to reach a server, by the environment: proxies (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, by the rules of Python's
 * urllib.request.getproxies_environment, which the Hub's Python client follows) and certificates that are trusted besides the usual ones.
 * Plain data: it crosses to worker threads, and is never written anywhere, since proxies have passwords.
 */
import { BlockList, isIP, isIPv6 } from "node:net";
import { WeightDiffError } from "../errors.js";
import { keepSecret } from "../secrets.js";

export interface Network {
  /** For addresses that begin with https:; null goes there directly. */
  readonly https: NamedProxy | null;
  readonly http: NamedProxy | null;
  /** Hosts that are reached without a proxy, as NO_PROXY lists them. */
  readonly direct: readonly string[];
  /** Certificates of further authorities, as PEM; null if there are none. */
  readonly authorities: string | null;
}

export interface NamedProxy {
  /** The environment variable that names it. */
  readonly variable: string;
  /** With user and password, where it wants them. */
  readonly address: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws {WeightDiffError} USAGE for a variable that names no proxy. */
export function networkOf(environment: Environment, authorities: string | null): Network {
  const all = proxyIn(environment, "all_proxy");
  return {
    https: proxyIn(environment, "https_proxy") ?? all,
    http: proxyIn(environment, "http_proxy") ?? all,
    direct: (valueIn(environment, "no_proxy")?.value ?? "").split(/[\s,]+/).filter((entry) => entry !== ""),
    authorities,
  };
}

/** The lower-case spelling wins. If it is empty, there is none. */
function valueIn(environment: Environment, name: string): { readonly variable: string; readonly value: string } | null {
  const variable = environment[name] !== undefined ? name : name.toUpperCase();
  const value = environment[variable]?.trim() ?? "";
  return value === "" ? null : { variable, value };
}

function proxyIn(environment: Environment, name: string): NamedProxy | null {
  const given = valueIn(environment, name);
  if (given === null) {
    return null;
  }
  const { variable, value } = given;
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url === null || url.hostname === "" || !/^\/?$/.test(url.pathname) || url.search !== "" || url.hash !== "") {
    throw new WeightDiffError(
      "USAGE",
      `${variable} is not the address of a proxy`,
      "write it as http://user:password@host:port; in a password, # is written %23, / is %2F, ? is %3F",
    );
  }
  keepSecret(url.password);
  keepSecret(credentialsOf(url) ?? "");
  return { variable, address };
}

/** What Proxy-Authorization says (RFC 7617); null without a user. */
export function credentialsOf({ username, password }: URL): string | null {
  return username === "" && password === ""
    ? null
    : Buffer.from(`${decoded(username)}:${decoded(password)}`).toString("base64");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a % of its own
  }
}

/** The proxy to ask for `url`; null goes there directly. @throws {WeightDiffError} USAGE for a kind of proxy that is not supported. */
export function proxyFor(network: Network, url: URL): NamedProxy | null {
  const proxy = url.protocol === "https:" ? network.https : network.http;
  if (proxy === null || isDirect(network.direct, url)) {
    return null;
  }
  const { protocol } = new URL(proxy.address);
  if (protocol !== "http:" && protocol !== "https:") {
    throw new WeightDiffError(
      "USAGE",
      `${proxy.variable} names a ${protocol.slice(0, -1)} proxy: only http and https proxies are supported`,
      `name an http proxy in ${url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY"}, or list ${url.hostname} in NO_PROXY`,
    );
  }
  return proxy;
}

/** An entry is "*", a host with all below it, an address, a range of addresses (10.0.0.0/8); each with a port of its own or for all. */
function isDirect(entries: readonly string[], url: URL): boolean {
  const host = bare(url.hostname);
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  // No proxy leads back to this machine (as Go's net/http, ProxyFromEnvironment, has it).
  if (/(^|\.)localhost$/.test(host) || inRange(host, "127.0.0.0/8") || inRange(host, "::1/128")) {
    return true;
  }
  return entries.some((entry) => {
    const [, name = "", wanted] = /^(.*?)(?::(\d+))?$/.exec(isIPv6(entry) ? `[${entry}]` : entry.toLowerCase()) ?? [];
    if (wanted !== undefined && wanted !== port) {
      return false;
    }
    const plain = bare(name).replace(/^\*?\./, "");
    return plain === "*" || host === plain || host.endsWith(`.${plain}`) || inRange(host, plain);
  });
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
}

function inRange(host: string, range: string): boolean {
  const [, net = "", bits = ""] = /^(.*)\/(\d{1,3})$/.exec(range) ?? [];
  const family = isIP(net);
  if (family === 0 || isIP(host) !== family || Number(bits) > (family === 4 ? 32 : 128)) {
    return false;
  }
  const kind = family === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(net, Number(bits), kind);
  return list.check(host, kind);
}
