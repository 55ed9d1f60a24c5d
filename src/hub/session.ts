/**
 * The Hub during one command. Each name that the user gave is resolved to a commit once, and its small files are brought to this disk.
 * Its weights stay in the cache, or without one at the Hub, until their bytes are needed.
 */
import { rm, stat } from "node:fs/promises";
import { WeightDiffError } from "../errors.js";
import { absolutePath } from "../files/paths.js";
import { fetchFiles, isThere } from "./fetch.js";
import { findCached, findOnline } from "./find.js";
import { isAddress, parseHubName } from "./name.js";
import type { Hub, HubFile, HubPlace } from "./place.js";
import { type HubOptions, type HubSettings, hubSettings } from "./settings.js";

/** Opens the Hub: nothing is read or asked before the first name. @param signal ends whatever is under way. */
export function openHub(options: HubOptions, signal?: AbortSignal): Hub {
  const places = new Map<string, Promise<HubPlace | null>>();
  const folders: string[] = [];
  const underWay = new Set<Promise<unknown>>();
  const closing = new AbortController();
  const ended = signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal]);
  const track = async <T>(work: Promise<T>): Promise<T> => {
    underWay.add(work);
    try {
      return await work;
    } finally {
      underWay.delete(work);
    }
  };
  let reading: Promise<HubSettings> | null = null;
  const settings = (): Promise<HubSettings> => {
    reading ??= hubSettings(options);
    return reading;
  };
  const look = async (path: string): Promise<HubPlace | null> => {
    const name = parseHubName(path, isAddress(path) ? (await settings()).access.endpoint : undefined);
    if (name === null || (!name.explicit && (await exists(path)))) {
      return null;
    }
    const how = await settings();
    let isRepository = name.explicit;
    const onFound = (): void => {
      isRepository = true;
    };
    try {
      return how.offline ? await findCached(name, how) : await findOnline(name, how, folders, ended, onFound);
    } catch (error) {
      throw isRepository ? error : withBothReadings(error, path);
    }
  };
  return {
    find(path) {
      const found = places.get(path) ?? track(look(path));
      places.set(path, found);
      return found;
    },
    async missing(files) {
      const open = await Promise.all(
        files.map(async (file) => (file.snapshot === null || (await isThere(file)) ? 0 : file.size)),
      );
      return open.reduce((sum, size) => sum + size, 0);
    },
    async fetch(files, onProgress) {
      const how = await settings();
      const wanted = files.filter((file) => file.snapshot !== null);
      await track(fetchFiles(wanted, how, ended, onProgress ?? (() => {})));
      for (const [path, place] of places) {
        const updated = place.then((known) => (known === null ? null : nowCached(known, wanted)));
        updated.catch(() => {}); // the request for the place has thrown it
        places.set(path, updated);
      }
    },
    async close() {
      closing.abort(new WeightDiffError("INTERRUPTED", "interrupted"));
      await Promise.allSettled(underWay);
      for (const folder of folders) {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

async function exists(path: string): Promise<boolean> {
  return (await stat(absolutePath(path)).catch(() => null)) !== null;
}

/** Nothing is known of a repository of that name. */
const BOTH_READINGS: ReadonlySet<string> = new Set(["HUB_NO_REPO", "HUB_DENIED", "HUB_OFFLINE", "NETWORK"]);

/** The name could have been a path. A user who mistyped one needs more than the Hub's answer. */
function withBothReadings(error: unknown, path: string): unknown {
  return error instanceof WeightDiffError && BOTH_READINGS.has(error.code)
    ? new WeightDiffError(
        error.code,
        `${path}: no file or directory here; as a repository of the Hub: ${error.message}`,
        error.hint,
        { cause: error, advice: error.advice },
      )
    : error;
}

function nowCached(place: HubPlace, fetched: readonly HubFile[]): HubPlace {
  const urls = new Set(fetched.map(({ url }) => url));
  const files = [...place.files].map(
    ([name, file]) => [name, urls.has(file.url) ? { ...file, cached: true } : file] as const,
  );
  return { ...place, files: new Map(files) };
}
