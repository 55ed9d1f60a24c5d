/**
 * The run that recover, make-diff, convert and xor share. It checks the output folder, verifies an output that is finished already,
 * ends a dry run, provides the inputs, runs, writes small files and manifest, gives final names, and reports. A recipe says what differs.
 */
import type { Say } from "../advice.js";
import type { Job, TensorResult } from "../engine/job/job.js";
import { WeightDiffError } from "../errors.js";
import type { Guard } from "../evidence/guard-names.js";
import type { OutputMode } from "../output/choose-mode.js";
import { type OutputDirectory, openOutput } from "../output/directory.js";
import type { PlanIdentity } from "../output/journal.js";
import type { ExtraFile, WrittenFile } from "../output/staging.js";
import type { RecordCount } from "../plan/operands.js";
import type { RunPlan } from "../plan/plan.js";
import { planTraffic } from "../plan/traffic.js";
import { fetchNote, provideInputs } from "../run/inputs.js";
import type { InputPlace } from "../run/preflight.js";
import { clock, type RunFigures, type RunOptions, type RunResult, runPlan } from "../run/run-plan.js";
import type { NewRows } from "../scheme/axes.js";
import { chooseDestination, type Destination, type SideSources } from "./destination.js";
import { identityOf } from "./identity.js";
import { runIntoStream } from "./stream.js";

/** Options of every run that makes something. */
export interface RunRequest extends RunOptions {
  /** "new" (the default) refuses an output that is there, "resume" continues or verifies it, "force" replaces it. */
  readonly mode?: OutputMode;
  /** Plan and check, then stop. */
  readonly dryRun?: boolean;
  /** Called with every sentence a user should read, as soon as it is known. */
  readonly onNote?: Say;
  /** Called with what may be wrong; the run goes on. */
  readonly onWarning?: Say;
}

/** Further options of recover and make-diff. */
export interface MakingOptions extends RunRequest {
  /** Bytes of tensor data in one output file; 5 GB by default, as transformers had it. */
  readonly maxShardSize?: number;
  /** What to do with rotary_emb.inv_freq buffers: "drop" by default, since models recompute them. */
  readonly invFreq?: "drop" | "keep";
  /** The rule for vocabulary rows that the base lacks; null takes the scheme's. */
  readonly rows?: NewRows | null;
  /** Guards to switch off (docs/checks.md). */
  readonly ignore?: readonly Guard[];
  /** Where the output is "-": a file for its manifest, which must not be there yet; null writes none. */
  readonly manifestOut?: string | null;
}

/** What every report says of the output. */
export interface MakingReport extends RunFigures {
  readonly output: string | null;
  readonly files: readonly { readonly file: string; readonly size: number }[];
  /** For each embedding with rows that the base lacks: how many. */
  readonly newRows: ReadonlyMap<string, number>;
  /** How many records of torch's files were read with a CRC-32, which was checked, and how many state none. */
  readonly records: RecordCount;
}

/** What one command asks of the run. `F`: what is known of an output that is finished already. `R`: the report. */
export interface Recipe<F, R> {
  /** When the command began, by performance.now(). */
  readonly started: number;
  readonly plan: RunPlan;
  /** The output directory as the user wrote it; null writes nothing. */
  readonly output: string | null;
  /** The folders of the inputs, which the output must not overlap. */
  readonly sources: readonly InputPlace[];
  /** How many bytes will be written, and how many it would be in the smallest dtype that can be asked for. */
  readonly needs: { readonly bytes: number; readonly least: number };
  /** The checkpoints whose small files are copied; null if none are. */
  readonly side: SideSources | null;
  /** The options that change the bytes, by name. A run can only be continued with the same ones. */
  readonly identity: PlanIdentity;
  /** Tells the user of what lies beside the weights. */
  tell?(destination: Destination): void;
  /** Refuses inputs by checks that take long; left out in a dry run. */
  prove?(): Promise<void>;
  /** Judges every result as soon as it is there. @throws {WeightDiffError} to end the run. */
  judge?(job: Job, result: TensorResult): void;
  /** The finished output at `path`: is it what this recipe makes, and whole? */
  verify(path: string): Promise<{ readonly finished: F; readonly bytesRead: number }>;
  /** Composes the small files and the manifest once all tensors are made. It may still refuse the result. */
  compose(run: RunResult, output: OutputDirectory | null, destination: Destination | null): Promise<Composed>;
  /** The report. */
  conclude(end: End<F>): R;
}

