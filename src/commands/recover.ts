/**
 * recover: base + diff -> the fine-tuned model. Open both, refuse what can be refused, plan, stream, give final names.
 * The result is that of `recover` in the reference scripts, to the last bit (scheme/scheme.ts names them).
 */

import { verifyModel } from "../check/model.js";
import { readPublished, refuseOtherBase, refuseOtherResult } from "../check/published.js";
import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.js";
import { configOf } from "../checkpoint/config.js";
import { WeightDiffError } from "../errors.js";
import type { Choice } from "../evidence/choose-scheme.js";
import { guardBase, guardRoles, type Inputs } from "../evidence/guards.js";
import type { SampledPair } from "../evidence/sample.js";
import { decideScheme, type SchemeOptions, summedPart, withFlags } from "../evidence/scheme.js";
import { refuseUngathered } from "../evidence/ungathered.js";
import { torchName } from "../formats/dtype.js";
import type { Hub } from "../hub/place.js";
import {
  foresee,
  identityOf,
  MAX_SHARD_SIZE,
  type MakingOptions,
  prepareDestination,
  runInto,
  smallFiles,
} from "../make/destination.js";
import { overflowOf, warnOverflow, writtenTensors } from "../make/outcome.js";
import { filesOf, MANIFEST_SCHEMA, type RecoverManifest, sourceOf, writeManifest } from "../manifest/manifest.js";
import { type ExactRecord, readExactRecord } from "../plan/exact.js";
import { alignNames } from "../plan/names.js";
import { type Plan, planRecover, type RecoverPlanOptions } from "../plan/plan.js";
import { withHub } from "../run/inputs.js";
import { refuseQuantised } from "../run/preflight.js";
import { clock, type RunResult } from "../run/run-plan.js";
import type { Scheme } from "../scheme/axes.js";
import { refuseRoundedMean } from "../scheme/custom.js";
import type { NaiveSums } from "../sums/naive.js";
import { buffersOf, judgeRecovered, sumRecovered } from "../sums/recovered.js";
import { statedSum } from "../sums/stated.js";
import { VERSION } from "../version.js";
import { tellDestination, tellPlan } from "./recover/notes.js";
import { draftReport, filesReport, type RecoverReport } from "./recover/report.js";
import { xorFiles } from "./xor/files.js";
import { findXorPayload } from "./xor/payload.js";

export interface RecoverOptions extends MakingOptions, SchemeOptions {
  /** The base model: a directory (Meta's own too), a weight file, a Hub cache folder, or the name of a repository. */
  readonly raw: string;
  readonly diff: string;
  /** Where the model goes; null computes and checks everything and writes nothing. */
  readonly tuned?: string | null;
  /** Of the float tensors written. */
  readonly dtype?: "F32" | "F16" | "BF16";
  /** A sum to hold the result against; "known" takes the published one, if there is one. */
  readonly expectSum?: number | "known" | null;
}

/**
 * Recovers the model. @throws {WeightDiffError} with any code of errors.ts; CHECK_FAILED if the result is not what the diff's own
 * manifest says. A naive sum that does not fit is in the report, since the output stays.
 */
export async function recover(options: RecoverOptions): Promise<RecoverReport> {
  return withHub(options, recoverWith);
}

