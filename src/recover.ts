/**
 * recover: base + diff -> the fine-tuned model. Open both, refuse what can be refused, plan, stream, give final names.
 * The result is that of `recover` in the reference scripts, to the last bit (scheme.ts names them).
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type Checkpoint, openCheckpoint } from "./checkpoint/checkpoint.js";
import { editConfig, type ModelConfig, readConfig } from "./checkpoint/config.js";
import { type SideFiles, sideFiles } from "./checkpoint/side-files.js";
import type { PlanIdentity } from "./engine/journal.js";
import { chooseMode, type ExtraFile, isWeightFile, type OutputMode, openOutput } from "./engine/output.js";
import { EXIT_CODES, WeightDiffError } from "./errors.js";
import { torchName } from "./formats/dtype.js";
import { printable } from "./formats/quote.js";
import { writeWeightIndex } from "./formats/weight-index.js";
import { digestOf, MANIFEST_SCHEMA, type Manifest, writeManifest } from "./manifest.js";
import { judgeSum, type NaiveSums, naiveSums, type SumVerdict } from "./naive-sum.js";
import { countNewRows, INV_FREQ, type Plan, planRecover, planTraffic } from "./plan.js";
import {
  censusNorms,
  type Guard,
  refuseFullDisk,
  refuseFullModel,
  refuseQuantised,
  resolveOutput,
} from "./preflight.js";
import { type RunOptions, type RunResult, runPlan } from "./run-plan.js";
import { type Choice, chooseScheme, knownSum, type NewRows, schemeNamed } from "./scheme.js";
import { verifyModel } from "./verify-model.js";
import { VERSION } from "./version.js";

export interface RecoverOptions extends RunOptions {
  /** The base model: a directory, a weight file, or a Hub cache folder. */
  readonly raw: string;
  readonly diff: string;
  /** Where the model goes; null computes and checks everything and writes nothing. */
  readonly tuned?: string | null;
  /** "auto", or a name in the table of schemes. */
  readonly scheme?: string;
  /** Of the float tensors written. */
  readonly dtype?: "F32" | "F16" | "BF16";
  /** Bytes of tensor data in one output file. */
  readonly maxShardSize?: number;
  readonly invFreq?: "drop" | "keep";
  readonly rows?: NewRows | null;
  readonly ignore?: readonly Guard[];
  readonly mode?: OutputMode;
  /** Plan and check, then stop. */
  readonly dryRun?: boolean;
  /** A sum to hold the result against; "known" takes the published one, if there is one. */
  readonly expectSum?: number | "known" | null;
  /** Called with every sentence a user should read, as soon as it is known. */
  readonly onNote?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
}

export interface RecoverReport {
  readonly scheme: string;
  readonly schemeReason: string;
  readonly dtype: "F32" | "F16" | "BF16";
  readonly output: string | null;
  /** "planned": a dry run. "verified": the output was complete already. */
  readonly outcome: "recovered" | "checked" | "planned" | "verified";
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly sha256: string;
  }[];
  readonly files: readonly { readonly file: string; readonly size: number }[];
  readonly newRows: ReadonlyMap<string, number>;
  readonly sums: NaiveSums | null;
  readonly sumCheck: SumVerdict | null;
  /** Finite values that the output dtype cannot hold, by tensor. */
  readonly overflow: ReadonlyMap<string, number>;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly seconds: number;
  readonly peakBytes: number;
  readonly threads: number;
  readonly resumed: number;
}

/** transformers' own limit; later versions write larger files. */
const MAX_SHARD_SIZE = 5_000_000_000;

/**
 * Recovers the model. @throws {WeightDiffError} with any code of errors.ts but CHECK_FAILED: a sum that does not fit is in the
 * report, since the output stays.
 */
