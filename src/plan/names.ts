/**
 * Brings two checkpoints under one set of names. A base and what was made from it often name the same tensors differently: one side was
 * saved without its head, by another version of transformers, or with a wrapper around the model. The rules are those of from_pretrained,
 * and apply before anything else looks at the pair. The result has the driver's names.
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import { BASE_PREFIXES, commonName, hasTowers, WRAPPERS, type Wrapper, withoutPart } from "../known/names.js";

/** How messages call the two sides. */
interface SideNames {
  readonly raw: string;
  readonly driver: string;
}

/** The names of one side as stored, and without wrappers. */
interface Reading {
  readonly names: ReadonlyMap<string, string>;
  /** How many names each wrapper was removed from. */
  readonly taken: ReadonlyMap<Wrapper, number>;
}

/** How raw's names match names of the driver. */
interface Meeting {
  /** How many of raw's names match a name of the driver. */
  readonly met: number;
  readonly renamed: ReadonlyMap<string, { readonly now: string; readonly by: "prefix" | "version" }>;
  readonly prefix: Prefix | null;
  /** The names of raw's head, if the driver is the model without a head. */
  readonly head: ReadonlySet<string>;
}

interface Prefix {
  readonly text: string;
  readonly step: "added" | "taken off";
}

export interface AlignedPair {
  readonly raw: Checkpoint;
  readonly driver: Checkpoint;
}

/**
 * Both sides, with raw's tensors under the driver's names. The notes of a side tell each kind of change.
 * @throws {WeightDiffError} MISMATCH if two names of one side become one.
 */
export function alignNames(raw: Checkpoint, driver: Checkpoint, called: SideNames): AlignedPair {
  const drivers = readings(driver);
  const candidates = readings(raw).flatMap((theirs) =>
    drivers.map((ours) => ({ theirs, ours, meeting: meet([...theirs.names.values()], new Set(ours.names.values())) })),
  );
  // Of equally good candidates, take the one that changes least.
  const most = candidates.reduce((best, { meeting }) => Math.max(best, meeting.met), 0);
  const best = candidates.find(({ meeting }) => meeting.met === most);
  return best === undefined
    ? { raw, driver }
    : {
        raw: renamed(unwrapped(raw, best.theirs, called.raw), best.meeting, called),
        driver: unwrapped(driver, best.ours, called.driver),
      };
}

/**
 * Three ways to read the names, each of which removes more: only wrappers whose name no model uses for a part; then also any wrapper at the
 * start of a name; then any wrapper anywhere.
 */
function readings({ stateDict }: Checkpoint): readonly Reading[] {
  const names = [...stateDict.keys()];
  const all = [
    read(names, ({ always }) => (always ? "anywhere" : "nowhere")),
    read(names, ({ always }) => (always ? "anywhere" : "in front")),
    read(names, () => "anywhere"),
  ];
  return all.filter(({ taken }, index) => index === 0 || sizeOf(taken) > sizeOf(all[index - 1]?.taken));
}

function sizeOf(taken: ReadonlyMap<Wrapper, number> = new Map()): number {
  return [...taken.values()].reduce((sum, count) => sum + count, 0);
}

function read(stored: readonly string[], where: (wrapper: Wrapper) => "anywhere" | "in front" | "nowhere"): Reading {
  const taken = new Map<Wrapper, number>();
  const places = WRAPPERS.flatMap((wrapper) => {
    const place = where(wrapper);
    return place === "nowhere" ? [] : [{ wrapper, front: place === "in front" }];
  });
  const names = stored.map((name): [string, string] => {
    let [now, before] = [name, ""];
    // A wrapper may stand before another one.
    while (now !== before) {
      before = now;
      for (const { wrapper, front } of places) {
        const without = withoutPart(now, wrapper.part, front);
        if (without !== now) {
          taken.set(wrapper, (taken.get(wrapper) ?? 0) + 1);
          now = without;
        }
      }
    }
    return [name, now];
  });
  return { names: new Map(names), taken };
}

function unwrapped(checkpoint: Checkpoint, { names, taken }: Reading, side: string): Checkpoint {
  if (taken.size === 0) {
    return checkpoint;
  }
  const stateDict = rekeyed(checkpoint, (name) => names.get(name) ?? name, side);
  const notes = [...taken].map(
    ([{ part, who }, count]) =>
      `${namesText(count)} read without ${quote(`${part}.`)}: ${who} put it there, and loaders do not know these names`,
  );
  return { ...checkpoint, stateDict, notes: [...checkpoint.notes, ...notes] };
}

