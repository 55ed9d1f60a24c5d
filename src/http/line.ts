/**
 * One exchange over the network as it is. Without a proxy, the bytes of files come over connections of our own. Everything else comes by
 * Node's own fetch. In Node 20 it supports neither proxies nor further authorities: exchange.ts does, and is loaded when it is needed.
 */
import { setImmediate as turn } from "node:timers/promises";
import { getDirectly, type Incoming } from "./direct.js";
import { type Network, proxyFor } from "./network.js";

/** As fetch, with redirect "manual". @throws what went wrong on the line (fault.ts tells what); {WeightDiffError} USAGE, NETWORK; {TransientError}. */
export async function fetchOver(network: Network, url: URL, init: RequestInit): Promise<Response> {
  const { proxy, authorities } = wayTo(network, url);
  if (proxy === null && authorities === null) {
    // fetch frees a connection in the turn after the end of the answer. A request before that would get a new connection.
    await turn();
    await turn();
    return fetch(url, { ...init, redirect: "manual" });
  }
  const { exchange } = await import("./exchange.js");
  return exchange(authorities, proxy, url, init);
}

/** A GET whose answer is read piece by piece. @throws as fetchOver. */
export async function getOver(
  network: Network,
  url: URL,
  init: { readonly headers: Readonly<Record<string, string>>; readonly signal: AbortSignal },
): Promise<Incoming> {
  const { proxy, authorities } = wayTo(network, url);
  const direct = proxy === null ? await getDirectly(url, init.headers, init.signal, authorities) : null;
  return direct ?? incomingOf(await fetchOver(network, url, init));
}

function wayTo(network: Network, url: URL) {
  const proxy = proxyFor(network, url);
  const authorities = url.protocol === "https:" || proxy !== null ? network.authorities : null;
  return { proxy, authorities };
}

/** The same for an answer of fetch. */
export function incomingOf({ status, headers, body }: Response): Incoming {
  const reader = body?.getReader();
  return {
    status,
    headers,
    async next() {
      return (await reader?.read())?.value ?? null;
    },
    cancel() {
      reader?.cancel().catch(() => {}); // the exchange is over either way
    },
  };
}