export async function recover(options: RecoverOptions): Promise<RecoverReport> {
  const started = performance.now();
  const say = options.onNote ?? (() => {});
  const { raw, diff, rawConfig, diffConfig } = await openBoth(options);
  const choice = decideScheme(options, raw, diff);
  say(`scheme ${choice.scheme.name}: ${choice.reason}`);
  const plan = planRecover(raw, diff, {
    scheme: choice.scheme,
    dtype: options.dtype ?? "F32",
    maxShardSize: options.maxShardSize ?? MAX_SHARD_SIZE,
    invFreq: options.invFreq ?? "drop",
    rows: options.rows ?? null,
    ropeTheta: rawConfig?.ropeTheta ?? diffConfig?.ropeTheta ?? 10_000,
    rawTied: rawConfig?.tied ?? null,
    diffTied: diffConfig?.tied ?? null,
  });
  plan.notes.forEach(say);
  for (const [name, rows] of plan.newRows) {
    say(
      `${printable(name)}: ${rows} new ${rows === 1 ? "row" : "rows"} = the diff's + the mean of the base's ${rowsOf(raw, name)}`,
    );
  }
  const place = await preparePlace(options, plan, raw, diff);
  if (place?.mode === "verify") {
    const made = {
      scheme: plan.scheme,
      dtype: torchName(plan.dtype) ?? plan.dtype,
      raw: sourceOf(raw),
      diff: sourceOf(diff),
    };
    return {
      ...draftReport(choice, plan, place.path),
      ...(await verifyModel(place.path, made, options)),
      outcome: "verified",
      bytesRead: plan.totalSize,
      ...clock(started),
    };
  }
  if (place !== null) {
    place.side.left.length > 0 && say(`not copied from the diff: ${place.side.left.map(printable).join(", ")}`);
  }
  if (options.dryRun === true) {
    const { read, write } = planTraffic(plan);
    return {
      ...draftReport(choice, plan, place?.path ?? null),
      bytesRead: read,
      bytesWritten: write,
      ...clock(started),
    };
  }

  const wanted = options.expectSum === "known" ? knownSum(choice.scheme, diff) : (options.expectSum ?? null);
  const computed = computedInvFreq(plan, raw, rawConfig);
  const output =
    place === null ? null : await openOutput(place.path, place.mode, identityOf(plan, options), plan.shards);
  let run: RunResult;
  let manifest: Manifest;
  let sums: NaiveSums;
  try {
    run = await runPlan(plan, output, options);
    sums = naiveSums(sumsByName(plan, run), computed);
    manifest = manifestOf(plan, run, raw, diff, sums);
    await output?.finish(plan.shards, extrasOf(plan, diff, diffConfig, place?.side ?? null), writeManifest(manifest));
  } catch (error) {
    // Bad input will not get better by resuming; anything else leaves the finished tensors for the next run. LIMIT is memory
    // that so many threads cannot have.
    const unusable = error instanceof WeightDiffError && EXIT_CODES[error.code] === 4 && error.code !== "LIMIT";
    // What goes wrong in here must not hide what ended the run.
    await (unusable ? output?.discard() : output?.suspend())?.catch(() => {});
    throw error;
  }
  const overflow = overflowOf(plan, run);
  if (overflow.size > 0) {
    const total = [...overflow.values()].reduce((sum, count) => sum + count, 0);
    const [first = ""] = overflow.keys();
    options.onWarning?.(
      `${total} values in ${overflow.size} tensors (first: ${printable(first)}) are too large for ${torchName(plan.dtype)} and became infinite; float32 or bfloat16 hold them`,
    );
  }
  const layers = computed?.layers ?? plan.order.filter((name) => INV_FREQ.test(name)).length;
  return {
    ...draftReport(choice, plan, place?.path ?? null),
    outcome: output === null ? "checked" : "recovered",
    tensors: manifest.tensors,
    sums,
    sumCheck: wanted === null ? null : judgeSum(wanted, sums, layers),
    overflow,
    bytesRead: run.read,
    bytesWritten: run.written,
    threads: run.threads,
    resumed: run.resumed,
    ...clock(started),
  };
}

