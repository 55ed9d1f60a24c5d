/** chain inspect: lists the versions of a chain, and the path to the wanted one. It reads indexes and headers, but neither payloads nor the base. */
import type { ChainLayoutName, ListedVersion, VersionKind } from "../../chain/chain.js";
import { openChain } from "../../chain/open.js";
import { pathTo } from "../../chain/path.js";
import { type ChainFault, WeightDiffError } from "../../errors.js";
import { rangeLength } from "../../formats/tensor-info.js";
import { DEFAULTS } from "../../plan/defaults.js";
import { withHub } from "../../run/inputs.js";
import type { ChainInspectOptions, Opened } from "./options.js";

export interface InspectedVersion {
  readonly version: string;
  readonly place: string;
  /** Null if it cannot be read, or is not complete. */
  readonly kind: VersionKind | null;
  /** The number of the version on which it is made. */
  readonly base: number | null;
  readonly encoding: string | null;
  readonly checksum: string | null;
  readonly tensors: number;
  /** The size of its shards. */
  readonly bytes: number;
  readonly complete: boolean;
  readonly fault: { readonly why: ChainFault | null; readonly message: string } | null;
}

export interface ChainInspectReport {
  readonly path: string;
  readonly layout: ChainLayoutName;
  readonly repo: string | null;
  readonly commit: string | null;
  /** The version to which the publisher's pointer points. */
  readonly pointer: number | null;
  readonly versions: readonly InspectedVersion[];
  /** The path to the wanted version, from the base (null) or from a full version. Null if there is no path. */
  readonly way: { readonly start: string | null; readonly steps: readonly string[]; readonly bytes: number } | null;
  /** Why there is no path. */
  readonly fault: { readonly why: ChainFault | null; readonly message: string } | null;
  readonly notes: readonly string[];
}

/** @throws {WeightDiffError} NOT_FOUND if it is not a chain; LIMIT, IO, HUB_…, NETWORK. */
export async function chainInspect(options: ChainInspectOptions): Promise<ChainInspectReport> {
  return withHub(options, inspectWith);
}

async function inspectWith(options: Opened<ChainInspectOptions>): Promise<ChainInspectReport> {
  const chain = await openChain(options.chain, options.hub, options);
  const versions: InspectedVersion[] = [];
  const notes = [...chain.notes];
  for (const version of chain.versions) {
    versions.push(await look(version));
  }
  const { layout, repo, commit, pointer } = chain;
  const report = { path: options.chain, layout, repo, commit, pointer, versions };
  try {
    const {
      start,
      steps,
      notes: told,
    } = await pathTo(chain, {
      to: options.to ?? null,
      base: options.baseVersion ?? DEFAULTS.baseVersion,
      maxSteps: options.maxSteps ?? DEFAULTS.maxSteps,
    });
    const read = start === null ? steps : [start, ...steps];
    const bytes = read.reduce((sum, { shards }) => sum + shards.reduce((all, { size }) => all + size, 0), 0);
    const way = { start: start?.id ?? null, steps: steps.map(({ id }) => id), bytes };
    return { ...report, way, fault: null, notes: [...notes, ...told] };
  } catch (error) {
    return { ...report, way: null, fault: faultOf(error), notes };
  }
}

async function look(listed: ListedVersion): Promise<InspectedVersion> {
  const { id, place } = listed;
  const unread = { kind: null, base: null, encoding: null, checksum: null, tensors: 0, bytes: 0 };
  const complete = !(await listed.isUnfinished());
  try {
    const version = await listed.open();
    const { kind, base, encoding, checksum, shards, payloads, checkpoint } = version;
    const bytes =
      kind === "full"
        ? shards.reduce((sum, { size }) => sum + size, 0)
        : [...payloads.values()].reduce(
            (sum, { range, values }) => sum + rangeLength(range) + rangeLength(values?.range),
            0,
          );
    const tensors = checkpoint?.stateDict.size ?? payloads.size;
    return { version: id, place, kind, base, encoding, checksum, tensors, bytes, complete, fault: null };
  } catch (error) {
    return { version: id, place, ...unread, complete, fault: faultOf(error) };
  }
}

/** @throws {unknown} the error itself if it is not about an input. */
function faultOf(error: unknown): NonNullable<InspectedVersion["fault"]> {
  if (error instanceof WeightDiffError && ["input", "limit", "check"].includes(error.kind)) {
    return { why: error.why, message: error.message };
  }
  throw error;
}