async function recoverWith(options: RecoverOptions & { readonly hub: Hub }): Promise<RecoverReport> {
  const started = performance.now();
  const say = options.onNote ?? (() => {});
  const payload = await findXorPayload({ ...options, scheme: options.scheme ?? "auto" });
  if (payload !== null) {
    refuseTensorFlags(options);
    if ((options.threads ?? null) !== null || options.directIo === false) {
      say(
        "--threads and --no-direct-io are for tensors: whole files are XORed one after another, through the page cache",
      );
    }
    return filesReport(await xorFiles(payload, { ...options, output: options.tuned ?? null }));
  }
  const inputs = await openBoth(options);
  const { raw, diff, diffConfig } = inputs;
  refuseUngathered(raw, diff, "diff");
  const { choice, judged, sample } = await chooseAndGuard(inputs, options);
  const { scheme } = choice;
  const plan = planRecover(raw, diff, planOptions(scheme, inputs, options));
  await tellPlan(plan, raw, diff, scheme, options.rows ?? scheme.newRows, say);
  const stated = await statedSum(diff, scheme);
  const published = options.ignore?.includes("wrong-base") === true ? null : await readPublished(diff);
  const proven = published === null ? 0 : await refuseOtherBase(raw, published);
  if (proven === 0) {
    guardBase(judged, sample, scheme.operation === "add" && scheme.arithmetic === "F32", options);
  } else {
    say(`the base is the one the diff was made from, by ${proven} of its tensors' digests`);
  }

  const elseBase = scheme.sideFiles === "diff, else base";
  const destination = await prepareDestination(options.tuned ?? null, options.mode ?? "new", plan, raw, diff, {
    elseBase,
  });
  const draft = draftReport(choice, plan, destination);
  if (destination?.mode === "verify") {
    const { tensors } = await verifyModel(destination.path, madeOf(plan, raw, diff), options);
    return { ...draft, tensors, outcome: "verified", bytesRead: plan.totalSize, ...clock(started) };
  }
  if (destination !== null) {
    tellDestination(destination, plan, diffConfig, say);
  }
  if (options.dryRun === true) {
    return { ...draft, ...(await foresee(plan, options)), ...clock(started) };
  }

  const buffers = buffersOf(plan, raw, inputs.rawConfig);
  const identity = identityOf(plan, {
    "--scheme": plan.scheme,
    "--dtype": dtypeText(plan),
    "--inv-freq": options.invFreq ?? "drop",
    "--rows": options.rows ?? "by the scheme",
  });
  const run = await runInto(destination, plan, identity, options, async (finished) => {
    if (published !== null) {
      const compared = refuseOtherResult(plan, finished, published);
      say(
        `${compared} of ${plan.order.length} recovered tensors compared with the diff's manifest: all as they must be`,
      );
    }
    const manifest = manifestOf(plan, finished, raw, diff, sumRecovered(plan, finished, buffers).sums);
    return {
      extras: smallFiles(plan, diffConfig, destination?.side ?? null, destination?.fromBase),
      manifest: writeManifest(manifest),
    };
  });
  const recovered = sumRecovered(plan, run, buffers);
  const sumCheck = judgeRecovered(recovered, stated, diff, buffers, options);
  const overflow = overflowOf(plan, run);
  const remedy = scheme.arithmetic === "F16" ? "the script computes in float16 and has them too" : undefined;
  warnOverflow(overflow, dtypeText(plan), options, remedy);
  return {
    ...draft,
    outcome: destination === null ? "checked" : "recovered",
    tensors: writtenTensors(plan, run),
    sums: recovered.sums,
    tensorSums: recovered.byTensor,
    sumCheck,
    overflow,
    bytesRead: run.read,
    bytesWritten: run.written,
    threads: run.threads,
    resumed: run.resumed,
    ...clock(started),
  };
}

/** Reads headers and configs of both. */
async function openBoth(options: RecoverOptions & { readonly hub: Hub }): Promise<Inputs> {
  const raw = await openCheckpoint(options.raw, options.hub);
  const rawConfig = await configOf(raw);
  refuseQuantised(raw, "base", rawConfig);
  const diff = await openCheckpoint(options.diff, options.hub);
  const diffConfig = await configOf(diff);
  refuseQuantised(diff, "diff", diffConfig);
  const aligned = alignNames(raw, diff, "diff");
  return { raw: aligned.raw, diff: aligned.driver, rawConfig, diffConfig };
}

interface Chosen {
  readonly choice: Choice;
  /** What the guards judge: of the diff, the part that is one. */
  readonly judged: Inputs;
  readonly sample: readonly SampledPair[];
}

