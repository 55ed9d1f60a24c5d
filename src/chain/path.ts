/** Finds the path from the wanted version back to its start: the base, or a full version. Opens every version on the path, and reads no other. */
import { type ErrorDetails, WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import {
  type Chain,
  chainError,
  faultOf,
  type ListedVersion,
  together,
  type Version,
  type VersionHead,
  versionText,
} from "./chain.js";

export interface ChainPath {
  /** The version that is wanted. */
  readonly target: ListedVersion;
  /** The full version from which it starts; null for the base. */
  readonly start: Version | null;
  /** The updates, in the order in which they are applied. */
  readonly steps: readonly Version[];
  readonly notes: readonly string[];
}

/** The option that says which version the base is: a fold calls it "from". */
export type BaseOption = "baseVersion" | "from";

export interface PathOptions {
  /** Null takes the version of the pointer, else the newest complete one. */
  readonly to: number | null;
  /** Which version the base is: 0, or what the user says. */
  readonly base: number;
  /** "baseVersion" by default. */
  readonly baseOption?: BaseOption;
  /** The most steps on a path. */
  readonly maxSteps: number;
}

/** If the chain is made on a version that is not there, the base may be that version. */
function startAt(link: number, option: BaseOption): NonNullable<ErrorDetails["advice"]> {
  return [{ to: "if the base is that version, say so", option, value: String(link) }];
}

/** @throws {WeightDiffError} with `why` "already-applied", "incomplete", "link", "version-gap" or "base-unreachable"; with all faults of the versions' files together; LIMIT. */
export async function pathTo(chain: Chain, options: PathOptions): Promise<ChainPath> {
  const { base, baseOption = "baseVersion" } = options;
  const { target, notes: told } = await targetOf(chain, options.to);
  const notes = [...told];
  if (target.number <= base) {
    throw chainError(
      "already-applied",
      target.number === base
        ? `the base already is version ${target.id}: nothing is to be applied`
        : `version ${target.id} is earlier than the base, which is version ${spelled(chain, base)}`,
      target.number === base
        ? "use it as it is"
        : baseOption === "from"
          ? "begin the fold at an earlier version"
          : "updates cannot be undone: give an earlier base",
      { file: chain.path, version: target.id },
      {
        advice: chain.versions.some(({ number }) => number > base)
          ? [{ to: "choose a later version", option: "to" }]
          : [],
      },
    );
  }
  const byNumber = new Map(chain.versions.map((version) => [version.number, version]));
  const way: ListedVersion[] = [];
  let start: ListedVersion | null = null;
  for (let at = target; ; ) {
    const { kind, base: link, unnamed } = await headOf(at, way.at(-1) ?? null, chain);
    if (kind === "full" || link === null) {
      start = at;
      break;
    }
    way.push(at);
    if (way.length > options.maxSteps) {
      throw new WeightDiffError(
        "LIMIT",
        `more than ${options.maxSteps} ${options.maxSteps === 1 ? "step leads" : "steps lead"} to version ${target.id}`,
        undefined,
        {
          at: { file: chain.path, version: target.id },
          advice: [{ to: "allow more", option: "maxSteps" }],
        },
      );
    }
    if (unnamed !== undefined) {
      notes.push(
        `${at.place} is made on ${quote(unnamed)}, a name that no version here has: ${await takenFor(chain, at, unnamed, link, base)}`,
      );
    }
    if (link === base || (unnamed !== undefined && link === 0)) {
      break;
    }
    if (link < base) {
      throw chainError(
        "base-unreachable",
        `${at.place} is made on ${spelled(chain, link)}, and the base is said to be ${spelled(chain, base)}`,
        "give the model of that version",
        { file: chain.path, version: at.id },
        { advice: startAt(link, baseOption) },
      );
    }
    const next = byNumber.get(link);
    if (next === undefined) {
      throw missing(chain, at, link, baseOption);
    }
    if (way.includes(next)) {
      throw chainError(
        "link",
        `is made on ${next.place}, which is made on it`,
        "these versions are made on each other in a circle: fetch the chain again",
        {
          file: at.place,
          version: at.id,
        },
      );
    }
    at = next;
  }
  const opened = await openAll(start === null ? [...way].reverse() : [start, ...way.reverse()]);
  const steps = (start === null ? opened : opened.slice(1)).map((version) =>
    version.unnamed !== undefined && version.base === 0 ? { ...version, base } : version,
  );
  return {
    target,
    start: start === null ? null : (opened[0] ?? null),
    steps,
    notes: [...notes, ...opened.flatMap((version) => version.notes.map((note) => `${version.place}: ${note}`))],
  };
}

/** Tells the faults of all versions together. */
async function openAll(way: readonly ListedVersion[]): Promise<readonly Version[]> {
  const opened: Version[] = [];
  const errors: WeightDiffError[] = [];
  let next: Promise<Version> | undefined;
  for (const [place, version] of way.entries()) {
    const opening = next ?? version.open();
    // Its files are read while this version is looked at. What it throws is told in its turn, and nothing is left under way.
    next = way[place + 1]?.open();
    next?.catch(() => {});
    try {
      opened.push(await opening);
    } catch (error) {
      await next?.catch(() => {});
      errors.push(faultOf(error));
    }
  }
  if (errors.length > 0) {
    throw together(errors);
  }
  return opened;
}

function missing(chain: Chain, at: ListedVersion, link: number, option: BaseOption): WeightDiffError {
  const there = chain.versions.map(({ id }) => id);
  const listed = there.length > 12 ? [...there.slice(0, 5), "…", ...there.slice(-5)] : there;
  const place = { file: at.place, version: at.id };
  return chain.versions.some(({ number }) => number < link)
    ? chainError(
        "version-gap",
        `is made on ${spelled(chain, link)}, which is not there (there are ${listed.join(", ")})`,
        "fetch the missing version; without it nothing after it can be computed",
        place,
      )
    : chainError(
        "base-unreachable",
        `is made on ${spelled(chain, link)}, and nothing says that the base is that version`,
        "fetch the earlier versions, which are not there",
        place,
        { advice: startAt(link, option) },
      );
}

/** @throws {WeightDiffError} with `why`. */
async function targetOf(
  chain: Chain,
  to: number | null,
): Promise<{ readonly target: ListedVersion; readonly notes: readonly string[] }> {
  const { versions, pointer, pointerFault = null, path, layout } = chain;
  if (to === null && pointerFault !== null) {
    throw pointerFault;
  }
  const wanted = to ?? pointer;
  const newest = versions.at(-1);
  if (wanted !== null) {
    const target = versions.find(({ number }) => number === wanted);
    if (target === undefined) {
      const [first] = versions;
      const range =
        first === undefined || newest === undefined
          ? "there is none"
          : first === newest
            ? `there is ${first.id}`
            : `there are ${first.id} to ${newest.id}`;
      throw chainError(
        "version-gap",
        `version ${spelled(chain, wanted)} is not there (${range})${to === null ? ", though the pointer names it" : ""}`,
        to === null ? "wait for it, or fetch the chain again" : undefined,
        { file: path, version: spelled(chain, wanted) },
        { advice: [{ to: "choose one that is there", option: "to" }] },
      );
    }
    const later = to === null && newest !== undefined && newest !== target ? newest.id : null;
    const note = `${layout === "stitch" ? "the publisher points at" : "the path is that of"} version ${target.id}, and ${later} is there too`;
    await refuseUnfinished(target, versions);
    return { target, notes: later === null ? [] : [note] };
  }
  const unfinished: string[] = [];
  for (const version of [...versions].reverse()) {
    if (!(await version.isUnfinished())) {
      const note = `${unfinished.join(", ")}: not complete yet, or interrupted; the newest complete version is ${version.id}`;
      return { target: version, notes: unfinished.length === 0 ? [] : [note] };
    }
    unfinished.push(version.place);
  }
  if (newest === undefined) {
    throw chainError("incomplete", "has no version", "wait until one is published", { file: path });
  }
  await newest.head();
  return { target: newest, notes: [] };
}

/** Refuses a version that is not complete, and names the newest complete one before it. @param later a version that is made on it, so it is not being published any more. */
async function refuseUnfinished(
  version: ListedVersion,
  versions: readonly ListedVersion[],
  later: ListedVersion | null = null,
): Promise<void> {
  if (!(await version.isUnfinished())) {
    return;
  }
  let complete: ListedVersion | undefined;
  for (const one of versions.filter(({ number }) => number < version.number).reverse()) {
    if (complete === undefined && !(await one.isUnfinished())) {
      complete = one;
    }
  }
  await version.head().catch((error: unknown) => {
    if (!(error instanceof WeightDiffError) || (complete === undefined && later === null)) {
      throw error;
    }
    const { code, at, why } = error;
    const advice =
      complete === undefined ? [] : [{ to: "use what is complete", option: "to", value: String(complete.number) }];
    throw later === null
      ? new WeightDiffError(code, error.fact, "wait until it is published", { at, why, advice })
      : new WeightDiffError(
          code,
          `is not complete${code === "NOT_FOUND" ? ` (${error.fact})` : ""}, and ${later.place} is made on it: interrupted, or not fetched whole`,
          "fetch it again",
          { at, why, advice },
        );
  });
}

/** @param later the version on the path that is made on it; null for the wanted version. @throws {WeightDiffError} as its own head. */
async function headOf(version: ListedVersion, later: ListedVersion | null, { versions }: Chain): Promise<VersionHead> {
  if (later !== null) {
    await refuseUnfinished(version, versions, later);
  }
  return version.head();
}

/**
 * A version may be made on one whose name no version here has. That is the full version before it, or the base. The base has one name. If an
 * earlier version calls the base by another name, the version that is meant here is missing.
 * @returns what the unknown version is taken for. @throws {WeightDiffError} with `why` "version-gap".
 */
async function takenFor(chain: Chain, at: ListedVersion, name: string, link: number, base: number): Promise<string> {
  if (link !== 0) {
    return `taken for version ${spelled(chain, link)}, the full one before it`;
  }
  const unread: string[] = [];
  let other = false;
  for (const version of chain.versions.filter(({ number }) => number > base && number < at.number)) {
    // A version that cannot be read may be the one that is meant.
    const head = await version.head().catch((error: unknown) => {
      unread.push(`${version.place} cannot be read (${faultOf(error).fact})`);
      return null;
    });
    other ||= head !== null && (head.kind === "full" || (head.unnamed ?? name) !== name);
  }
  if (other || unread.length > 0) {
    throw chainError(
      "version-gap",
      `is made on ${quote(name)}, and no version here has that name`,
      unread.length > 0
        ? `${unread.join(", ")}, and may be the one that is meant: fetch the chain again`
        : "fetch the missing version; without it nothing after it can be computed",
      { file: at.place, version: at.id },
    );
  }
  return "taken for the base";
}

/** A version's number in the spelling of this chain. */
export function spelled({ versions }: Pick<Chain, "versions">, number: number): string {
  return versions.some((one) => one.id !== versionText(one.number)) ? String(number) : versionText(number);
}
