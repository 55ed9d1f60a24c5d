/** From the wanted version back to where it starts: the base, or a full version. Every version on the way is opened; no other is read. */
import { WeightDiffError } from "../errors.js";
import { type Chain, chainError, faultOf, type ListedVersion, together, type Version, versionText } from "./chain.js";

export interface ChainPath {
  /** The version that is wanted. */
  readonly target: ListedVersion;
  /** The full version that it starts from; null: the base. */
  readonly start: Version | null;
  /** What is applied, in this order. */
  readonly steps: readonly Version[];
  readonly notes: readonly string[];
}

export interface PathOptions {
  /** Null takes the pointer's, else the newest that is complete. */
  readonly to: number | null;
  /** The version that the base is: 0, or what the user says. */
  readonly base: number;
  /** Steps on one path. */
  readonly maxSteps: number;
}

const START = { to: "say which version the base is", option: "baseVersion" } as const;

/** @throws {WeightDiffError} with `why`: "incomplete", "link", "version-gap", "base-unreachable", and what the versions' own files are refused for, all at once; LIMIT. */
export async function pathTo(chain: Chain, options: PathOptions): Promise<ChainPath> {
  const { base } = options;
  const { target, notes } = await targetOf(chain, options.to);
  if (target.number <= base) {
    throw chainError(
      "already-applied",
      target.number === base
        ? `the base already is version ${target.id}`
        : `version ${target.id} is earlier than the base, which is version ${versionText(base)}`,
      "nothing is to be applied: choose a later version",
      { file: chain.path, version: target.id },
      { advice: [{ to: "choose it", option: "to" }] },
    );
  }
  const byNumber = new Map(chain.versions.map((version) => [version.number, version]));
  const way: ListedVersion[] = [];
  let start: ListedVersion | null = null;
  for (let at = target; ; ) {
    if (way.length > options.maxSteps) {
      throw new WeightDiffError(
        "LIMIT",
        `more than ${options.maxSteps} steps lead to version ${target.id}`,
        undefined,
        {
          at: { file: chain.path, version: target.id },
          advice: [{ to: "allow more", option: "maxSteps" }],
        },
      );
    }
    const { kind, base: link } = await at.head();
    if (kind === "full" || link === null) {
      start = at;
      break;
    }
    way.push(at);
    if (link === base) {
      break;
    }
    if (link < base) {
      throw chainError(
        "base-unreachable",
        `${at.place} is made on ${versionText(link)}, and the base is said to be ${versionText(base)}`,
        "no version leads from there: see which version the base is",
        { file: chain.path, version: at.id },
        { advice: [START] },
      );
    }
    const next = byNumber.get(link);
    if (next === undefined) {
      throw missing(chain, at, link);
    }
    if (way.includes(next)) {
      throw chainError(
        "link",
        `is made on ${next.place}, which is made on it`,
        "the links go round: fetch the chain again",
        {
          file: at.place,
          version: at.id,
        },
      );
    }
    at = next;
  }
  const opened = await openAll(start === null ? [...way].reverse() : [start, ...way.reverse()]);
  const steps = start === null ? opened : opened.slice(1);
  return {
    target,
    start: start === null ? null : (opened[0] ?? null),
    steps,
    notes: [...notes, ...opened.flatMap((version) => version.notes.map((note) => `${version.place}: ${note}`))],
  };
}

/** What is wrong is told of every version at once. */
async function openAll(way: readonly ListedVersion[]): Promise<readonly Version[]> {
  const opened: Version[] = [];
  const errors: WeightDiffError[] = [];
  for (const version of way) {
    try {
      opened.push(await version.open());
    } catch (error) {
      errors.push(faultOf(error));
    }
  }
  if (errors.length > 0) {
    throw together(errors);
  }
  return opened;
}

function missing(chain: Chain, at: ListedVersion, link: number): WeightDiffError {
  const there = chain.versions.map(({ id }) => id);
  const listed = there.length > 12 ? [...there.slice(0, 5), "…", ...there.slice(-5)] : there;
  const place = { file: at.place, version: at.id };
  return chain.versions.some(({ number }) => number < link)
    ? chainError(
        "version-gap",
        `is made on ${versionText(link)}, which is not there (there are ${listed.join(", ")})`,
        "fetch the missing version; without it nothing after it can be computed",
        place,
      )
    : chainError(
        "base-unreachable",
        `is made on ${versionText(link)}, and nothing says that the base is that version`,
        "earlier versions were removed, or the base is a later version than 0",
        place,
        { advice: [START] },
      );
}

/** @throws {WeightDiffError} with `why`. */
async function targetOf(
  { versions, pointer, path }: Chain,
  to: number | null,
): Promise<{ readonly target: ListedVersion; readonly notes: readonly string[] }> {
  const wanted = to ?? pointer;
  const newest = versions.at(-1);
  if (wanted !== null) {
    const target = versions.find(({ number }) => number === wanted);
    if (target === undefined) {
      const [first] = versions;
      const range = first === undefined || newest === undefined ? "none" : `${first.id} to ${newest.id}`;
      throw chainError(
        "version-gap",
        `version ${versionText(wanted)} is not there (there are ${range})${to === null ? ", though the pointer names it" : ""}`,
        to === null ? "it is still on its way, or was removed" : "choose one that is there",
        { file: path, version: versionText(wanted) },
        { advice: [{ to: "choose one", option: "to" }] },
      );
    }
    const later = to === null && newest !== undefined && newest !== target ? newest.id : null;
    const note = `the publisher points at version ${target.id}, and ${later} is there too`;
    await refuseUnfinished(target, versions);
    return { target, notes: later === null ? [] : [note] };
  }
  const unfinished: string[] = [];
  for (const version of [...versions].reverse()) {
    if (!(await version.isUnfinished())) {
      const note = `${unfinished.join(", ")}: not complete yet, or interrupted: version ${version.id} is the newest that is`;
      return { target: version, notes: unfinished.length === 0 ? [] : [note] };
    }
    unfinished.push(version.place);
  }
  if (newest === undefined) {
    throw chainError("incomplete", "has no version", "nothing is published yet", { file: path });
  }
  await newest.head();
  return { target: newest, notes: [] };
}

/** The newest complete one before it is what can be had. */
async function refuseUnfinished(target: ListedVersion, versions: readonly ListedVersion[]): Promise<void> {
  if (!(await target.isUnfinished())) {
    return;
  }
  const earlier = versions.filter(({ number }) => number < target.number).reverse();
  let complete: ListedVersion | undefined;
  for (const version of earlier) {
    if (complete === undefined && !(await version.isUnfinished())) {
      complete = version;
    }
  }
  await target.head().catch((error: unknown) => {
    if (error instanceof WeightDiffError && complete !== undefined) {
      const { code, fact, at, why } = error;
      const advice = [{ to: "use what is complete", option: "to", value: String(complete.number) }];
      throw new WeightDiffError(code, fact, "wait until it is published", { at, why, advice });
    }
    throw error;
  });
}
