/**
 * Secrets that must not appear in any text: above all the token for the Hub. A server that received the token may repeat it in an answer,
 * as an ETag, a host or a file name, so every text from a server may hold it. The list is global, since the token is one for the process
 * and texts are made everywhere.
 */

const kept = new Set<string>();
let pattern: RegExp | null = null;
/** A shorter text is no secret, and removing it would spoil ordinary words. */
const SHORTEST = 6;

/** Removes `text` from every text that is made from now on. */
export function keepSecret(text: string): void {
  if (text.length >= SHORTEST && !kept.has(text)) {
    kept.add(text);
    // JSON may escape characters of the secret, and hosts are in lower case.
    const spelt = [...kept].flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]);
    pattern = new RegExp(spelt.map((each) => each.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "gi");
  }
}

/** `text` with "…" in place of every secret. */
export function blot(text: string): string {
  return pattern === null ? text : text.replace(pattern, "…");
}

/** Does `text` hold a secret? */
export function holdsSecret(text: string): boolean {
  return blot(text) !== text;
}
