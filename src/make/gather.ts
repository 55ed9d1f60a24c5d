/** Puts the parts of a run together: compares what each part made with its journal, then finishes the output as one run does. */
import type { TensorResult } from "../engine/job/result.js";
import { WeightDiffError } from "../errors.js";
import { type GatherRequest, openGathering, partFolder } from "../output/gather.js";
import { changedParts, readJournal } from "../output/journal.js";
import type { AskedRun, ParsedJournal, PlanIdentity } from "../output/journal-text.js";
import { closedAs } from "../output/part.js";
import { type PartNumber, partsIn, partText } from "../output/part-names.js";
import { readState } from "../output/part-state.js";
import { layOutShard, type Staging } from "../output/staging.js";
import { type PlanPart, splitPlan } from "../plan/parts.js";
import { digestFiles } from "../run/digest.js";
import type { RunOptions, RunResult } from "../run/run-plan.js";
import type { Destination } from "./destination.js";
import { makeFiles } from "./files.js";
import { partIdentity, shardOf } from "./part.js";
import type { Recipe } from "./recipe.js";
import { type Divisible, isDivisible, repeated } from "./request.js";

/**
 * @param small names of the small files in the output.
 * @throws {WeightDiffError} OUTPUT_REFUSED, naming every part that is missing or belongs to another run; otherwise as make.
 */
export async function gatherParts<F, R>(
  destination: Destination,
  recipe: Recipe<F, R>,
  { asked, count }: { readonly asked: AskedRun; readonly count: number },
  { small, options }: { readonly small: readonly string[]; readonly options: RunOptions },
): Promise<RunResult> {
  const { path } = destination;
  const { plan } = recipe;
  const identity = partIdentity(recipe, asked, count);
  const numbers = Array.from({ length: count }, (_, index): PartNumber => ({ index, count }));
  const look = (): Promise<readonly ParsedJournal[]> => finishedParts(path, numbers, identity, asked);
  const before = await look();
  const parts = splitPlan(plan, count);
  const owner = new Map(
    parts.flatMap((part) => part.shards.map((shard) => [plan.shards[shard]?.file ?? "", part] as const)),
  );
  const request: GatherRequest = {
    ...{ identity, parts: numbers, shards: plan.shards, small },
    replace: before.some(({ head }) => head.replace),
    partOf: (file) => owner.get(file) ?? null,
  };
  const output = await openGathering(path, request);
  try {
    // A part may have been started over between the first look and the locks.
    const journals = await look();
    const results = new Map<number, TensorResult>();
    const closed = new Map<string, string>();
    let read = 0;
    let written = 0;
    for (const [index, part] of parts.entries()) {
      const journal = journals[index];
      if (journal === undefined) {
        continue;
      }
      const claimed = new Map(journal.finished.map((result) => [result.id, result]));
      const changed: number[] = [];
      for (const shard of part.shards) {
        const file = plan.shards[shard]?.file ?? "";
        const sha256 = await unchanged(journal, file, output.staged(file), options);
        if (sha256 === null) {
          changed.push(shard);
        } else if (sha256 !== "") {
          closed.set(file, sha256);
        }
      }
      const jobs = new Set(part.jobs.filter((id) => changed.includes(shardOf(plan, id))));
      for (const id of part.jobs) {
        const claim = claimed.get(id);
        if (claim !== undefined && !jobs.has(id)) {
          results.set(id, claim);
        }
      }
      if (changed.length > 0) {
        for (const shard of changed.flatMap((place) => plan.shards[place] ?? [])) {
          await layOutShard(partFolder(path, part), shard);
        }
        const again: Pick<PlanPart, "shards" | "jobs"> = { shards: changed, jobs: [...jobs] };
        const made = await makeFiles(recipe, again, claiming(output, journal), options);
        for (const [id, result] of made.run.results) {
          results.set(id, result);
        }
        for (const [file, sha256] of made.closed) {
          closed.set(file, sha256);
        }
        read += made.run.read;
        written += made.run.written;
      }
    }
    const run: RunResult = { results, threads: 0, read, written, resumed: 0, sha256: null, files: closed };
    const { extras, manifest } = await recipe.compose(run, output, destination, closed);
    await output.finish(plan.shards, extras, manifest);
    return run;
  } catch (error) {
    await output.suspend().catch(() => {}); // a failure of the cleanup must not hide the error that ended the run
    throw error;
  }
}