export interface Composed {
  readonly extras: readonly ExtraFile[];
  /** The manifest's text, in pieces. @param written the extras, as they were written. */
  readonly manifest: (written: readonly WrittenFile[]) => Iterable<string>;
}

/** How a run ended. "planned": a dry run. "verified": the output was finished already. "checked": nothing was to be written. */
export type End<F> = { readonly output: string | null; readonly figures: RunFigures } & (
  | { readonly outcome: "planned" }
  | { readonly outcome: "verified"; readonly finished: F }
  | { readonly outcome: "made" | "checked"; readonly run: RunResult }
);

/** Carries out a recipe. @throws {WeightDiffError} with any code of errors.ts. */
export async function make<F, R>(
  recipe: Recipe<F, R>,
  options: RunRequest & Pick<MakingOptions, "manifestOut">,
): Promise<R> {
  const { plan, started } = recipe;
  const destination = await chooseDestination(recipe, options.mode ?? "new");
  const output = destination?.path ?? null;
  const nothing = { bytesRead: 0, bytesWritten: 0, threads: 0, resumed: 0 };
  if (destination?.mode === "verify") {
    const { finished, bytesRead } = await recipe.verify(destination.path);
    return recipe.conclude({
      outcome: "verified",
      output,
      finished,
      figures: { ...nothing, bytesRead, ...clock(started) },
    });
  }
  if (destination?.mode === "stream") {
    options.onNote?.("a stream holds the tensors only: config.json and the tokenizer are not in it");
  } else if (destination !== null) {
    recipe.tell?.(destination);
  }
  if (options.dryRun === true) {
    const { read, write } = planTraffic(plan);
    const fetching = await fetchNote(plan.inputs, options);
    if (fetching !== null) {
      options.onNote?.(fetching);
    }
    const figures = { ...nothing, bytesRead: read, bytesWritten: write, ...clock(started) };
    return recipe.conclude({ outcome: "planned", output, figures });
  }
  await recipe.prove?.();
  const run = await runInto(destination, recipe, options);
  const { read: bytesRead, written: bytesWritten, threads, resumed } = run;
  return recipe.conclude({
    outcome: destination === null ? "checked" : "made",
    output,
    run,
    figures: { bytesRead, bytesWritten, threads, resumed, ...clock(started) },
  });
}

/** Of the small files that are known to go along. */
function smallNames({ side, base }: Destination): readonly string[] {
  return [...side.copied, ...(base?.files ?? [])].map(({ file }) => file);
}

/** A run that fails for its input leaves nothing; any other leaves what is finished for another run to resume. */
async function runInto<F, R>(
  destination: Destination | null,
  recipe: Recipe<F, R>,
  options: RunOptions & Pick<MakingOptions, "manifestOut">,
): Promise<RunResult> {
  if (destination?.mode === "stream") {
    return runIntoStream(recipe, options);
  }
  const { plan, needs } = recipe;
  const mode = destination?.mode === "verify" ? "resume" : (destination?.mode ?? "new");
  const room = destination === null ? null : { path: destination.path, bytes: mode === "resume" ? 0 : needs.bytes };
  const files = await provideInputs(plan.inputs, options, room);
  const identity = identityOf(plan, recipe.identity);
  const output =
    destination === null
      ? null
      : await openOutput(destination.path, mode, identity, plan.shards, smallNames(destination));
  try {
    const run = await runPlan(plan, files, output, { ...options, judge: recipe.judge });
    const { extras, manifest } = await recipe.compose(run, output, destination);
    await output?.finish(plan.shards, extras, manifest);
    return run;
  } catch (error) {
    // Resuming does not mend a bad input. After any other failure, what is finished stays for the next run.
    const unusable = error instanceof WeightDiffError && ["check", "input", "hub"].includes(error.kind);
    // A failure of this clean-up must not hide the one that ended the run.
    await (unusable ? output?.discard() : output?.suspend())?.catch(() => {});
    throw error;
  }
}
