/** A run that writes its output to stdout: which options it refuses, and how it runs. */
import type { Job } from "../engine/job/job.js";
import type { TensorResult } from "../engine/job/result.js";
import { WeightDiffError } from "../errors.js";
import { STREAM } from "../files/pipe.js";
import type { OutputMode } from "../output/choose-mode.js";
import type { WrittenFile } from "../output/staging.js";
import { openStream, refuseTerminal } from "../output/stream.js";
import type { RunPlan } from "../plan/plan.js";
import { provideInputs } from "../run/inputs.js";
import { type RunOptions, type RunResult, runPlan } from "../run/run-plan.js";

/** What the run writes to the stream. */
interface StreamRecipe {
  readonly plan: RunPlan;
  judge?(job: Job, result: TensorResult): void;
  compose(
    run: RunResult,
    output: null,
    destination: null,
    closed: ReadonlyMap<string, string>,
  ): Promise<{ readonly manifest: (written: readonly WrittenFile[]) => Iterable<string> }>;
}

interface StreamOptions extends RunOptions {
  readonly mode?: OutputMode;
  readonly maxShardSize?: number;
  readonly manifestOut?: string | null;
  readonly part?: object | null;
}

/**
 * The options for this output: a stream is always one file.
 * @param output as the user wrote it.
 * @throws {WeightDiffError} USAGE for options that a stream cannot have, or that only a stream can have.
 */
export function optionsFor<O extends StreamOptions>(options: O, output: string | null | undefined): O {
  if (output !== STREAM) {
    if (options.manifestOut != null) {
      throw new WeightDiffError(
        "USAGE",
        "only a stream has its manifest in another place: a directory gets weight-diff.json",
        "leave out the manifest's name, or write to -",
      );
    }
    return options;
  }
  if (options.mode !== undefined && options.mode !== "new") {
    throw new WeightDiffError(
      "USAGE",
      `a stream is written once, from its beginning: it cannot be ${options.mode === "resume" ? "continued" : "replaced"}`,
      "leave out that option, or give a directory",
    );
  }
  if (options.part != null) {
    throw new WeightDiffError("USAGE", "a stream is one file, but parts are files of a directory", "give a directory");
  }
  return { ...options, maxShardSize: Number.POSITIVE_INFINITY };
}

/** @throws {WeightDiffError} USAGE if stdout is a terminal; OUTPUT_REFUSED if the manifest's file exists; as runPlan. */
export async function runIntoStream(recipe: StreamRecipe, options: StreamOptions): Promise<RunResult> {
  const { plan, judge } = recipe;
  refuseTerminal();
  const files = await provideInputs(plan.inputs, options);
  const [file] = plan.shards;
  if (file === undefined || plan.shards.length > 1) {
    throw new TypeError(`a stream is one file, the plan has ${plan.shards.length}`);
  }
  const stream = await openStream(file, options.manifestOut ?? null, options.signal);
  try {
    const run = await runPlan(plan, files, null, { ...options, judge: judge?.bind(recipe), stream });
    const { manifest } = await recipe.compose(run, null, null, new Map([[file.file, run.sha256 ?? ""]]));
    await stream.finish(options.manifestOut == null ? [] : manifest([]));
    return run;
  } catch (error) {
    await stream.abandon();
    throw error;
  }
}
