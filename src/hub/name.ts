/**
 * What the user wrote, read as the name of a repository: `org/name`, `org/name@revision`, `hf://org/name@revision/subfolder`
 * (the spelling of huggingface_hub's file system), or the address of a page, as a browser shows it. A name of one part is read only after
 * `hf://`, as in `hf://gpt2`, or in an address. Text that begins like a path is never a name.
 */
import { WeightDiffError } from "../errors.js";
import { printable } from "../formats/quote.js";
import { isBareFileName } from "../formats/weight-index.js";

export interface HubName {
  /** "org/name", or "name" of the early repositories. */
  readonly id: string;
  /** A branch, tag or commit; null takes "main". */
  readonly revision: string | null;
  /** Folder or weight file below the root, without slashes at its ends; "" is the root. */
  readonly path: string;
  /** hf:// was written: no local path is meant. */
  readonly explicit: boolean;
}

const SCHEME = "hf://";
/** huggingface_hub, utils/_validators.py: 96 characters of these, no "--" or "..", no "-" or "." at the ends. */
const PART = /^(?![-.])(?!.*(?:--|\.\.))[\w.-]{1,96}(?<![-.])$/;
/** Revisions with a slash of their own (hf_file_system.py); another one is written with %2F. */
const SPECIAL_REVISION = /^(refs\/(?:pr|convert)\/[^/]+)(?:\/(.*))?$/s;

/** The Hub's own hosts, whatever HF_ENDPOINT is asked in its place. */
const HOSTS = ["huggingface.co", "www.huggingface.co", "hf.co"] as const;
const ADDRESS = /^https?:\/\//i;
/** What a page shows of a repository: /tree/main/sub, /blob/main/model.safetensors. */
const VIEWS: ReadonlySet<string> = new Set(["tree", "blob", "resolve", "raw", "commit"]);

/**
 * Reads `text` as a repository's name; null if it can only be a path.
 * @param endpoint whose pages count as the Hub's, too. @throws {WeightDiffError} USAGE for a malformed hf:// name or address.
 */
export function parseHubName(text: string, endpoint?: string): HubName | null {
  if (text.startsWith(SCHEME)) {
    return parseExplicit(text);
  }
  if (ADDRESS.test(text)) {
    return parseAddress(text, text.replace(ADDRESS, ""), [
      ...HOSTS,
      ...(endpoint === undefined ? [] : [bare(endpoint)]),
    ]);
  }
  // An address without https://, as browsers show it. There may also be a folder of that name here.
  return HOSTS.some((host) => text.startsWith(`${host}/`))
    ? { ...parseAddress(text, text, HOSTS), explicit: false }
    : parsePlain(text.endsWith("/") ? text.slice(0, -1) : text);
}

/** Can it only be a place that is reached over the network, and no path? */
export function isRemote(text: string): boolean {
  return text.startsWith(SCHEME) || ADDRESS.test(text);
}

/** Is it the address of a page? */
export function isAddress(text: string): boolean {
  return ADDRESS.test(text);
}

function bare(endpoint: string): string {
  return endpoint.replace(ADDRESS, "").replace(/\/+$/, "");
}

/** @param rest of the address, from the host on. */
function parseAddress(text: string, rest: string, hosts: readonly string[]): HubName {
  const [place = ""] = rest.split(/[?#]/);
  const host = hosts.find((known) => place.toLowerCase().startsWith(`${known.toLowerCase()}/`));
  if (host === undefined) {
    throw malformed(text, "not an address of the Hub: nothing else is read over the network");
  }
  const parts = place
    .slice(host.length)
    .split("/")
    .filter((part) => part !== "");
  const view = parts.findIndex((part, index) => index > 0 && VIEWS.has(part));
  const [id, tail] = view < 0 ? [parts, ""] : [parts.slice(0, view), parts.slice(view + 1).join("/")];
  const { revision, path } = tail === "" ? { revision: null, path: "" } : splitTail(tail, text);
  return checked(text, { id: id.join("/"), revision, path: decoded(path, text), explicit: true });
}

function parsePlain(text: string): HubName | null {
  const at = text.indexOf("@");
  const id = at < 0 ? text : text.slice(0, at);
  const parts = id.split("/");
  const revision = at < 0 ? null : text.slice(at + 1);
  const fits =
    parts.length === 2 && parts.every((part) => PART.test(part)) && (revision === null || isRevision(revision));
  return fits ? { id, revision, path: "", explicit: false } : null;
}

function parseExplicit(text: string): HubName {
  const rest = text.slice(SCHEME.length);
  const at = rest.indexOf("@");
  const named = at < 0 ? rest : rest.slice(0, at);
  const parts = named.split("/").filter((part, index, all) => part !== "" || index < all.length - 1);
  // With a revision, the name ends there; without one, what follows the second part is a folder.
  return at < 0 && !NO_MODELS.test(parts[0] ?? "")
    ? checked(text, { id: parts.slice(0, 2).join("/"), revision: null, path: parts.slice(2).join("/"), explicit: true })
    : checked(text, {
        id: parts.join("/"),
        ...(at < 0 ? { revision: null, path: "" } : splitTail(rest.slice(at + 1), text)),
        explicit: true,
      });
}

/** What stands behind the name: a revision, and perhaps a path. */
function splitTail(tail: string, text: string): { readonly revision: string; readonly path: string } {
  const special = SPECIAL_REVISION.exec(tail);
  const slash = tail.indexOf("/");
  return special === null
    ? { revision: decoded(slash < 0 ? tail : tail.slice(0, slash), text), path: slash < 0 ? "" : tail.slice(slash + 1) }
    : { revision: special[1] ?? "", path: special[2] ?? "" };
}

const NO_MODELS = /^(datasets|spaces|buckets)$/;

/** The name, if it can be one. @throws {WeightDiffError} USAGE. */
function checked(text: string, { id, revision, path: written, explicit }: HubName): HubName {
  const path = written.replace(/\/+$/, "");
  const parts = id.split("/");
  const [kind = ""] = parts;
  if (NO_MODELS.test(kind) && parts.length > 1) {
    throw malformed(text, `${kind} hold no models`);
  }
  if (parts.length > 2 || !parts.every((part) => PART.test(part)) || (revision !== null && !isRevision(revision))) {
    throw malformed(text, "not the name of a repository");
  }
  if (path !== "" && !path.split("/").every(isBareFileName)) {
    throw malformed(text, "not a path in a repository");
  }
  return { id, revision, path, explicit };
}

/** What git allows in the name of a branch or tag, as far as a path made of it must stay inside a folder. */
function isRevision(text: string): boolean {
  return text.length <= 255 && text.split("/").every((part) => isBareFileName(part) && !/[ ~^?*[@]/.test(part));
}

function decoded(text: string, whole: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw malformed(whole, "a % that encodes nothing");
  }
}

function malformed(text: string, why: string): WeightDiffError {
  return new WeightDiffError(
    "USAGE",
    `${why}`,
    "write hf://org/name, hf://org/name@revision or hf://org/name@revision/subfolder",
    // An address may have a password in it.
    { at: { file: text.replace(/\/\/[^/?#]*@/, "//") } },
  );
}

/** Can git have made this the name of a commit? */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** How messages name a repository at a commit, or a file in it: "org/name@1a2b3c4d: config.json". @param path in the repository. */
export function atCommit(id: string, commit: string, path?: string): string {
  const place = `${id}@${commit.slice(0, 8)}`;
  return path === undefined ? place : `${place}: ${printable(path)}`;
}