interface Opened {
  readonly raw: Checkpoint;
  readonly diff: Checkpoint;
  readonly rawConfig: ModelConfig | null;
  readonly diffConfig: ModelConfig | null;
}

/** Reads headers and configs of both, and refuses what is no base or no diff before they are paired. */
async function openBoth(options: RecoverOptions): Promise<Opened> {
  const raw = await openCheckpoint(options.raw);
  const rawConfig = await readConfig(raw.directory);
  refuseQuantised(raw, "base", rawConfig);
  const diff = await openCheckpoint(options.diff);
  const diffConfig = await readConfig(diff.directory);
  refuseQuantised(diff, "diff", diffConfig);
  if (options.ignore?.includes("not-a-diff") !== true) {
    refuseFullModel(await censusNorms(diff), diff.path);
  }
  return { raw, diff, rawConfig, diffConfig };
}

function decideScheme(options: RecoverOptions, raw: Checkpoint, diff: Checkpoint): Choice {
  return options.scheme === undefined || options.scheme === "auto"
    ? chooseScheme(diff, countNewRows(raw, diff))
    : { scheme: schemeNamed(options.scheme), reason: "as --scheme says" };
}

interface Place {
  readonly path: string;
  readonly mode: OutputMode | "verify";
  readonly side: SideFiles;
}

/** Where the output goes; null if nothing is to be written. Everything that could refuse it is checked here. */
async function preparePlace(
  options: RecoverOptions,
  plan: Plan,
  raw: Checkpoint,
  diff: Checkpoint,
): Promise<Place | null> {
  if (options.tuned === undefined || options.tuned === null) {
    return null;
  }
  const path = await resolveOutput(options.tuned, [raw, diff]);
  const mode = await chooseMode(path, options.mode ?? "new");
  const shards = new Set(diff.shards.map(({ file }) => file));
  const isWeights = (name: string): boolean => shards.has(name) || isWeightFile(name);
  const side = diff.directory === null ? { copied: [], left: [] } : await sideFiles(diff.directory, isWeights);
  if (mode === "new" || mode === "force") {
    const needed = plan.shards.reduce((sum, { size }) => sum + size, 0);
    await refuseFullDisk(path, needed, plan.dtype === "F32" ? Math.ceil(needed / 2) : needed);
  }
  return { path, mode, side };
}

/** What a resumed run must have in common with the first. */
function identityOf(plan: Plan, options: RecoverOptions): PlanIdentity {
  const inputs = plan.inputs.map(({ role, file, size, modified, header }) => [
    `${role} ${file}`,
    `${size} bytes, modified ${modified}, header ${header}`,
  ]);
  return {
    "the version of weight-diff": VERSION,
    "--scheme": plan.scheme,
    "--dtype": plan.dtype,
    "--inv-freq": options.invFreq ?? "drop",
    "--rows": options.rows ?? "by the scheme",
    "the layout of the output": digestOf(
      plan.shards.map(({ file, size, header }) => [file, size, Buffer.from(header).toString("base64")]),
    ),
    ...Object.fromEntries(inputs),
  };
}

/** Index, config and side files of the output. */
function extrasOf(
  plan: Plan,
  diff: Checkpoint,
  config: ModelConfig | null,
  side: SideFiles | null,
): readonly ExtraFile[] {
  const extras: ExtraFile[] = [];
  if (plan.shards.length > 1) {
    const weightMap = new Map(plan.shards.flatMap(({ file, tensors }) => tensors.map((name) => [name, file] as const)));
    extras.push({ file: "model.safetensors.index.json", text: writeWeightIndex(weightMap, plan.totalSize) });
  }
  for (const file of side?.copied ?? []) {
    extras.push({ file, from: join(diff.directory ?? "", file) });
  }
  if (config !== null) {
    extras.push({ file: "config.json", text: editConfig(config, torchName(plan.dtype) ?? plan.dtype, plan.vocabSize) });
  }
  return extras;
}

