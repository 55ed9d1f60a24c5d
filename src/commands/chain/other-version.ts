/** The base is not the version that it is said to be: finds which version of the chain it is, by the checksums of the whole line. It runs only in that case. */
import { chainError } from "../../chain/chain.js";
import { lineOf } from "../../chain/line.js";
import { spelled } from "../../chain/path.js";
import type { TensorJob } from "../../engine/job/job.js";
import { updatesOf } from "../../engine/job/updates.js";
import { WeightDiffError } from "../../errors.js";
import type { ChecksumName } from "../../formats/checksum.js";
import { tensorBytes } from "../../formats/dtype.js";
import { DEFAULTS } from "../../plan/defaults.js";
import { type ExpectedSum, planUpdate } from "../../plan/plan-update.js";
import { readAll } from "../../run/read-jobs.js";
import type { RunOptions } from "../../run/run-plan.js";
import type { ChainSource } from "./source.js";

/** A tensor as it is, and after the first step of the line that changes it; null for a tensor that meets no step. */
interface Told {
  readonly sums: readonly ExpectedSum[];
  readonly asItIs: ReadonlyMap<ChecksumName, string>;
  readonly afterFirst: string | null;
}

export interface FoundVersion {
  readonly number: number;
  /** How many tensors were compared with what the version states. */
  readonly tensors: number;
}

/** Bytes of the base that are read of tensors besides those that are asked: the smallest that the line changes. */
const MORE_BYTES = 64e6;

/**
 * Which version of the line is the model? Every tensor of `names` must fit. The smallest other tensors that the line changes are compared
 * as they are, which takes no payload.
 * @returns null if no version fits. @throws {WeightDiffError} as readAll.
 */
export async function versionOf(
  source: ChainSource,
  names: ReadonlySet<string>,
  options: RunOptions,
): Promise<FoundVersion | null> {
  const { root, versions } = await lineOf(source.chain, source.path, source.baseVersion);
  const plan = planOf(source, versions);
  const sumsOf = ({ id }: TensorJob): readonly ExpectedSum[] => plan?.expected.get(id) ?? [];
  const changed = (plan?.jobs ?? []).filter((job): job is TensorJob => job.kind === "tensor" && sumsOf(job).length > 0);
  const asked = changed.filter(
    ({ name, updates }) => names.has(name) && updates?.sums.some(({ after }) => after === 1) === true,
  );
  const jobs = [...asked, ...smallest(changed.filter(({ name }) => !names.has(name)))];
  const algorithms = jobs.map((job) => [...new Set(sumsOf(job).map(({ checksum }) => checksum.algorithm))]);
  const questions = jobs.map((job, id): TensorJob => {
    const asItIs = (algorithms[id] ?? []).map((algorithm) => ({ after: 0, algorithm }));
    const { steps = [], sums = [] } = job.updates ?? {};
    const meets = id < asked.length;
    const first = meets ? sums.filter(({ after }) => after === 1) : [];
    const updates = updatesOf(meets ? steps.slice(0, 1) : [], { sums: [...first, ...asItIs], sumsOnly: true });
    return { ...job, id, output: null, updates };
  });
  const { results } = await readAll(plan?.inputs ?? [], questions, options);
  const told = jobs.map((job, id): Told => {
    const found = results.get(id)?.checksums ?? [];
    const [afterFirst = null, ...own] = id < asked.length ? found : [null, ...found];
    const asItIs = new Map((algorithms[id] ?? []).map((name, index) => [name, own[index] ?? ""]));
    return { sums: sumsOf(job), asItIs, afterFirst };
  });
  const number = new Map(versions.map((version) => [version.id, version.number]));
  const fits = ({ sums, asItIs, afterFirst }: Told, at: number): boolean | null => {
    const newest = sums.filter(({ version }) => (number.get(version) ?? 0) <= at).at(-1);
    if (newest !== undefined) {
      return asItIs.get(newest.checksum.algorithm) === newest.checksum.hex;
    }
    return afterFirst === null ? null : afterFirst === sums[0]?.checksum.hex;
  };
  for (const at of asked.length === 0 ? [] : [root, ...number.values()]) {
    const compared = told.flatMap((one) => fits(one, at) ?? []);
    if (compared.every((fit) => fit)) {
      return { number: at, tensors: compared.length };
    }
  }
  return null;
}

function smallest(jobs: readonly TensorJob[]): readonly TensorJob[] {
  const sized = jobs.map((job) => ({ job, bytes: tensorBytes(job.dtype, job.shape) ?? 0 }));
  sized.sort((a, b) => a.bytes - b.bytes);
  let bytes = 0;
  return sized.flatMap(({ job, bytes: own }) => {
    bytes += own;
    return own > 0 && bytes <= MORE_BYTES ? [job] : [];
  });
}

/** For example "by all 9 tensors that were compared". */
export function comparedText({ tensors }: FoundVersion): string {
  return tensors === 1 ? "by the only tensor that was compared" : `by all ${tensors} tensors that were compared`;
}

/** Plans all steps of the line, or only the wanted ones if the others do not fit the model. */
function planOf({ model, path }: ChainSource, versions: ChainSource["path"]["steps"]) {
  for (const steps of [versions, path.steps]) {
    try {
      return planUpdate(model, steps, new Map(), { ...DEFAULTS, everySum: true });
    } catch (error) {
      if (!(error instanceof WeightDiffError)) {
        throw error;
      }
    }
  }
  return null;
}

/** The error for a base that is another version than it is said to be. @param evidence as comparedText's. */
export function isOtherVersion(
  { chain, path, baseVersion, baseOption, model }: ChainSource,
  found: number,
  evidence: string,
): WeightDiffError {
  const [id, said, wanted] = [found, baseVersion, path.target.number].map((number) => spelled(chain, number));
  const at = { file: model.path, version: path.steps[0]?.id ?? path.target.id };
  if (found < baseVersion) {
    const advice = [{ to: "say so", option: baseOption, value: String(found) }];
    const what = `the base is version ${id} of this chain, and not ${said} (${evidence})`;
    return chainError("wrong-base", what, `give the model of version ${said}`, at, { advice });
  }
  if (found < path.target.number) {
    const advice = [{ to: "go on from there", option: baseOption, value: String(found) }];
    const what = `the base already is version ${id} of this chain (${evidence})`;
    return chainError("already-applied", what, undefined, at, { advice });
  }
  if (found > path.target.number) {
    const what = `the base already is version ${id} of this chain, later than the wanted ${wanted} (${evidence})`;
    return chainError(
      "already-applied",
      what,
      "updates cannot be undone: give the model that the chain starts from",
      at,
    );
  }
  const later = chain.versions.some(({ number }) => number > found);
  return chainError(
    "already-applied",
    `the base already is version ${id} of this chain, which is the wanted one (${evidence})`,
    "use it as it is: nothing is to be applied",
    at,
    { advice: later ? [{ to: "choose a later version", option: "to" }] : [] },
  );
}
