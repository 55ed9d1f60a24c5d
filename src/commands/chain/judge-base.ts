/**
 * Is the base the model that the chain starts from? This is judged before anything is written. The first step that changes a tensor is applied to
 * some tensors, which must then have its checksum. If they do not, the base may be another version of the chain, or another model.
 */
import { dirname } from "node:path";
import type { Say } from "../../advice.js";
import { chainError, type Version } from "../../chain/chain.js";
import { spelled } from "../../chain/path.js";
import type { TensorJob } from "../../engine/job/job.js";
import { updatesOf } from "../../engine/job/updates.js";
import type { WeightDiffError } from "../../errors.js";
import { tensorBytes } from "../../formats/dtype.js";
import type { ExpectedSum, UpdatePlan } from "../../plan/plan-update.js";
import { readAll } from "../../run/read-jobs.js";
import type { RunOptions } from "../../run/run-plan.js";
import { checksumError } from "./checksums.js";
import { type EngineState, engineState, heldLock } from "./engine-state.js";
import { comparedText, type FoundVersion, isOtherVersion, versionOf } from "./other-version.js";
import type { ChainSource } from "./source.js";

/** Tensors are probed until there are at least so many, with at least so many bytes, but never with more than `most` bytes together. */
const ENOUGH = { bytes: 64e6, tensors: 3, most: 512e6 };

interface Probe {
  readonly job: TensorJob;
  readonly first: ExpectedSum;
}

export interface Judging extends RunOptions {
  readonly onNote?: Say;
  readonly onWarning?: Say;
}

/**
 * @param plan of the path's steps. @returns how many tensors prove the base; 0 if the chain states no checksums.
 * @throws {WeightDiffError} with `why` "already-applied", "wrong-base", "checksum"; as readAll.
 */
export async function judgeBase(source: ChainSource, plan: UpdatePlan, asked: Judging): Promise<number> {
  const { chain, path, baseVersion } = source;
  const engine = await askEngine(source, asked);
  // This takes only a moment. The shown progress is that of the run.
  const options = { ...asked, onProgress: undefined };
  const probes = chooseProbes(plan, path.steps);
  const other = engine !== null && engine.version !== null && engine.version !== baseVersion ? engine.version : null;
  if (probes.length === 0) {
    if (other !== null) {
      throw isOtherVersion(source, other, `${engine?.file} says so, and no checksum can tell`);
    }
    return 0;
  }
  const { results } = await readAll(plan.inputs, probes.map(probeJob), here(plan, options));
  const found = probes.map((_, id) => results.get(id)?.checksums?.[0] ?? "");
  const wrong = probes.findIndex(({ first }, id) => found[id] !== first.checksum.hex);
  const probe = probes[wrong];
  if (probe === undefined) {
    if (other !== null) {
      const what = `says that the base is version ${spelled(chain, other)}, and by their checksums ${probes.length} of its tensors are what version ${path.steps[0]?.id} is made on`;
      options.onNote?.(`${engine?.file} ${what}`);
    }
    return probes.length;
  }
  const at = await versionOf(source, new Set(probes.map(({ job }) => job.name)), options);
  if (at !== null && at.number !== baseVersion) {
    throw isOtherVersion(source, at.number, comparedText(at));
  }
  const count = `${probes.length} probed tensor${probes.length === 1 ? "" : "s"}`;
  const fit = probes.filter(({ first }, id) => found[id] === first.checksum.hex).length;
  const first = new Set(probes.map(({ first: { version } }) => path.steps.find(({ id }) => id === version)?.place));
  const [place] = first.size === 1 ? first : ["its first step"];
  const stated = `the checksum of ${place}`;
  throw unlike(source, probe, found[wrong] ?? "", { fit, count, stated, said: at, engine });
}

/** Probes in this thread: starting threads would take as long, and those of the run start meanwhile. Inputs over the network are read by several threads. */
function here({ inputs }: UpdatePlan, options: RunOptions): RunOptions {
  return inputs.every(({ hub }) => hub === undefined) ? { ...options, threads: 0 } : options;
}