function renamed(raw: Checkpoint, { renamed: names, prefix, head }: Meeting, called: SideNames): Checkpoint {
  if (names.size === 0) {
    return raw;
  }
  const stateDict = rekeyed(raw, (name) => (head.has(name) ? null : (names.get(name)?.now ?? name)), called.raw);
  const count = (by: "prefix" | "version"): number => [...names.values()].filter((name) => name.by === by).length;
  const [old, now] = [...names].find(([, { by }]) => by === "version") ?? [];
  const notes = [
    ...(prefix === null
      ? []
      : [
          `${namesText(count("prefix"))} read with ${quote(`${prefix.text}.`)} ${prefix.step}, as from_pretrained does, to match the ${called.driver}`,
        ]),
    ...(old === undefined || now === undefined
      ? []
      : [
          `${namesText(count("version"))} read as another version of transformers has them: ${quote(old)} is ${quote(now.now)} in the ${called.driver}`,
        ]),
    ...(head.size === 0
      ? []
      : [
          `its head is left out (${[...head].slice(0, 3).map(quote).join(", ")}${head.size > 3 ? ", …" : ""}): the ${called.driver} is the model without one`,
        ]),
  ];
  return { ...raw, stateDict, notes: [...raw.notes, ...notes] };
}

function namesText(count: number): string {
  return `${count} ${count === 1 ? "name is" : "names are"}`;
}

/** @param nameOf returns null to leave the tensor out. @throws {WeightDiffError} MISMATCH if two names become one. */
function rekeyed(
  { path, stateDict }: Checkpoint,
  nameOf: (name: string) => string | null,
  side: string,
): Checkpoint["stateDict"] {
  const found = new Map<string, StoredTensor>();
  const origin = new Map<string, string>();
  for (const [name, tensor] of stateDict) {
    const now = nameOf(name);
    if (now === null) {
      continue;
    }
    const first = origin.get(now);
    if (first !== undefined) {
      throw new WeightDiffError(
        "MISMATCH",
        `${quote(first)} and ${quote(name)} of the ${side} both become ${quote(now)}, the name that loaders know`,
        "one of the two does not belong there: save the model again without it",
        { at: { file: path, tensor: name } },
      );
    }
    origin.set(now, name);
    found.set(now, tensor);
  }
  return found;
}

/**
 * Matches raw's names with the driver's: as they are, by the names of another version, and with the base model's prefix added or removed.
 */
function meet(theirs: readonly string[], ours: ReadonlySet<string>): Meeting {
  const unmet = theirs.filter((name) => !ours.has(name));
  if (unmet.length === 0) {
    return { met: theirs.length, renamed: new Map(), prefix: null, head: new Set() };
  }
  const towers = hasTowers(theirs) && hasTowers(ours);
  // From the common name to the driver's; null if the driver has two of that name.
  const common = new Map<string, string | null>();
  for (const name of ours) {
    const key = commonName(name, towers);
    common.set(key, common.has(key) ? null : name);
  }
  const found = new Map<string, { now: string; by: "prefix" | "version" }>();
  const rest = unmet.filter((name) => {
    const now = common.get(commonName(name, towers)) ?? null;
    if (now !== null) {
      found.set(name, { now, by: "version" });
    }
    return now === null;
  });
  const keys = rest.map((name) => commonName(name, towers));
  const prefix = choosePrefix(keys, common);
  const head = new Set<string>();
  rest.forEach((name, index) => {
    const now = prefix === null ? null : (common.get(withPrefix(keys[index] ?? "", prefix) ?? "") ?? null);
    if (now !== null) {
      found.set(name, { now, by: "prefix" });
    } else if (prefix?.step === "taken off" && !name.startsWith(`${prefix.text}.`)) {
      head.add(name);
    }
  });
  return { met: theirs.length - unmet.length + found.size, renamed: found, prefix, head };
}

/** The name with the prefix added or removed; null if it does not have the prefix. */
function withPrefix(name: string, { text, step }: Prefix): string | null {
  return step === "added" ? `${text}.${name}` : name.startsWith(`${text}.`) ? name.slice(text.length + 1) : null;
}

/**
 * The prefix of the base model by which most names match. Null if none does, if two prefixes match equally many, or if both sides have it.
 */
function choosePrefix(names: readonly string[], common: ReadonlyMap<string, string | null>): Prefix | null {
  const words = (list: Iterable<string>): ReadonlySet<string> =>
    new Set([...list].map((name) => name.slice(0, Math.max(0, name.indexOf(".")))));
  const [theirs, ours] = [words(names), words(common.keys())];
  const candidates = [...BASE_PREFIXES].flatMap((text): readonly Prefix[] => [
    ...(ours.has(text) ? [{ text, step: "added" } as const] : []),
    ...(theirs.has(text) && !ours.has(text) ? [{ text, step: "taken off" } as const] : []),
  ]);
  const counted = candidates
    .map((prefix) => ({ prefix, met: names.filter((name) => common.has(withPrefix(name, prefix) ?? "")).length }))
    .sort((a, b) => b.met - a.met);
  const [first, second] = counted;
  return first === undefined || first.met === 0 || first.met === second?.met ? null : first.prefix;
}
