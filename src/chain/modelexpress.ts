/**
 * `v4/`: ModelExpress. Versions have names from a catalogue, which are unrelated to the folders' numbers. The name of a full version is in no
 * file (ModelExpress 008f0da0, canonical_delta.py; 50b1b429, receiver.py).
 */
import type { Folder } from "../checkpoint/file-list.js";
import { quote } from "../formats/quote.js";
import type { StatedChecksum } from "../formats/update.js";
import type { Hub } from "../hub/place.js";
import { chainError, faultOf, type ListedVersion, type Version } from "./chain.js";
import { indexedVersion } from "./indexed-version.js";
import { type ChainLayout, enterVersion, once, versionNames } from "./layout.js";
import { checksumOf, isChecksumName, noChecksum } from "./shards.js";
import { fileNamed, readSmall } from "./small-file.js";
import { type DeltaIndex, type FullIndex, INDEX, type Link, NEWER, readVersionIndex, shown } from "./version-index.js";

const VERSION_FOLDER = /^v(0|[1-9]\d{0,14})$/;
/** The number of the base, which every receiver has before anything is published. */
const SEED = 0;

export const MODEL_EXPRESS: ChainLayout = {
  names: ["modelexpress"],
  async find(folder, hub) {
    const numbers = versionNames(folder)
      .flatMap((name) => VERSION_FOLDER.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
    if (numbers.length === 0 || !(await hasUpdate(folder, numbers, hub))) {
      return null;
    }
    const places = numbers.map((number) => {
      const place = `v${number}`;
      return { number, place, enter: once(() => enterVersion(folder, place, String(number), hub)) };
    });
    const names = once(() => namesOf(places));
    const versions = places.map(({ number, place, enter }): ListedVersion => {
      const id = String(number);
      const linkOf = async (index: DeltaIndex | FullIndex): Promise<Link> =>
        index.kind === "full" ? { base: null } : linkTo(await names(), index, number, place);
      return indexedVersion({ id, number, place, enter, linkOf, sumsOf }, hub);
    });
    return { layout: "modelexpress", versions, pointer: null, notes: [] };
  },
};

/** Does the index of one of them describe an update? Many folders that are not chains hold a folder v1. */
async function hasUpdate(folder: Folder, numbers: readonly number[], hub: Hub | null): Promise<boolean> {
  for (const number of numbers) {
    const inner = await enterVersion(folder, `v${number}`, String(number), hub).catch(nothing);
    const index = inner === null ? undefined : fileNamed(inner, INDEX);
    if (inner !== null && index !== undefined && (await speaksOfUpdate(index, inner.directory))) {
      return true;
    }
  }
  return false;
}

/** A version with a fault tells nothing here. */
function nothing(error: unknown): null {
  faultOf(error);
  return null;
}

export async function speaksOfUpdate(index: Parameters<typeof readSmall>[0], directory: string): Promise<boolean> {
  const text = await readSmall(index, directory)
    .then((small) => small.text)
    .catch(() => ""); // whoever reads it tells what is wrong
  return text.includes('"delta_encoding"');
}

interface Place {
  readonly number: number;
  readonly place: string;
  enter(): Promise<Folder | null>;
}

/** The numbers of the folders by the names of their versions; the full versions, which have no names; and on what each update is made. All sorted by number. */
interface Names {
  readonly byName: ReadonlyMap<string, number>;
  readonly full: readonly number[];
  readonly made: readonly { readonly number: number; readonly on: string | null }[];
}

/** @throws {WeightDiffError} with `why` "link" for a name that two versions have. */
async function namesOf(places: readonly Place[]): Promise<Names> {
  const byName = new Map<string, number>();
  const full: number[] = [];
  const made: { readonly number: number; readonly on: string | null }[] = [];
  for (const { number, place, enter } of places) {
    // A version that cannot be read has no name. If it lies on the way to the wanted version, its fault is told there.
    const folder = await enter().catch(nothing);
    const index = folder === null ? null : await readVersionIndex(folder, String(number)).catch(() => null);
    if (index?.kind === "full") {
      full.push(number);
    } else if (index !== null) {
      const name = nameOf(index.metadata.get("version"));
      made.push({ number, on: nameOf(index.metadata.get("base_version")) });
      const other = name === null ? undefined : byName.get(name);
      if (name !== null && other !== undefined) {
        throw chainError("link", `v${other} and ${place} both are version ${quote(name)}`, AGAIN, {
          file: place,
          version: String(number),
        });
      }
      if (name !== null) {
        byName.set(name, number);
      }
    }
  }
  return { byName, full, made };
}

const AGAIN = "versions of two runs are mixed, or the index is damaged: fetch the chain again";

function nameOf(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : Number.isSafeInteger(value) ? String(value) : null;
}

/**
 * An update may name a version that no index here names. The first such name after a full version belongs to that version. Any other belongs to
 * the base, or to a missing version: path.ts tells these apart, and the checksums show whether that was right.
 */
function linkTo({ byName, full, made }: Names, { metadata }: DeltaIndex, number: number, place: string): Link {
  const [own, base] = [nameOf(metadata.get("version")), nameOf(metadata.get("base_version"))];
  const at = { file: `${place}/${INDEX}`, version: String(number) };
  if (own === null) {
    throw chainError("version-dir", `says that it is version ${shown(metadata.get("version"))}`, AGAIN, at);
  }
  if (base === null || base === own) {
    throw chainError("link", `says that it is made on ${shown(metadata.get("base_version"))}`, AGAIN, at);
  }
  const named = byName.get(base);
  if (named !== undefined) {
    return { base: named };
  }
  const before = full.filter((one) => one < number).at(-1) ?? SEED;
  const earlier = new Set(made.flatMap((one) => (one.number < before ? [one.on] : [])));
  const first = made.find(({ number: own, on }) => own > before && on !== null && !byName.has(on) && !earlier.has(on));
  return { base: first?.on === base ? before : SEED, unnamed: base };
}

/**
 * The checksums of a full version. Their keys are the tensors' names, with or without a prefix. If the index names the algorithm, every tensor
 * must have a checksum, as receivers demand (modelexpress 0.7.0, inference/receiver.py).
 */
function sumsOf(
  { checkpoint }: Pick<Version, "checkpoint">,
  { metadata: about }: FullIndex,
  at: { readonly file: string; readonly version: string },
): Version["sums"] {
  const algorithm = about.get("checksum_format") ?? "adler32";
  if (!isChecksumName(algorithm)) {
    throw chainError(
      "unknown-checksum",
      `checksum_format ${shown(algorithm)} is not known: expected "adler32"`,
      NEWER,
      at,
    );
  }
  const sums = new Map<string, StatedChecksum>();
  for (const [name, { shard }] of checkpoint?.stateDict ?? []) {
    const { metadata } = shard.header;
    const checksum = checksumOf(algorithm, metadata.get(`mx.${algorithm}:${name}`) ?? metadata.get(name));
    if (checksum !== null) {
      sums.set(name, checksum);
    } else if (about.has("checksum_format")) {
      throw noChecksum(name, metadata.get(name), algorithm, { ...at, file: shard.path, tensor: name });
    }
  }
  return sums;
}