interface Unlike {
  /** How many tensors fit, and of how many: "9 probed tensors". */
  readonly fit: number;
  readonly count: string;
  /** The checksum that they must have: "the checksum of weight_v000001". */
  readonly stated: string;
  /** The version that the base is said to be, if the base has all of its checksums. */
  readonly said: FoundVersion | null;
  readonly engine: EngineState | null;
}

function unlike(
  { chain, path, model }: ChainSource,
  { job, first }: Probe,
  found: string,
  { fit, count, stated, said, engine }: Unlike,
): WeightDiffError {
  const says =
    engine === null || engine.version === null
      ? ""
      : `${engine.file} says that an engine made it version ${spelled(chain, engine.version)}: `;
  if (fit === 0 && said === null) {
    return chainError(
      "wrong-base",
      `the base is another one: none of ${count} has ${stated}`,
      `${says}give the model that the trainer started from, in the dtype that it is published in`,
      { file: model.path, version: path.steps[0]?.id ?? first.version, tensor: job.name },
    );
  }
  const error = checksumError(job.name, first, found);
  const why =
    said !== null
      ? `the base is what it is said to be, ${comparedText(said)}: the payload is damaged, or its checksum, so fetch this version again`
      : `${fit} of ${count} fit: fetch this version again; if the others still differ, give the model that the trainer started from`;
  return chainError("checksum", error.fact, `${says}${why}`, { ...error.at });
}

function chooseProbes({ jobs }: UpdatePlan, steps: readonly Version[]): readonly Probe[] {
  const touched = jobs.flatMap((job): readonly (Probe & { readonly bytes: number })[] => {
    if (job.kind !== "tensor") {
      return [];
    }
    const first = firstSum(job.name, steps);
    const bytes = tensorBytes(job.dtype, job.shape) ?? 0;
    // A tensor without bytes proves nothing.
    return first === undefined || bytes === 0 ? [] : [{ job, first, bytes }];
  });
  touched.sort((a, b) => a.bytes - b.bytes);
  const chosen: Probe[] = [];
  let bytes = 0;
  for (const probe of touched) {
    const enough = bytes >= ENOUGH.bytes && chosen.length >= ENOUGH.tensors;
    if (enough || (chosen.length > 0 && bytes + probe.bytes > ENOUGH.most)) {
      break;
    }
    chosen.push(probe);
    bytes += probe.bytes;
  }
  return chosen;
}

/** The checksum after the first step that changes the tensor; undefined if the chain states none. */
function firstSum(name: string, steps: readonly Version[]): ExpectedSum | undefined {
  const step = steps.find(({ payloads }) => payloads.has(name));
  const { checksum = null, shard } = step?.payloads.get(name) ?? {};
  return step === undefined || shard === undefined || checksum === null
    ? undefined
    : { version: step.id, file: shard.path, checksum };
}

function probeJob({ job, first }: Probe, id: number): TensorJob {
  const steps = job.updates?.steps.slice(0, 1) ?? [];
  const sums = [{ after: 1, algorithm: first.checksum.algorithm }];
  return { ...job, id, updates: updatesOf(steps, { sums, sumsOnly: true }), output: null };
}

/** @throws {WeightDiffError} with `why` "wrong-base" where an engine was stopped while it wrote. */
async function askEngine(
  { model, chain }: ChainSource,
  { onWarning }: Pick<Judging, "onWarning">,
): Promise<EngineState | null> {
  const directory = model.directory ?? (model.shards[0] === undefined ? null : dirname(model.shards[0].path));
  if (directory === null) {
    return null;
  }
  const lock = await heldLock(directory);
  if (lock !== null) {
    onWarning?.(`a process holds ${lock}: an engine may be changing the base's files in place while they are read`);
  }
  const engine = await engineState(directory);
  if (engine?.half === true) {
    const from = engine.version === null ? "" : ` from version ${spelled(chain, engine.version)}`;
    throw chainError(
      "wrong-base",
      `an engine was changing these files in place${from}, and did not finish`,
      "give the checkpoint that the engine started from",
      { file: engine.file },
    );
  }
  return engine;
}
