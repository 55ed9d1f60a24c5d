/** Where a run's output goes, and the run itself with what must happen if it fails: shared by recover, make-diff and convert. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { editConfig, type ModelConfig } from "../checkpoint/config.js";
import { type SideFile, type SideFiles, sideFiles } from "../checkpoint/side-files.js";
import { WeightDiffError } from "../errors.js";
import type { Guard } from "../evidence/guards.js";
import { torchName } from "../formats/dtype.js";
import { writeWeightIndex } from "../formats/weight-index.js";
import { digestOf } from "../manifest/manifest.js";
import { chooseMode, type ExtraFile, type OutputDirectory, type OutputMode, openOutput } from "../output/directory.js";
import type { PlanIdentity } from "../output/journal.js";
import { isWeightFile } from "../output/state.js";
import { type Plan, planTraffic } from "../plan/plan.js";
import { fetchNote, provideInputs } from "../run/inputs.js";
import { refuseFullDisk, resolveOutput } from "../run/preflight.js";
import { type RunFigures, type RunOptions, type RunResult, runPlan } from "../run/run-plan.js";
import type { NewRows } from "../scheme/axes.js";
import { VERSION } from "../version.js";

/** What recover and make-diff let the caller say of their output. */
export interface MakingOptions extends RunOptions {
  /** Bytes of tensor data in one output file; 5 GB by default, as transformers had it. */
  readonly maxShardSize?: number;
  /** rotary_emb.inv_freq buffers: dropped by default, since models recompute them. */
  readonly invFreq?: "drop" | "keep";
  /** Rule for vocabulary rows that the base lacks; null takes the scheme's. */
  readonly rows?: NewRows | null;
  /** Guards to switch off. */
  readonly ignore?: readonly Guard[];
  readonly mode?: OutputMode;
  /** Plan and check, then stop. */
  readonly dryRun?: boolean;
  /** Called with every sentence a user should read, as soon as it is known. */
  readonly onNote?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
}

/** What both report of their output. */
export interface MakingReport extends RunFigures {
  readonly output: string | null;
  readonly files: readonly { readonly file: string; readonly size: number }[];
  /** Per embedding with rows that the base lacks: how many. */
  readonly newRows: ReadonlyMap<string, number>;
}

/** The part of a report that is known before anything ran. */
export function plannedReport(
  plan: Plan,
  destination: Destination | null,
): Omit<MakingReport, "seconds" | "peakBytes"> {
  return {
    output: destination?.path ?? null,
    files: plan.shards.map(({ file, size }) => ({ file, size })),
    newRows: plan.newRows,
    bytesRead: 0,
    bytesWritten: 0,
    threads: 0,
    resumed: 0,
  };
}

/** What a run would read and write; says what it would fetch from the Hub. */
export async function foresee(
  plan: Plan,
  options: MakingOptions,
): Promise<Pick<MakingReport, "bytesRead" | "bytesWritten">> {
  const fetching = await fetchNote(plan.inputs, options);
  if (fetching !== null) {
    options.onNote?.(fetching);
  }
  const { read, write } = planTraffic(plan);
  return { bytesRead: read, bytesWritten: write };
}

/** transformers' own limit; later versions write larger files. */
export const MAX_SHARD_SIZE = 5_000_000_000;

export interface Destination {
  readonly path: string;
  readonly mode: OutputMode | "verify";
  /** Beside the driver's weights. */
  readonly side: SideFiles;
  /** The base's tokenizer files, where they are wanted and the driver has none. */
  readonly fromBase: readonly SideFile[];
}

/** What makes a tokenizer; without one of these a directory has none. */
const TOKENIZER = /^(tokenizer\.(model|json)|vocab\.(json|txt))$/;
const TOKENIZER_FILE = /^(tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab\..*|merges.*|chat_template.*)$/;

/**
 * Where the output goes; null if nothing is to be written. Everything that could refuse it is checked here.
 * @param driver whose config and side files go along. @param elseBase is a tokenizer that it lacks the base's?
 * @param apart names beside its weights that the caller sees to.
 * @throws {WeightDiffError} OUTPUT_REFUSED, DISK_FULL, NOT_WEIGHTS (a side file that is a placeholder), LINK_OUTSIDE, IO.
 */