/**
 * The journals of all parts, in order.
 * @throws {WeightDiffError} OUTPUT_REFUSED if one is missing, not finished, or belongs to another run.
 */
async function finishedParts(
  path: string,
  parts: readonly PartNumber[],
  identity: PlanIdentity,
  asked: AskedRun,
): Promise<readonly ParsedJournal[]> {
  const journals: ParsedJournal[] = [];
  const missing: { readonly part: PartNumber; readonly why: string }[] = [];
  const other: string[] = [];
  const strays = (await partsIn(path)).filter(({ count }) => count !== parts.length);
  other.push(...strays.map((part) => `part ${partText(part)}: what differs is the number of parts`));
  for (const part of parts) {
    const folder = partFolder(path, part);
    const journal = await readJournal(folder);
    if (journal === null || !journal.done) {
      missing.push({ part, why: await whyMissing(folder, journal !== null) });
    }
    const changed = journal === null ? [] : changedParts(journal.head.plan, identity);
    if (changed.length > 0) {
      other.push(`part ${partText(part)}: what differs is ${changed.join(", ")}`);
    }
    if (journal !== null) {
      journals.push(journal);
    }
  }
  if (other.length > 0) {
    const [first = ""] = other;
    const [stale] = parts;
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      other.length === 1
        ? `a part is another run's: ${first}`
        : `${other.length} parts are another run's, or inputs have changed since`,
      "make these parts again by the same command, with the same inputs and the same version",
      {
        at: { file: path },
        problems: other,
        advice: stale === undefined ? [] : [{ ...commandFor(asked, path, stale, "force"), to: "start a part over" }],
      },
    );
  }
  if (missing.length > 0) {
    const lines = missing.map(({ part, why }) => `part ${partText(part)} ${why}`);
    const [first] = missing;
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      missing.length === 1
        ? (lines[0] ?? "")
        : `${missing.length} of ${parts.length} parts are missing: ${rangesText(missing.map(({ part }) => part.index))}`,
      undefined,
      {
        at: { file: path },
        problems: lines,
        advice: first === undefined ? [] : [commandFor(asked, path, first.part, "resume")],
      },
    );
  }
  return journals;
}

/** Gives, for example, "0,2-5", as Slurm's --array takes it. @param numbers ascending. */
export function rangesText(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === number - 1) {
      last[1] = number;
    } else {
      ranges.push([number, number]);
    }
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}

async function whyMissing(folder: string, begun: boolean): Promise<string> {
  const state = await readState(folder).catch(() => null);
  return state?.error !== undefined
    ? `failed on ${state.host}: ${state.error.message.split("\n", 1)[0]}`
    : begun
      ? "is not finished"
      : "was not made";
}

function commandFor(asked: AskedRun, path: string, part: PartNumber, mode: "resume" | "force") {
  const command: Divisible = isDivisible(asked.command) ? asked.command : "recover";
  return { to: "make it", command, options: { ...repeated(asked, command, path), part: partText(part), mode } };
}

/**
 * The state of a file that its part closed.
 * @returns its digest, or "" without one, if the file is unchanged or still has that digest; else null.
 */
async function unchanged(
  journal: ParsedJournal,
  file: string,
  path: string,
  options: RunOptions,
): Promise<string | null> {
  const then = journal.closed.get(file);
  const now = await closedAs(path, file).catch(() => null);
  if (then === undefined || now === null) {
    return null;
  }
  if (now.size === then.size && now.modified === then.modified) {
    return then.sha256 ?? "";
  }
  return then.sha256 !== undefined && (await digestFiles([path], options)).get(path) === then.sha256
    ? then.sha256
    : null;
}

/**
 * The directory with the journal of a part in place of its own. It records nothing: files that are made again now are checked again next
 * time.
 */
function claiming(output: Staging, { finished }: ParsedJournal): Staging {
  return { ...output, journal: { ...output.journal, finished, add: () => {} } };
}