/** Guards speak first: what is no diff has no scheme, and they know why. @throws {WeightDiffError} SCHEME_UNKNOWN, USAGE, as guardRoles. */
async function chooseAndGuard(inputs: Inputs, options: RecoverOptions): Promise<Chosen> {
  const decided = await decideScheme(options, inputs);
  const judged =
    decided instanceof WeightDiffError ? inputs : { ...inputs, diff: summedPart(inputs.diff, decided.scheme) };
  const sample = await guardRoles(judged, options);
  if (decided instanceof WeightDiffError) {
    throw decided;
  }
  const scheme = withFlags(decided.scheme, options);
  if (options.variants?.includes("low_cpu_mem") === true && scheme === decided.scheme) {
    options.onNote?.("--low-cpu-mem: memory is always small");
  }
  refuseRoundedMean(options.rows ?? scheme.newRows, scheme.arithmetic);
  options.onNote?.(`scheme ${scheme.name}: ${decided.reason}`);
  return { choice: { ...decided, scheme }, judged, sample };
}

function planOptions(
  scheme: Scheme,
  { diff, rawConfig, diffConfig }: Inputs,
  options: RecoverOptions,
): RecoverPlanOptions {
  return {
    scheme,
    dtype: options.dtype ?? null,
    maxShardSize: options.maxShardSize ?? MAX_SHARD_SIZE,
    invFreq: options.invFreq ?? "drop",
    rows: options.rows ?? null,
    ropeTheta: rawConfig?.ropeTheta ?? diffConfig?.ropeTheta ?? 10_000,
    rawTied: rawConfig?.tied ?? null,
    modelType: diffConfig?.modelType ?? rawConfig?.modelType ?? null,
    diffTied: diffConfig?.tied ?? null,
    exact: scheme.operation === "add-bits" ? exactRecord(options, diff) : null,
  };
}

/** @throws {WeightDiffError} USAGE for what only tensors have. */
function refuseTensorFlags({ dtype, expectSum, rows }: RecoverOptions): void {
  const flag =
    dtype !== undefined
      ? "--dtype"
      : typeof expectSum === "number"
        ? "--expect-sum"
        : (rows ?? null) !== null
          ? "--rows"
          : null;
  if (flag !== null) {
    throw new WeightDiffError(
      "USAGE",
      `${flag}: this payload gives whole files, byte for byte, and no tensor is computed`,
      `leave ${flag} out`,
    );
  }
}

/** What an exact diff says of its tensors, which have their own dtypes. @throws {WeightDiffError} USAGE if another one is asked for. */
function exactRecord(options: RecoverOptions, diff: Checkpoint): ExactRecord {
  if (options.dtype !== undefined) {
    throw new WeightDiffError(
      "USAGE",
      "--dtype: an exact diff gives every tensor the dtype of the tuned model",
      "leave --dtype out",
    );
  }
  return readExactRecord(diff);
}

/** As config.json spells it. */
function dtypeText(plan: Plan): string {
  const mixed = plan.scheme === "exact" ? "as in the tuned model" : "as stored";
  return plan.dtype === null ? mixed : (torchName(plan.dtype) ?? plan.dtype);
}

function madeOf(plan: Plan, raw: Checkpoint, diff: Checkpoint) {
  const made = { operation: "recover", scheme: plan.scheme, dtype: dtypeText(plan) } as const;
  return { ...made, raw: sourceOf(raw), diff: sourceOf(diff) };
}

function manifestOf(plan: Plan, run: RunResult, raw: Checkpoint, diff: Checkpoint, sums: NaiveSums): RecoverManifest {
  const finite = (sum: number): number | null => (Number.isFinite(sum) ? sum : null);
  return {
    schema: MANIFEST_SCHEMA,
    tool: `weight-diff ${VERSION}`,
    ...madeOf(plan, raw, diff),
    tensors: writtenTensors(plan, run),
    files: filesOf(plan),
    sums: { without_inv_freq: finite(sums.withoutInvFreq), with_inv_freq: finite(sums.withInvFreq) },
  };
}
