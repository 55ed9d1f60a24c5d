/**
 * Is the base the model that the chain starts from? Judged before anything is written: some tensors meet the first step that changes
 * them, and must then have its checksum. Where they do not, the base may be a later version already, or another model.
 */
import { join } from "node:path";
import { chainError } from "../../chain/chain.js";
import { fieldsOf, numberOf } from "../../chain/small-file.js";
import type { TensorJob } from "../../engine/job/job.js";
import { WeightDiffError } from "../../errors.js";
import { readText } from "../../files/small-files.js";
import type { ChecksumName } from "../../formats/checksum.js";
import { tensorBytes } from "../../formats/dtype.js";
import { parseJson } from "../../formats/json.js";
import type { ExpectedSum, UpdatePlan } from "../../plan/plan-update.js";
import { readAll } from "../../run/read-jobs.js";
import type { RunOptions } from "../../run/run-plan.js";
import { checksumError } from "./checksums.js";
import type { ChainSource } from "./source.js";

/** Bytes of the base: read until this many of at least so many tensors are judged, and never more than the last. */
const ENOUGH = { bytes: 64e6, tensors: 3, most: 512e6 };

interface Probe {
  readonly job: TensorJob;
  readonly first: ExpectedSum;
  /** All of its checksums, in the order of the steps. */
  readonly sums: readonly ExpectedSum[];
  readonly algorithms: readonly ChecksumName[];
}

interface Judged extends Probe {
  /** After its first step. */
  readonly found: string;
  /** Of the base as it is, by algorithm. */
  readonly asItIs: ReadonlyMap<ChecksumName, string>;
}

/**
 * @param every the plan with all checksums. @returns how many tensors the base is proven by; 0 where the chain states no checksums.
 * @throws {WeightDiffError} with `why` "already-applied", "wrong-base", "checksum"; as readAll.
 */
export async function judgeBase(
  { chain, path, model }: ChainSource,
  every: UpdatePlan,
  options: RunOptions,
): Promise<number> {
  await refuseHalfWritten(model.directory);
  const probes = chooseProbes(every);
  if (probes.length === 0) {
    return 0;
  }
  const { results } = await readAll(every.inputs, probes.map(probeJob), options);
  const judged = probes.map((probe, id): Judged => {
    const [found = "", ...own] = results.get(id)?.checksums ?? [];
    return { ...probe, found, asItIs: new Map(probe.algorithms.map((name, index) => [name, own[index] ?? ""])) };
  });
  const wrong = judged.filter((probe) => !fits(probe));
  const [first] = wrong;
  if (first === undefined) {
    return judged.length;
  }
  const count = `${judged.length} probed tensor${judged.length === 1 ? "" : "s"}`;
  const already = path.steps.find((_, index) =>
    isAt(judged, new Set(path.steps.slice(0, index + 1).map(({ id }) => id))),
  );
  const at = { file: model.path, version: path.steps[0]?.id ?? first.first.version, tensor: first.job.name };
  if (already !== undefined) {
    throw chainError(
      "already-applied",
      `the base already is version ${already.id} of this chain (${judged.length} of ${count})`,
      undefined,
      at,
      { advice: [{ to: "go on from there", option: "baseVersion", value: String(already.number) }] },
    );
  }
  if (wrong.length === judged.length) {
    const [one] = path.steps;
    throw chainError(
      "wrong-base",
      `the base is another one: none of ${count} has the checksum of ${one?.place ?? chain.path}`,
      "give the model that the trainer started from, in the dtype that it is published in",
      at,
    );
  }
  const error = checksumError(first.job.name, first.first, first.found);
  throw chainError(
    "checksum",
    error.fact,
    `${judged.length - wrong.length} of ${count} fit: the payload is damaged, or the base differs from the trainer's in the others`,
    { ...error.at },
  );
}

function chooseProbes({ jobs, expected }: UpdatePlan): readonly Probe[] {
  const touched = jobs.flatMap((job): readonly (Probe & { readonly bytes: number })[] => {
    if (job.kind !== "tensor" || job.updates === undefined) {
      return [];
    }
    const sums = expected.get(job.id) ?? [];
    const at = job.updates.sums.findIndex(({ after }) => after === 1);
    const first = sums[at];
    const algorithms = [...new Set(sums.map(({ checksum }) => checksum.algorithm))];
    const bytes = tensorBytes(job.dtype, job.shape) ?? 0;
    // Nothing can be told by a tensor without bytes.
    return first === undefined || bytes === 0 ? [] : [{ job, first, sums, algorithms, bytes }];
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

function probeJob({ job, first, algorithms }: Probe, id: number): TensorJob {
  const steps = job.updates?.steps.slice(0, 1) ?? [];
  const asItIs = algorithms.map((algorithm) => ({ after: 0, algorithm }));
  const sums = [{ after: 1, algorithm: first.checksum.algorithm }, ...asItIs];
  return { ...job, id, updates: { steps, sums }, output: null };
}

function fits({ found, first }: Judged): boolean {
  return found === first.checksum.hex;
}

/** Is every tensor what it is after these versions? One that none of them changes must be what its own first step expects. */
function isAt(judged: readonly Judged[], versions: ReadonlySet<string>): boolean {
  return judged.every((probe) => {
    const newest = probe.sums.filter(({ version }) => versions.has(version)).at(-1);
    return newest === undefined ? fits(probe) : probe.asItIs.get(newest.checksum.algorithm) === newest.checksum.hex;
  });
}

/** What engines leave beside a checkpoint that they change in place (sglang's local_checkpoint.py; SkyRL's delta_checkpoint.py). */
const STATES = [join(".weight_sync", "state.json"), join(".skyrl_weight_sync", "state.json")];
const MOST_STATE = 100_000;

/** @throws {WeightDiffError} with `why` "wrong-base" where an engine was stopped while it wrote. */
async function refuseHalfWritten(directory: string | null): Promise<void> {
  for (const state of directory === null ? [] : STATES) {
    const path = join(directory ?? "", state);
    const record = await readText(path, MOST_STATE)
      .then((text) => fieldsOf(parseJson(text, path, "python")))
      .catch(() => null); // without one, or with one that says nothing, the checksums decide alone
    if (record?.get("write_in_progress") === true || record?.get("valid") === false) {
      const version = numberOf(record.get("version"));
      throw new WeightDiffError(
        "MISMATCH",
        `an engine was changing these files in place${version === null ? "" : ` from version ${version}`}, and did not finish`,
        "give the checkpoint that the engine started from",
        { at: { file: path }, why: "wrong-base" },
      );
    }
  }
}
