/**
 * recover: base + diff -> the fine-tuned model. Open both, refuse what can be refused, plan, stream, give final names.
 * The result is that of `recover` in the reference scripts, to the last bit (scheme.ts names them).
 */
import { basename } from "node:path";
import { rowsKept } from "./added-tokens.js";
import { type Checkpoint, openCheckpoint } from "./checkpoint/checkpoint.js";
import { configOf } from "./checkpoint/config.js";
import type { Hub } from "./checkpoint/hub-place.js";
import type { Choice } from "./choose-scheme.js";
import { refuseRoundedMean } from "./custom-scheme.js";
import {
  type Destination,
  identityOf,
  MAX_SHARD_SIZE,
  type MakingOptions,
  type MakingReport,
  plannedReport,
  prepareDestination,
  runInto,
  smallFiles,
} from "./destination.js";
import { WeightDiffError } from "./errors.js";
import { type ExactRecord, readExactRecord } from "./exact.js";
import { torchName } from "./formats/dtype.js";
import { printable } from "./formats/quote.js";
import { guardBase, guardRoles, type Inputs } from "./guards.js";
import { fetchNote, withHub } from "./inputs.js";
import { sumOfRepo } from "./known-sums.js";
import { filesOf, MANIFEST_SCHEMA, type RecoverManifest, sourceOf, writeManifest } from "./manifest.js";
import { computedInvFreq, judgeSum, type NaiveSums, naiveSums, type SumVerdict } from "./naive-sum.js";
import { INV_FREQ } from "./pair.js";
import { type Plan, planRecover, planTraffic } from "./plan.js";
import { refuseQuantised } from "./preflight.js";
import { readPublished, refuseOtherBase, refuseOtherResult } from "./published.js";
import { decideScheme, type SchemeOptions, summedPart, withFlags } from "./recover-scheme.js";
import { overflowOf, warnOverflow, writtenTensors } from "./run-outcome.js";
import { clock, type RunResult } from "./run-plan.js";
import type { Scheme } from "./scheme-axes.js";
import { statedSum } from "./stated-sum.js";
import { verifyModel } from "./verify-model.js";
import { VERSION } from "./version.js";
import { type XorReport, xorFiles } from "./xor-files.js";
import { findXorPayload } from "./xor-payload.js";

export interface RecoverOptions extends MakingOptions, SchemeOptions {
  /** The base model: a directory, a weight file, or a Hub cache folder. */
  readonly raw: string;
  readonly diff: string;
  /** Where the model goes; null computes and checks everything and writes nothing. */
  readonly tuned?: string | null;
  /** Of the float tensors written. */
  readonly dtype?: "F32" | "F16" | "BF16";
  /** A sum to hold the result against; "known" takes the published one, if there is one. */
  readonly expectSum?: number | "known" | null;
}

