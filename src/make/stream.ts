/** A run that writes its output to stdout. */
import type { Job } from "../engine/job/job.js";
import type { TensorResult } from "../engine/job/result.js";
import type { WrittenFile } from "../output/staging.js";
import { openStream, refuseTerminal } from "../output/stream.js";
import type { RunPlan } from "../plan/plan.js";
import { provideInputs } from "../run/inputs.js";
import { type RunOptions, type RunResult, runPlan } from "../run/run-plan.js";
import type { StreamOptions } from "./stream-options.js";

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

/** @throws {WeightDiffError} USAGE if stdout is a terminal; OUTPUT_REFUSED if the manifest's file exists; as runPlan. */
export async function runIntoStream(recipe: StreamRecipe, options: RunOptions & StreamOptions): Promise<RunResult> {
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
