/** The base does not fit where it was said to stand: which version of the chain is it? Told by the checksums of the whole line, and looked for only then. */
import { chainError } from "../../chain/chain.js";
import { lineOf } from "../../chain/line.js";
import { spelled } from "../../chain/path.js";
import type { TensorJob } from "../../engine/job/job.js";
import { WeightDiffError } from "../../errors.js";
import type { ChecksumName } from "../../formats/checksum.js";
import { DEFAULTS } from "../../plan/defaults.js";
import { type ExpectedSum, planUpdate } from "../../plan/plan-update.js";
import { readAll } from "../../run/read-jobs.js";
import type { RunOptions } from "../../run/run-plan.js";
import type { ChainSource } from "./source.js";

/** A tensor as it is, and after the first step of the line that changes it. */
interface Told {
  readonly sums: readonly ExpectedSum[];
  readonly asItIs: ReadonlyMap<ChecksumName, string>;
  readonly afterFirst: string;
}

/**
 * @param names of the tensors that are asked. @returns the version that every one of them stands for; null where there is none.
 * @throws {WeightDiffError} as readAll.
 */
export async function versionOf(
  source: ChainSource,
  names: ReadonlySet<string>,
  options: RunOptions,
): Promise<number | null> {
  const { root, versions } = await lineOf(source.chain, source.path, source.baseVersion);
  const plan = planOf(source, versions);
  const jobs = (plan?.jobs ?? []).filter(
    (job): job is TensorJob =>
      job.kind === "tensor" && names.has(job.name) && job.updates?.sums.some(({ after }) => after === 1) === true,
  );
  const expected = jobs.map(({ id }) => plan?.expected.get(id) ?? []);
  const algorithms = expected.map((sums) => [...new Set(sums.map(({ checksum }) => checksum.algorithm))]);
  const asked = jobs.map((job, id): TensorJob => {
    const asItIs = (algorithms[id] ?? []).map((algorithm) => ({ after: 0, algorithm }));
    const first = (job.updates?.sums ?? []).filter(({ after }) => after === 1);
    return {
      ...job,
      id,
      output: null,
      updates: { steps: job.updates?.steps.slice(0, 1) ?? [], sums: [...first, ...asItIs], sumsOnly: true },
    };
  });
  const { results } = await readAll(plan?.inputs ?? [], asked, options);
  const told = jobs.map((_, id): Told => {
    const [afterFirst = "", ...own] = results.get(id)?.checksums ?? [];
    const asItIs = new Map((algorithms[id] ?? []).map((name, index) => [name, own[index] ?? ""]));
    return { sums: expected[id] ?? [], asItIs, afterFirst };
  });
  const number = new Map(versions.map((version) => [version.id, version.number]));
  const stands = (at: number): boolean =>
    told.every(({ sums, asItIs, afterFirst }) => {
      const newest = sums.filter(({ version }) => (number.get(version) ?? 0) <= at).at(-1);
      return newest === undefined
        ? afterFirst === sums[0]?.checksum.hex
        : asItIs.get(newest.checksum.algorithm) === newest.checksum.hex;
    });
  return told.length === 0 ? null : ([root, ...number.values()].find(stands) ?? null);
}

/** The wanted steps alone, where the others do not fit the model. */
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

/** The base is this version, and not the one that it was said to be. @param evidence "9 of 9 probed tensors". */
export function isOtherVersion(
  { chain, path, baseVersion, model }: ChainSource,
  found: number,
  evidence: string,
): WeightDiffError {
  const [id, said, wanted] = [found, baseVersion, path.target.number].map((number) => spelled(chain, number));
  const at = { file: model.path, version: path.steps[0]?.id ?? path.target.id };
  if (found < baseVersion) {
    const advice = [{ to: "say so", option: "baseVersion", value: String(found) }];
    const what = `the base is version ${id} of this chain, and not ${said} (${evidence})`;
    return chainError("wrong-base", what, `give the model of version ${said}`, at, { advice });
  }
  if (found < path.target.number) {
    const advice = [{ to: "go on from there", option: "baseVersion", value: String(found) }];
    return chainError(
      "already-applied",
      `the base already is version ${id} of this chain (${evidence})`,
      undefined,
      at,
      {
        advice,
      },
    );
  }
  if (found > path.target.number) {
    const what = `the base already is version ${id} of this chain, later than the wanted ${wanted} (${evidence})`;
    return chainError("already-applied", what, "no update is undone: give the model that the chain starts from", at);
  }
  const later = chain.versions.some(({ number }) => number > found);
  return chainError(
    "already-applied",
    `the base already is version ${id} of this chain, which is the wanted one (${evidence})`,
    "nothing is to be applied",
    at,
    { advice: later ? [{ to: "choose a later version", option: "to" }] : [] },
  );
}
