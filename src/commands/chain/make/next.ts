/** Finds the number of the next version of a chain, the version on which it is made, and the checksums of that version. */
import { join } from "node:path";
import { chainError, type ListedVersion, type Version, versionText } from "../../../chain/chain.js";
import { findChain } from "../../../chain/open.js";
import type { Checkpoint } from "../../../checkpoint/checkpoint.js";
import { findAnyFolder } from "../../../checkpoint/file-list.js";
import { findHuggingface } from "../../../checkpoint/layouts/huggingface.js";
import { WeightDiffError } from "../../../errors.js";
import type { StatedChecksum } from "../../../formats/update.js";
import { readManifest } from "../../../manifest/read.js";
import { hasFile, MANIFEST } from "../../../output/state.js";
import { digestTensors } from "../../../run/digest.js";
import type { RunOptions } from "../../../run/run-plan.js";
import type { ChainMakeOptions } from "../options.js";

/** A tensor's newest checksum, and the version that states it. */
interface NewestSum extends StatedChecksum {
  readonly version: string;
}

/** The version on which the next one is made. */
export interface Head {
  readonly id: string;
  /** The checksums that the chain states of its tensors. */
  readonly sums: ReadonlyMap<string, NewestSum>;
}

export interface NextVersion {
  readonly number: number;
  /** The number of the version on which it is made. 0 is the model before the first version. */
  readonly base: number;
  /** Null for the first version. */
  readonly head: Head | null;
}

/** @throws {WeightDiffError} OUTPUT_REFUSED if the newest version is not complete; FORMAT_UNSUPPORTED for another layout; MISMATCH with `why`. */
export async function nextVersion(options: ChainMakeOptions): Promise<NextVersion> {
  const { chain: path, raw, mode = "new" } = options;
  // A version is written, so the path never names a repository.
  const chain = await findChain(path, null);
  if (chain !== null && chain.layout !== "slime") {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `is a chain in the layout of ${chain.layout}, and versions are written in slime's`,
      "give the directory that holds the versions, or another one",
      { at: { file: path } },
    );
  }
  if (chain === null) {
    await refuseModel(path);
  }
  const versions = chain?.versions ?? [];
  const complete: ListedVersion[] = [];
  const open: ListedVersion[] = [];
  for (const version of versions) {
    (((await version.isUnfinished()) ? open : complete) as ListedVersion[]).push(version);
  }
  const newest = complete.at(-1);
  const again = mode === "new" ? undefined : (open.at(-1) ?? (options.version == null ? newest : undefined));
  const number = options.version ?? again?.number ?? (newest?.number ?? 0) + 1;
  const before = complete.filter((version) => version.number < number).at(-1);
  const between = open.find((version) => version.number !== number || mode === "new");
  if (between !== undefined) {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      `${between.place} has no index: it is being published, or was interrupted`,
      "wait for it, or move it away",
      {
        at: { file: path, version: between.id },
        advice: [{ to: "continue it", option: "mode", value: "resume" }],
      },
    );
  }
  const later = complete.find((version) => version.number > number);
  if (later !== undefined) {
    throw chainError(
      "link",
      `version ${later.id} is there already: ${versionText(number)} would come before it`,
      undefined,
      { file: path, version: later.id },
      { advice: [{ to: "give a later number", option: "version", value: String((newest?.number ?? number) + 1) }] },
    );
  }
  if (before !== undefined) {
    await refuseOtherVersion(raw, before, versions);
  }
  const base = before?.number ?? number - 1;
  const head = before === undefined ? null : { id: before.id, sums: await newestSums(before, versions, options) };
  return { number, base, head };
}

/** Refuses a folder that has weights of its own. @throws {WeightDiffError} OUTPUT_REFUSED. */
async function refuseModel(path: string): Promise<void> {
  const folder = await findAnyFolder(path, null);
  if (folder !== null && findHuggingface(new Set(folder.files.map(({ file }) => file))) !== null) {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      "holds a model, and no version of a chain",
      "give the directory of the chain, or one that is not there yet",
      { at: { file: path } },
    );
  }
}

/** The newest checksum of every tensor, from the version back to the start of its chain, or to the first version that is missing. */
async function newestSums(
  head: ListedVersion,
  versions: readonly ListedVersion[],
  options: RunOptions,
): Promise<ReadonlyMap<string, NewestSum>> {
  const sums = new Map<string, NewestSum>();
  let version: Version | null = await head.open();
  while (version !== null) {
    const { id, base, payloads, checkpoint }: Version = version;
    for (const [name, { checksum }] of payloads) {
      if (checksum !== null && !sums.has(name)) {
        sums.set(name, { algorithm: checksum.algorithm, hex: checksum.hex, version: id });
      }
    }
    for (const [name, hex] of checkpoint === null ? [] : await digestsOf(checkpoint, options)) {
      sums.set(name, sums.get(name) ?? { algorithm: "sha256", hex, version: id });
    }
    const before: ListedVersion | undefined = versions.find(({ number }) => number === base);
    // Earlier versions may be removed or unfinished. Then their checksums are left out.
    version = (await before?.open().catch(() => null)) ?? null;
  }
  return sums;
}

/** sha256 of a full version's tensors: from its manifest, or else from the tensors themselves. */
async function digestsOf(full: Checkpoint, options: RunOptions): Promise<ReadonlyMap<string, string>> {
  const manifest = await readManifest(join(full.directory ?? "", MANIFEST)).catch(() => null); // most publishers write no manifest
  return manifest === null
    ? digestTensors(full, options)
    : new Map(manifest.tensors.map(({ name, sha256 }) => [name, sha256]));
}

/**
 * The manifest of a model that this tool materialised states its version. It is a version of this chain if its last step has the index of the version of
 * that name here. For a version of another chain, only the checksums decide. @throws {WeightDiffError} MISMATCH, `why` "wrong-base".
 */
async function refuseOtherVersion(raw: string, head: ListedVersion, versions: readonly ListedVersion[]): Promise<void> {
  if (!(await hasFile(raw, MANIFEST))) {
    return;
  }
  const manifest = await readManifest(join(raw, MANIFEST)).catch(() => null); // a manifest of another kind says nothing of versions
  const last = manifest?.operation === "materialize" ? manifest.chain.steps.at(-1) : undefined;
  if (last === undefined || last.index === null || last.version === head.id) {
    return;
  }
  const same = await versions
    .find(({ id }) => id === last.version)
    ?.head()
    .catch(() => null); // a version that cannot be read is not the same
  if (same?.index?.sha256 === last.index) {
    throw chainError(
      "wrong-base",
      `the model before is version ${last.version} of this chain, and the newest is ${head.id}`,
      "an update is made on the newest version: materialise that one, and give it",
      { file: raw, version: head.id },
    );
  }
}
