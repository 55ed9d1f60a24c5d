/** Makes some files of a plan, or proves them if an earlier run made them. A part does this, and finalize where an input changed. */
import type { Staging } from "../output/staging.js";
import { type PlanPart, subPlan } from "../plan/parts.js";
import { provideInputs } from "../run/inputs.js";
import { type RunOptions, type RunResult, runPlan } from "../run/run-plan.js";
import type { Recipe } from "./recipe.js";

export interface MadeFiles {
  /** Results by the ids of the whole plan. */
  readonly run: RunResult;
  /** sha256 (hex) of each whole file by name, where the command needs it. */
  readonly closed: ReadonlyMap<string, string>;
}

/** @param output the output directory; its journal uses the ids of the whole plan. */
export async function makeFiles(
  recipe: Pick<Recipe<never, unknown>, "plan" | "judge" | "digestFiles" | "close">,
  scope: Pick<PlanPart, "shards" | "jobs">,
  output: Staging,
  options: RunOptions,
): Promise<MadeFiles> {
  const plan = subPlan(recipe.plan, scope);
  const files = await provideInputs(plan.inputs, options);
  const run = await runPlan(plan, files, numbered(output, plan.ids), {
    ...options,
    judge: recipe.judge,
    digestFiles: recipe.digestFiles,
  });
  const results = new Map([...run.results].map(([id, result]) => globalOf(result, plan.ids[id] ?? id)));
  const whole = { ...run, results };
  const closed = (await recipe.close?.(whole, output, scope.shards)) ?? new Map<string, string>();
  return { run: whole, closed };
}

function globalOf<T extends { readonly id: number }>(result: T, id: number): [number, T] {
  return [id, { ...result, id }];
}

/** The same directory, for a plan that numbers its jobs anew. @param ids the jobs' ids in the whole plan. */
function numbered(output: Staging, ids: readonly number[]): Staging {
  const places = new Map(ids.map((id, place) => [id, place]));
  const { journal } = output;
  return {
    ...output,
    journal: {
      ...journal,
      finished: journal.finished.flatMap((result) => {
        const place = places.get(result.id);
        return place === undefined ? [] : [{ ...result, id: place }];
      }),
      add: (result) => journal.add({ ...result, id: ids[result.id] ?? result.id }),
    },
  };
}
