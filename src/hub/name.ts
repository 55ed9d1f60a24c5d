/**
 * What the user wrote, read as the name of a repository: `org/name`, `org/name@revision`, `hf://org/name@revision/subfolder`
 * (the spelling of huggingface_hub's file system), and only behind `hf://` a name of one part, as `hf://gpt2`. Anything that
 * begins as a path does is never one.
 */
import { WeightDiffError } from "../errors.js";
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

/** Reads `text` as a repository's name; null if it can only be a path. @throws {WeightDiffError} USAGE for a malformed hf:// name. */
export function parseHubName(text: string): HubName | null {
  return text.startsWith(SCHEME) ? parseExplicit(text) : parsePlain(text);
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
  if (/^(datasets|spaces|buckets)$/.test(parts[0] ?? "") && parts.length > 1) {
    throw malformed(text, `${parts[0]} hold no models`);
  }
  let revision: string | null = null;
  let path: string;
  // With a revision, the name ends there; without one, what follows the second part is a folder.
  const id = at < 0 ? parts.slice(0, 2).join("/") : parts.join("/");
  if (at < 0) {
    path = parts.slice(2).join("/");
  } else {
    const tail = rest.slice(at + 1);
    const special = SPECIAL_REVISION.exec(tail);
    const slash = tail.indexOf("/");
    revision = special?.[1] ?? decoded(slash < 0 ? tail : tail.slice(0, slash), text);
    path = special === null ? (slash < 0 ? "" : tail.slice(slash + 1)) : (special[2] ?? "");
  }
  path = path.replace(/\/+$/, "");
  const idParts = id.split("/");
  if (idParts.length > 2 || !idParts.every((part) => PART.test(part)) || (revision !== null && !isRevision(revision))) {
    throw malformed(text, "not the name of a repository");
  }
  if (path !== "" && !path.split("/").every(isBareFileName)) {
    throw malformed(text, "not a path in a repository");
  }
  return { id, revision, path, explicit: true };
}

/** What git allows in the name of a branch or tag, as far as a path made of it must stay inside a folder. */
export function isRevision(text: string): boolean {
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
    { at: { file: text } },
  );
}

/** Can git have made this the name of a commit? */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}