export async function prepareDestination(
  output: string | null,
  wanted: OutputMode,
  plan: Plan,
  raw: Checkpoint,
  driver: Checkpoint,
  { elseBase = false, apart = [] }: { readonly elseBase?: boolean; readonly apart?: readonly string[] } = {},
): Promise<Destination | null> {
  if (output === null) {
    return null;
  }
  const path = await resolveOutput(output, [raw, driver]);
  const mode = await chooseMode(path, wanted);
  const others = new Set([...driver.shards.map(({ file }) => file), ...apart]);
  const isOther = (name: string): boolean => others.has(name) || isWeightFile(name);
  const side = driver.directory === null ? { copied: [], left: [] } : await sideFiles(driver.directory, isOther);
  const wants = elseBase && raw.directory !== null && !side.copied.some(({ file }) => TOKENIZER.test(file));
  const { copied } = wants ? await sideFiles(raw.directory, isOther) : { copied: [] };
  const own = new Set(side.copied.map(({ file }) => file));
  const fromBase = copied.filter(({ file }) => TOKENIZER_FILE.test(file) && !own.has(file));
  if (mode === "new" || mode === "force") {
    // Only recover can write another dtype.
    const half = plan.dtype === "F32" && plan.inputs.some(({ role }) => role === "diff");
    const needed = plan.shards.reduce((sum, { size }) => sum + size, 0);
    await refuseFullDisk(path, needed, half ? Math.ceil(needed / 2) : needed);
  }
  return { path, mode, side, fromBase };
}

/**
 * Runs the plan into the destination. `compose` makes the small files and the manifest once all tensors are done; it may
 * still refuse the result. A run that fails for its input leaves nothing; any other leaves what is finished for --resume.
 */
export async function runInto(
  destination: Destination | null,
  plan: Plan,
  identity: PlanIdentity,
  options: RunOptions,
  compose: (
    run: RunResult,
    output: OutputDirectory | null,
  ) => Promise<{ readonly extras: readonly ExtraFile[]; readonly manifest: string }>,
): Promise<RunResult> {
  const mode = destination?.mode === "verify" ? "resume" : (destination?.mode ?? "new");
  const bytes = plan.shards.reduce((sum, { size }) => sum + size, 0);
  await provideInputs(plan.inputs, options, destination === null ? null : { path: destination.path, bytes });
  const output = destination === null ? null : await openOutput(destination.path, mode, identity, plan.shards);
  try {
    const run = await runPlan(plan, output, options);
    const { extras, manifest } = await compose(run, output);
    await output?.finish(plan.shards, extras, manifest);
    return run;
  } catch (error) {
    await leave(output, error);
    throw error;
  }
}

/** Leaves an output that `error` ended. */
export async function leave(output: OutputDirectory | null, error: unknown): Promise<void> {
  // Bad input will not get better by resuming; anything else leaves what is finished for the next run. LIMIT is memory
  // that so many threads cannot have.
  const unusable = error instanceof WeightDiffError && ["check", "input", "output", "hub"].includes(error.kind);
  // What goes wrong in here must not hide what ended the run.
  await (unusable ? output?.discard() : output?.suspend())?.catch(() => {});
}

/** What a resumed run must have in common with the first. `flags`: those that change the bytes, by name. */
export function identityOf(plan: Plan, flags: PlanIdentity): PlanIdentity {
  const inputs = plan.inputs.map(({ role, file, size, modified, header, hub }) => [
    `${role} ${file}`,
    // A file of the Hub stays the same, wherever it is read from.
    `${size} bytes, ${hub === undefined || hub.etag === "" ? `modified ${modified}` : `digest ${hub.etag}`}, header ${header}`,
  ]);
  return {
    "the version of weight-diff": VERSION,
    ...flags,
    "the layout of the output": digestOf(
      plan.shards.map(({ file, size, header }) => [file, size, Buffer.from(header).toString("base64")]),
    ),
    ...Object.fromEntries(inputs),
  };
}

/** Index, config and side files of the output, and of the base what is named by `fromBase`. The config gets the dtype and the number of rows that were written. */
export function smallFiles(
  plan: Plan,
  config: ModelConfig | null,
  side: SideFiles | null,
  fromBase: readonly SideFile[] = [],
): readonly ExtraFile[] {
  const extras: ExtraFile[] = [];
  if (plan.shards.length > 1) {
    const weightMap = new Map(plan.shards.flatMap(({ file, tensors }) => tensors.map((name) => [name, file] as const)));
    extras.push({ file: "model.safetensors.index.json", text: writeWeightIndex(weightMap, plan.totalSize) });
  }
  extras.push(...(side?.copied ?? []), ...fromBase);
  if (config !== null) {
    const dtype = plan.dtype === null ? null : torchName(plan.dtype);
    extras.push({ file: "config.json", text: editConfig(config, dtype, plan.vocabSize) });
  }
  return extras;
}