export interface RecoverReport extends MakingReport {
  readonly scheme: string;
  readonly schemeReason: string;
  /** Of the float tensors; null if each has that of the tuned model. */
  readonly dtype: "F32" | "F16" | "BF16" | null;
  /** "planned": a dry run. "verified": the output was complete already. */
  readonly outcome: "recovered" | "checked" | "planned" | "verified";
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly sha256: string;
  }[];
  readonly sums: NaiveSums | null;
  readonly sumCheck: SumVerdict | null;
  /** Finite values that the output dtype cannot hold, by tensor. */
  readonly overflow: ReadonlyMap<string, number>;
  /** Only where whole files were XORed: there are no tensors then. */
  readonly xor?: XorReport;
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
  const { raw, diff, rawConfig, diffConfig } = inputs;
  const decided = await decideScheme(options, inputs);
  const judged = decided instanceof WeightDiffError ? inputs : { ...inputs, diff: summedPart(diff, decided.scheme) };
  const sample = await guardRoles(judged, options);
  if (decided instanceof WeightDiffError) {
    throw decided;
  }
  const choice = { ...decided, scheme: withFlags(decided.scheme, options) };
  if (options.variants?.includes("low_cpu_mem") === true && choice.scheme === decided.scheme) {
    say("--low-cpu-mem: memory is always small");
  }
  refuseRoundedMean(options.rows ?? choice.scheme.newRows, choice.scheme.arithmetic);
  say(`scheme ${choice.scheme.name}: ${choice.reason}`);
  const plan = planRecover(raw, diff, {
    scheme: choice.scheme,
    dtype: options.dtype ?? null,
    maxShardSize: options.maxShardSize ?? MAX_SHARD_SIZE,
    invFreq: options.invFreq ?? "drop",
    rows: options.rows ?? null,
    ropeTheta: rawConfig?.ropeTheta ?? diffConfig?.ropeTheta ?? 10_000,
    rawTied: rawConfig?.tied ?? null,
    diffTied: diffConfig?.tied ?? null,
    exact: choice.scheme.operation === "add-bits" ? exactRecord(options, diff) : null,
  });
  plan.notes.forEach(say);
  if (choice.scheme.mends !== undefined) {
    say(choice.scheme.mends);
  }
  for (const [name, rows] of plan.newRows) {
    const rule = options.rows ?? choice.scheme.newRows;
    say(`${printable(name)}: ${rows} new ${rows === 1 ? "row" : "rows"} ${newRowsText(rule, raw, name, rows)}`);
  }
  const kept = plan.newRows.size === 0 ? await rowsKept(raw, diff) : null;
  if (kept !== null) {
    say(kept);
  }
  const stated = await statedSum(diff, choice.scheme);
  const published = options.ignore?.includes("wrong-base") === true ? null : await readPublished(diff);
  const proven = published === null ? 0 : await refuseOtherBase(raw, published);
  if (proven === 0) {
    guardBase(judged, sample, choice.scheme.operation === "add" && choice.scheme.arithmetic === "F32", options);
  } else {
    say(`the base is the one the diff was made from, by ${proven} of its tensors' digests`);
  }
  const destination = await prepareDestination(
    options.tuned ?? null,
    options.mode ?? "new",
    plan,
    raw,
    diff,
    choice.scheme.sideFiles === "diff, else base",
  );
  const draft = draftReport(choice, plan, destination);
  if (destination?.mode === "verify") {
    const made = {
      operation: "recover",
      scheme: plan.scheme,
      dtype: dtypeText(plan),
      raw: sourceOf(raw),
      diff: sourceOf(diff),
    };
    const { tensors } = await verifyModel(destination.path, made, options);
    return { ...draft, tensors, outcome: "verified", bytesRead: plan.totalSize, ...clock(started) };
  }
  if (destination !== null && destination.fromBase.length > 0) {
    say(
      `the diff has no tokenizer: taken from the base: ${destination.fromBase.map((path) => printable(basename(path))).join(", ")}`,
    );
  }
  if (destination !== null && destination.side.left.length > 0) {
    say(`not copied from the diff: ${destination.side.left.map(printable).join(", ")}`);
  }
  if (destination !== null && diffConfig === null) {
    say(
      `the diff brings no config.json, so none is written, and loaders need one: take the base's, with the vocab_size ${plan.vocabSize ?? "of the diff"}`,
    );
  }
  if (options.dryRun === true) {
    const fetching = await fetchNote(plan.inputs, options);
    if (fetching !== null) {
      say(fetching);
    }
    const { read, write } = planTraffic(plan);
    return { ...draft, bytesRead: read, bytesWritten: write, ...clock(started) };
  }

  const storedBuffer = [...raw.stateDict].find(([name]) => INV_FREQ.test(name))?.[1];
  const computed = computedInvFreq(plan.order, storedBuffer?.shape[0], rawConfig);
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
    const manifest = manifestOf(plan, finished, raw, diff, naiveSums(sumsByName(plan, finished), computed));
    return {
      extras: smallFiles(plan, diff, diffConfig, destination?.side ?? null, destination?.fromBase),
      manifest: writeManifest(manifest),
    };
  });
  const sums = naiveSums(sumsByName(plan, run), computed);
  const known = stated?.value ?? sumOfRepo(diff)?.value ?? null;
  const wanted = options.expectSum === "known" ? known : (options.expectSum ?? null);
  const layers = computed?.layers ?? plan.order.filter((name) => INV_FREQ.test(name)).length;
  const sumCheck =
    wanted === null ? null : judgeSum(wanted, sums, layers, wanted === known ? stated?.tolerance : undefined);
  if (stated !== null && sumCheck === null) {
    const { verdict, reason } = judgeSum(stated.value, sums, layers, stated.tolerance);
    const speak = verdict === "fail" ? options.onWarning : say;
    speak?.(`the sum in ${stated.file}, ${stated.value}: ${verdict.replaceAll("-", " ")}: ${reason}`);
  }
  const overflow = overflowOf(plan, run);
  const computesF16 = choice.scheme.arithmetic === "F16";
  warnOverflow(
    overflow,
    dtypeText(plan),
    options,
    computesF16 ? "the script computes in float16 and has them too" : undefined,
  );
  return {
    ...draft,
    outcome: destination === null ? "checked" : "recovered",
    tensors: writtenTensors(plan, run),
    sums,
    sumCheck,
    overflow,
    bytesRead: run.read,
    bytesWritten: run.written,
    threads: run.threads,
    resumed: run.resumed,
    ...clock(started),
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

function filesReport(xor: XorReport): RecoverReport {
  const { bytesRead, bytesWritten, seconds, peakBytes, threads, resumed, scheme, schemeReason, output } = xor;
  return {
    ...{ bytesRead, bytesWritten, seconds, peakBytes, threads, resumed, scheme, schemeReason, output },
    outcome: xor.outcome === "made" ? "recovered" : xor.outcome,
    files: xor.files.map(({ file, size }) => ({ file, size: size ?? 0 })),
    newRows: new Map(),
    dtype: null,
    tensors: [],
    sums: null,
    sumCheck: null,
    overflow: new Map(),
    xor,
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
  return { raw, diff, rawConfig, diffConfig };
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

function newRowsText(rule: Scheme["newRows"], raw: Checkpoint, name: string, rows: number): string {
  return rule === "mean"
    ? `= the diff's + the mean of the base's ${rawRows(raw, name)}`
    : `as the diff has ${rows === 1 ? "it" : "them"}`;
}

/** Rows of the base's tensor for this one, which may have a prefix of its own. */
function rawRows(raw: Checkpoint, name: string): number {
  const found = [...raw.stateDict].find(([own]) => name === own || name.endsWith(`.${own}`));
  return found?.[1].shape[0] ?? 0;
}

/** As config.json spells it. */
function dtypeText(plan: Plan): string {
  const mixed = plan.scheme === "exact" ? "as in the tuned model" : "as stored";
  return plan.dtype === null ? mixed : (torchName(plan.dtype) ?? plan.dtype);
}

function manifestOf(plan: Plan, run: RunResult, raw: Checkpoint, diff: Checkpoint, sums: NaiveSums): RecoverManifest {
  const finite = (sum: number): number | null => (Number.isFinite(sum) ? sum : null);
  return {
    schema: MANIFEST_SCHEMA,
    tool: `weight-diff ${VERSION}`,
    operation: "recover",
    scheme: plan.scheme,
    dtype: dtypeText(plan),
    raw: sourceOf(raw),
    diff: sourceOf(diff),
    tensors: writtenTensors(plan, run),
    files: filesOf(plan),
    sums: { without_inv_freq: finite(sums.withoutInvFreq), with_inv_freq: finite(sums.withInvFreq) },
  };
}

function sumsByName(plan: Plan, run: RunResult): ReadonlyMap<string, number> {
  const byName = new Map(
    plan.jobs.flatMap((job) => (job.kind === "tensor" ? [[job.name, run.results.get(job.id)?.sum ?? 0] as const] : [])),
  );
  return new Map(plan.order.map((name) => [name, byName.get(name) ?? 0]));
}

function draftReport(
  choice: Choice,
  plan: Plan,
  destination: Destination | null,
): Omit<RecoverReport, "seconds" | "peakBytes"> {
  return {
    ...plannedReport(plan, destination),
    scheme: choice.scheme.name,
    schemeReason: choice.reason,
    dtype: plan.dtype,
    outcome: "planned",
    tensors: [],
    sums: null,
    sumCheck: null,
    overflow: new Map(),
  };
}
