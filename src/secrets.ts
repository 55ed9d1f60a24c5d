/**
 * What must never leave in a text: the token for the Hub, and whatever else is kept. A server that was sent the token may repeat
 * it in any answer - as an ETag, a host, the name of a file - so that no text out of one is safe by itself. Known to the whole
 * process: the token is one, and texts are made everywhere.
 */

const kept = new Set<string>();
let pattern: RegExp | null = null;
/** A shorter one is no secret, and blotting it would spoil every text. */
const SHORTEST = 6;

/** Keeps a text out of every other from here on. */
export function keepSecret(text: string): void {
  if (text.length >= SHORTEST && !kept.has(text)) {
    kept.add(text);
    // As JSON spells it, it may look otherwise; a host is in lower case.
    const spelt = [...kept].flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]);
    pattern = new RegExp(spelt.map((each) => each.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "gi");
  }
}

/** `text` with "…" for every secret in it. */
export function blot(text: string): string {
  return pattern === null ? text : text.replace(pattern, "…");
}

/** Is a secret in it? */
export function holdsSecret(text: string): boolean {
  return blot(text) !== text;
}
