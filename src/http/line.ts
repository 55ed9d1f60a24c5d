/**
 * One exchange over the network as it is. Where the environment asks for nothing special, Node's own fetch does it; it knows neither
 * proxies nor further authorities in Node 20, so that those have an exchange of their own, loaded when it is needed.
 */
import { type Network, proxyFor } from "./network.js";

/** As fetch, with redirect "manual". @throws what went wrong on the line (fault.ts tells what); {WeightDiffError} USAGE, NETWORK; {TransientError}. */
export async function fetchOver(network: Network, url: URL, init: RequestInit): Promise<Response> {
  const proxy = proxyFor(network, url);
  const authorities = url.protocol === "https:" || proxy !== null ? network.authorities : null;
  if (proxy === null && authorities === null) {
    return fetch(url, { ...init, redirect: "manual" });
  }
  const { exchange } = await import("./exchange.js");
  return exchange(authorities, proxy, url, init);
}
