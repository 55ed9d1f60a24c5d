/**
 * `weight_v000004/`: slime, miles, vime and stitch. The first version after the base has the number 1, and each version says on which one it is
 * made. stitch keeps the versions in `updates/`, and a pointer to the newest in `latest` (stitch a250dc30, types.py 37-46).
 */
import { basename, dirname } from "node:path";
import { brokenLink, enterAnyFolder, type Folder, findAnyFolder } from "../checkpoint/file-list.js";
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import type { Hub } from "../hub/place.js";
import { type Chain, chainError, type ListedVersion, versionText } from "./chain.js";
import { indexedVersion } from "./indexed-version.js";
import { type ChainLayout, enterVersion, type FoundVersions, oddNames, once, versionNames } from "./layout.js";
import { fileNamed, numberOf, readSmall } from "./small-file.js";
import { type DeltaIndex, type FullIndex, INDEX, type Link, readVersionIndex, shown } from "./version-index.js";

/** Numbers above 999999 have more digits. */
const VERSION_FOLDER = /^weight_v(\d{6}|[1-9]\d{6,14})$/;
const UPDATES = "updates";
const POINTER = "latest";

export const SLIME: ChainLayout = {
  names: ["slime", "stitch"],
  async find(folder, hub) {
    const inner = folder.folders.includes(UPDATES) ? await enterAnyFolder(folder, UPDATES, hub) : null;
    const updates = inner !== null && hasVersions(inner) ? inner : null;
    const root = updates ?? folder;
    if (hasVersions(root)) {
      const found = await pointerOf(folder);
      const stitch = updates !== null || found !== null;
      const [pointer, pointerFault] = found instanceof WeightDiffError ? [null, found] : [found, null];
      return { layout: stitch ? "stitch" : "slime", folder: root, ...versionsOf(root, hub), pointer, pointerFault };
    }
    return loneVersion(folder, hub);
  },
};

function hasVersions(folder: Folder): boolean {
  return versionNames(folder).some((name) => VERSION_FOLDER.test(name));
}

function versionsOf(root: Folder, hub: Hub | null): Pick<Chain, "versions" | "notes"> {
  const versions = versionNames(root).flatMap((name) => {
    const digits = VERSION_FOLDER.exec(name)?.[1];
    return digits === undefined
      ? []
      : [
          listed(
            name,
            Number(digits),
            once(() => enterVersion(root, name, versionText(Number(digits)), hub)),
            hub,
          ),
        ];
  });
  const notes = oddNames(root, /^weight_v/i, VERSION_FOLDER);
  return { versions: versions.sort((a, b) => a.number - b.number), notes };
}

/** @param enter enters its folder; null if it is gone. */
function listed(place: string, number: number, enter: () => Promise<Folder | null>, hub: Hub | null): ListedVersion {
  const id = versionText(number);
  return indexedVersion({ id, number, place, enter, linkOf: (index) => linkOf(index, number, place, id) }, hub);
}

/** @throws {WeightDiffError} with `why` "version-dir" or "link". */
function linkOf(index: DeltaIndex | FullIndex, number: number, place: string, id: string): Link {
  if (index.kind === "full") {
    return { base: null };
  }
  const at = { file: `${place}/${INDEX}`, version: id };
  const [version, base] = [index.metadata.get("version"), index.metadata.get("base_version")];
  if (numberOf(version) !== number) {
    const what = `says that it is version ${shown(version)}, and lies in ${place}`;
    throw chainError("version-dir", what, "it was moved or damaged: fetch the chain again", at);
  }
  const link = numberOf(base);
  if (link === null || link >= number) {
    const what = `version ${id} says that it is made on ${shown(base)}, which is no earlier version`;
    throw chainError("link", what, "the index is damaged: fetch this version again", at);
  }
  return { base: link };
}

/** Reads the pointer: "run-7/weight_v000002", "weight_v000002" or "000002". A fault in it matters only if the user names no version. */
async function pointerOf(folder: Folder): Promise<number | WeightDiffError | null> {
  const wrong = (what: string, file: string): WeightDiffError =>
    chainError(
      "link",
      what,
      "wait for the publisher's next version, with which it is written anew",
      { file },
      { advice: [{ to: "choose a version", option: "to" }] },
    );
  if (folder.broken.includes(POINTER)) {
    return wrong(brokenLink(folder, POINTER).fact, `${folder.path}/${POINTER}`);
  }
  const file = fileNamed(folder, POINTER);
  if (file === undefined) {
    return null;
  }
  try {
    const { text } = await readSmall(file, folder.directory);
    const [, digits] = /^(?:[^/\s]+\/)?(?:weight_v)?([0-9]{1,15})$/.exec(text.trim()) ?? [];
    return digits === undefined
      ? wrong(`points at ${quote(text.trim().slice(0, 100))}, which is not a version`, file.name)
      : Number(digits);
  } catch (error) {
    if (error instanceof WeightDiffError && ["input", "limit"].includes(error.kind)) {
      return wrong(`cannot be read: ${error.fact}`, file.name);
    }
    throw error;
  }
}

/** The given folder is itself one version. The folders beside it are the rest of the chain. */
async function loneVersion(folder: Folder, hub: Hub | null): Promise<FoundVersions | null> {
  const digits = VERSION_FOLDER.exec(basename(folder.directory))?.[1];
  if (digits !== undefined) {
    const root = folder.place === null ? await findAnyFolder(dirname(folder.directory), hub) : await above(folder, hub);
    if (root !== null && hasVersions(root)) {
      return { layout: "slime", folder: root, ...versionsOf(root, hub), pointer: Number(digits) };
    }
  }
  if (fileNamed(folder, INDEX) === undefined) {
    return null;
  }
  const number = await ownNumber(folder);
  return number === null
    ? null
    : {
        layout: "slime",
        versions: [listed(basename(folder.directory), number, async () => folder, hub)],
        pointer: number,
        notes: [],
      };
}

/** The folder above, also in a repository. */
async function above({ place }: Folder, hub: Hub | null): Promise<Folder | null> {
  if (place === null) {
    return null;
  }
  const folder = dirname(place.folder);
  return findAnyFolder(`hf://${place.id}@${place.commit}${folder === "." ? "" : `/${folder}`}`, hub);
}

/** The number that an update states of itself, if its folder's name is not that of a version. */
async function ownNumber(folder: Folder): Promise<number | null> {
  const index = await readVersionIndex(folder, "?").catch(() => null); // whoever opens it tells what is wrong
  return index?.kind === "delta" ? numberOf(index.metadata.get("version")) : null;
}
