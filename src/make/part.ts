/** One part of a run that several machines share. Makes and closes its own files, and leaves them for finalize. */
import type { TensorResult } from "../engine/job/result.js";
import { WeightDiffError } from "../errors.js";
import { digestOf } from "../manifest/write.js";
import type { AskedRun, PlanIdentity } from "../output/journal-text.js";
import { openPart, type PartDirectory } from "../output/part.js";
import { type PartNumber, partText } from "../output/part-names.js";
import { type PlanPart, splitPlan } from "../plan/parts.js";
import type { RunPlan } from "../plan/plan.js";
import { planTraffic } from "../plan/traffic.js";
import { digestFiles } from "../run/digest.js";
import type { RunOptions, RunResult } from "../run/run-plan.js";
import type { Destination } from "./destination.js";
import { type MadeFiles, makeFiles } from "./files.js";
import { startHeartbeat } from "./heartbeat.js";
import { identityOf } from "./identity.js";
import type { DividedRequest, Recipe } from "./recipe.js";
import { isDivisible, otherOptions } from "./request.js";

type Divided = Pick<Recipe<never, unknown>, "plan" | "identity" | "judge" | "digestFiles" | "close" | "check">;

/** What all parts of a run, and finalize, must have in common. */
export function partIdentity(
  { plan, identity }: Pick<Divided, "plan" | "identity">,
  asked: AskedRun,
  count: number,
): PlanIdentity {
  const { command } = asked;
  return {
    ...identityOf(plan, identity),
    "the command": command,
    "the number of parts": String(count),
    ...Object.fromEntries(
      Object.entries(isDivisible(command) ? otherOptions(asked, command) : {}).map(([name, value]) => [
        `the option ${name}`,
        digestOf(value),
      ]),
    ),
  };
}

/** Makes the part, or checks it if it is already finished. @throws {WeightDiffError} as openPart and makeFiles. */
export async function runPart(
  { path, mode }: Destination,
  recipe: Divided,
  asked: AskedRun,
  part: PartNumber,
  options: DividedRequest,
): Promise<RunResult> {
  const { plan } = recipe;
  const own = splitPlan(plan, part.count)[part.index];
  if (own === undefined) {
    throw new RangeError(`no part ${partText(part)}`);
  }
  const shards = own.shards.flatMap((shard) => plan.shards[shard] ?? []);
  const output = await openPart(path, {
    ...{ part, shards, asked },
    mode: mode === "verify" || mode === "stream" ? "resume" : mode,
    identity: partIdentity(recipe, asked, part.count),
    signal: options.signal,
    onWait: () =>
      options.onNote?.(`part ${partText(part)} is held by another machine: waiting a minute for a sign of it`),
  });
  const all = planTraffic(plan);
  const totals = { total: own.read + own.write, whole: all.read + all.write };
  let heart: Awaited<ReturnType<typeof startHeartbeat>> | null = null;
  try {
    heart = await startHeartbeat(output, totals);
    const beat = heart;
    const watched: RunOptions = {
      ...options,
      signal: AbortSignal.any([beat.signal, ...(options.signal === undefined ? [] : [options.signal])]),
      onProgress: (state) => {
        beat.progress(state);
        options.onProgress?.(state);
      },
    };
    const { run, closed } = await madeOrKept(recipe, own, output, watched);
    recipe.check?.(run);
    for (const { file } of shards) {
      await output.closeFile(file, closed.get(file));
    }
    beat.progress({ done: totals.total, total: totals.total, shard: null, tensor: "" });
    await output.finish(() => beat.end("finished"));
    return run;
  } catch (error) {
    const known = error instanceof WeightDiffError ? error : undefined;
    // A failure of the cleanup must not hide the error that ended the run.
    await heart?.end(known?.kind === "stopped" ? "stopped" : "failed", known).catch(() => {});
    const unusable = known !== undefined && ["check", "input", "hub"].includes(known.kind);
    await (unusable ? output.discard() : output.suspend()).catch(() => {});
    throw error;
  }
}

/** Keeps files that were closed with a digest and still have it. Makes everything else, or proves it tensor by tensor. */
async function madeOrKept(
  recipe: Divided,
  own: PlanPart,
  output: PartDirectory,
  options: RunOptions,
): Promise<MadeFiles> {
  const kept = await keptFiles(recipe.plan, own, output, options);
  const { plan } = recipe;
  const isKept = (shard: number): boolean => kept.has(plan.shards[shard]?.file ?? "");
  const shards = own.shards.filter((shard) => !isKept(shard));
  const jobs = own.jobs.filter((id) => !isKept(shardOf(plan, id)));
  const { run, closed } = await makeFiles(recipe, { shards, jobs }, output, options);
  const claimed = new Map(output.journal.finished.map((result) => [result.id, result]));
  const results = new Map<number, TensorResult>(run.results);
  for (const id of own.jobs) {
    const claim = claimed.get(id);
    if (claim !== undefined && isKept(shardOf(plan, id))) {
      results.set(id, claim);
    }
  }
  return {
    run: { ...run, results, resumed: run.resumed + results.size - run.results.size },
    closed: new Map([...kept, ...closed]),
  };
}

/** The index of the file that a job of the plan writes to; -1 if it writes none. */
export function shardOf({ jobs }: RunPlan, id: number): number {
  const job = jobs[id];
  return (job?.kind === "tensor" ? job.output?.shard : undefined) ?? -1;
}

/** Names and digests of the files that need not be made again. Lays out the other files. */
async function keptFiles(
  plan: RunPlan,
  own: PlanPart,
  output: PartDirectory,
  options: RunOptions,
): Promise<ReadonlyMap<string, string>> {
  const shards = own.shards.flatMap((shard) => plan.shards[shard] ?? []);
  const stated = shards.flatMap(({ file }) => {
    const sha256 = output.journal.closed.get(file)?.sha256;
    return sha256 === undefined ? [] : [{ file, sha256 }];
  });
  const kept = new Map<string, string>();
  for (const { file, sha256 } of stated) {
    const path = output.staged(file);
    const found = await digestFiles([path], options).catch((error: unknown) => {
      if (error instanceof WeightDiffError && error.code === "NOT_FOUND") {
        return new Map<string, string>();
      }
      throw error;
    });
    if (found.get(path) === sha256) {
      kept.set(file, sha256);
    }
  }
  const again = shards.filter(({ file }) => output.journal.closed.get(file)?.sha256 !== undefined && !kept.has(file));
  if (again.length > 0) {
    await output.reopen(again);
  }
  return kept;
}
