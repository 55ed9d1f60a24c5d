/**
 * The run that recover, make-diff, convert and xor share. It checks the output folder, verifies an output that is already finished, ends a
 * dry run, fetches the inputs, runs the jobs, writes small files and manifest, gives the final names, and reports. A recipe says what
 * differs between the commands.
 */

import { trace } from "../engine/io/trace.js";
import { WeightDiffError } from "../errors.js";
import { digestOf } from "../manifest/write.js";
import { openOutput } from "../output/directory.js";
import type { PartNumber } from "../output/part-names.js";
import { splitPlan } from "../plan/parts.js";
import type { RunPlan } from "../plan/plan.js";
import { fetchNote, provideInputs } from "../run/inputs.js";
import { clock, type EarlyOption, type RunOptions, type RunResult, runPlan } from "../run/run-plan.js";
import { chooseDestination, type Destination, gatherDestination } from "./destination.js";
import { gatherParts } from "./gather.js";
import { identityOf } from "./identity.js";
import { runPart, shardOf } from "./part.js";
import type { DividedRequest, Gathering, MakingOptions, PartReport, Recipe } from "./recipe.js";
import { runIntoStream } from "./stream.js";
import { describeWork } from "./work.js";

/** Carries out a recipe. @throws {WeightDiffError} with any code of errors.ts. */
export async function make<F, R>(
  recipe: Recipe<F, R>,
  options: DividedRequest & Pick<MakingOptions, "manifestOut"> & EarlyOption,
  gathering: Gathering | null = null,
): Promise<R> {
  const { plan, started } = recipe;
  const { part = null } = options;
  if (part !== null) {
    refuseUndivided(recipe);
  }
  if (options.dryRun === true && options.parts != null) {
    // The plan does not depend on the machine, nor on what the output folder holds.
    return planned(recipe, recipe.output, options);
  }
  const destination =
    gathering === null
      ? await chooseDestination(recipe, options.mode ?? "new", part === null ? null : partPlace(plan, part))
      : await gatherDestination(recipe);
  const output = destination?.path ?? null;
  const nothing = { bytesRead: 0, bytesWritten: 0, threads: 0, resumed: 0 };
  if (destination?.mode === "verify") {
    const { finished, bytesRead } = await recipe.verify(destination.path, options);
    return recipe.conclude({
      outcome: "verified",
      output,
      finished,
      figures: { ...nothing, bytesRead, ...clock(started) },
    });
  }
  if (destination?.mode === "stream") {
    options.onNote?.("a stream holds only the tensors, not config.json and the tokenizer");
  } else if (destination !== null && part === null) {
    recipe.tell?.(destination);
  }
  if (options.dryRun === true) {
    return planned(recipe, output, options);
  }
  await trace("prove", async () => recipe.prove?.());
  const asked = (await recipe.asked?.()) ?? null;
  const run =
    destination === null || asked === null || (part === null && gathering === null)
      ? await runInto(destination, recipe, options)
      : part === null
        ? await gatherParts(destination, recipe, gathering ?? { asked, count: 1 }, {
            small: smallNames(destination),
            options,
          })
        : await runPart(destination, recipe, asked, part, options);
  const { read: bytesRead, written: bytesWritten, threads, resumed } = run;
  const figures = { bytesRead, bytesWritten, threads, resumed, ...clock(started) };
  return recipe.conclude(
    part === null
      ? { outcome: destination === null ? "checked" : "made", output, run, figures }
      : { outcome: "part", output, part: reportOf(plan, part), figures },
  );
}

/** The end of a dry run. */
async function planned<F, R>(
  { plan, started, identity, conclude }: Recipe<F, R>,
  output: string | null,
  options: DividedRequest,
): Promise<R> {
  const count = options.part?.count ?? options.parts ?? 1;
  const work = describeWork(plan, digestOf(identityOf(plan, identity)), count);
  const fetching = await fetchNote(plan.inputs, options);
  if (fetching !== null) {
    options.onNote?.(fetching);
  }
  const { bytesRead, bytesWritten } = work;
  const figures = { bytesRead, bytesWritten, threads: 0, resumed: 0, ...clock(started) };
  return conclude({ outcome: "planned", output, work, figures });
}

/** @throws {WeightDiffError} USAGE for a run that cannot be divided, or that writes no output. */
function refuseUndivided({ asked, output }: Pick<Recipe<never, unknown>, "asked" | "output">): void {
  if (asked === null) {
    throw new WeightDiffError(
      "USAGE",
      "this cannot be divided into parts: files that are XORed, and chains of updates, are made as a whole",
      "run it without a part",
    );
  }
  if (output === null) {
    throw new WeightDiffError("USAGE", "a part needs an output directory, where all parts come together", "give one");
  }
}

function partPlace(plan: RunPlan, part: PartNumber): { readonly part: PartNumber; readonly bytes: number } {
  return { part, bytes: reportOf(plan, part).files.reduce((sum, { size }) => sum + size, 0) };
}

function reportOf(plan: RunPlan, part: PartNumber): PartReport {
  const own = splitPlan(plan, part.count)[part.index];
  const files = (own?.shards ?? []).flatMap((shard) => plan.shards[shard] ?? []);
  return {
    ...part,
    files: files.map(({ file, size, most }) => ({ file, size: size ?? most ?? 0 })),
    tensors: (own?.jobs ?? []).filter((id) => shardOf(plan, id) >= 0).length,
  };
}

/** Names of the small files that will be copied. */
function smallNames({ side, base }: Destination): readonly string[] {
  return [...side.copied, ...(base?.files ?? [])].map(({ file }) => file);
}

/**
 * After a failure of an input, removes everything that was made. After any other failure, keeps finished files, so that another run can
 * resume.
 */
async function runInto<F, R>(
  destination: Destination | null,
  recipe: Recipe<F, R>,
  options: RunOptions & Pick<MakingOptions, "manifestOut"> & EarlyOption,
): Promise<RunResult> {
  if (destination?.mode === "stream") {
    return runIntoStream(recipe, options);
  }
  const { plan, needs } = recipe;
  const mode = destination?.mode === "verify" ? "resume" : (destination?.mode ?? "new");
  const room = destination === null ? null : { path: destination.path, bytes: mode === "resume" ? 0 : needs.bytes };
  const files = await trace("inputs", () => provideInputs(plan.inputs, options, room));
  const identity = identityOf(plan, recipe.identity);
  const output =
    destination === null
      ? null
      : await openOutput(destination.path, mode, identity, plan.shards, smallNames(destination));
  try {
    const during = { ...options, judge: recipe.judge, digestFiles: recipe.digestFiles };
    const run = await trace("run", () => runPlan(plan, files, output, during));
    const all = plan.shards.map((_, shard) => shard);
    const closed = (output === null ? undefined : await recipe.close?.(run, output, all)) ?? new Map<string, string>();
    const { extras, manifest } = await trace("compose", () => recipe.compose(run, output, destination, closed));
    await trace("finish", async () => output?.finish(plan.shards, extras, manifest));
    return run;
  } catch (error) {
    // Resuming cannot mend a bad input. After any other failure, finished files stay for the next run.
    const unusable = error instanceof WeightDiffError && ["check", "input", "hub"].includes(error.kind);
    // A failure of the cleanup must not hide the error that ended the run.
    await (unusable ? output?.discard() : output?.suspend())?.catch(() => {});
    throw error;
  }
}