function manifestOf(plan: Plan, run: RunResult, raw: Checkpoint, diff: Checkpoint, sums: NaiveSums): Manifest {
  const written = new Map<string, Manifest["tensors"][number]>();
  for (const job of plan.jobs) {
    if (job.kind === "tensor" && job.output !== null) {
      const sha256 = run.results.get(job.id)?.sha256 ?? "";
      written.set(job.name, { name: job.name, dtype: job.dtype, shape: [...job.shape], sha256 });
    }
  }
  const finite = (sum: number): number | null => (Number.isFinite(sum) ? sum : null);
  return {
    schema: MANIFEST_SCHEMA,
    tool: `weight-diff ${VERSION}`,
    operation: "recover",
    scheme: plan.scheme,
    dtype: torchName(plan.dtype) ?? plan.dtype,
    raw: sourceOf(raw),
    diff: sourceOf(diff),
    tensors: plan.order.flatMap((name) => written.get(name) ?? []),
    files: plan.shards.map(({ file, size, header }) => ({
      file,
      size,
      header: createHash("sha256").update(header).digest("hex"),
    })),
    sums: { without_inv_freq: finite(sums.withoutInvFreq), with_inv_freq: finite(sums.withInvFreq) },
  };
}

function sourceOf({ repo, commit, shards }: Checkpoint): Manifest["raw"] {
  return { repo, commit, files: shards.map(({ file, size, header }) => ({ file, size, header: header.digest })) };
}

function sumsByName(plan: Plan, run: RunResult): ReadonlyMap<string, number> {
  const byName = new Map(
    plan.jobs.flatMap((job) => (job.kind === "tensor" ? [[job.name, run.results.get(job.id)?.sum ?? 0] as const] : [])),
  );
  return new Map(plan.order.map((name) => [name, byName.get(name) ?? 0]));
}

function overflowOf(plan: Plan, run: RunResult): ReadonlyMap<string, number> {
  return new Map(
    plan.jobs.flatMap((job) => {
      const count = run.results.get(job.id)?.overflow ?? 0;
      return count > 0 ? [[job.name, count] as const] : [];
    }),
  );
}

/** The rotary buffers of a LLaMA whose files hold none: they count in one of the sums. */
function computedInvFreq(plan: Plan, raw: Checkpoint, config: ModelConfig | null): Parameters<typeof naiveSums>[1] {
  const layers = new Set(
    plan.order.map((name) => /^model\.layers\.(\d+)\./.exec(name)?.[1]).filter((layer) => layer !== undefined),
  ).size;
  const stored = [...raw.stateDict].find(([name]) => INV_FREQ.test(name))?.[1].shape[0];
  const count = stored ?? (config?.headSize ?? 0) / 2;
  return layers > 0 && Number.isInteger(count) && count > 0
    ? { layers, count, theta: config?.ropeTheta ?? 10_000 }
    : null;
}

function draftReport(choice: Choice, plan: Plan, output: string | null): Omit<RecoverReport, "seconds" | "peakBytes"> {
  return {
    scheme: choice.scheme.name,
    schemeReason: choice.reason,
    dtype: plan.dtype,
    output,
    outcome: "planned",
    tensors: [],
    files: plan.shards.map(({ file, size }) => ({ file, size })),
    newRows: plan.newRows,
    sums: null,
    sumCheck: null,
    overflow: new Map(),
    bytesRead: 0,
    bytesWritten: 0,
    threads: 0,
    resumed: 0,
  };
}

/** Wall time since `started`, and the most memory the process has had. */
function clock(started: number): Pick<RecoverReport, "seconds" | "peakBytes"> {
  return { seconds: (performance.now() - started) / 1000, peakBytes: process.resourceUsage().maxRSS * 1024 };
}

function rowsOf(raw: Checkpoint, name: string): number {
  return raw.stateDict.get(name)?.shape[0] ?? 0;
}
