/** Writes a full version: the new model itself, with its small files. Later steps start from it. */
import { versionText } from "../../../chain/chain.js";
import type { Checkpoint } from "../../../checkpoint/checkpoint.js";
import { configOf } from "../../../checkpoint/config.js";
import { make } from "../../../make/make.js";
import { DEFAULTS } from "../../../plan/defaults.js";
import { planUpdate } from "../../../plan/plan-update.js";
import type { ChainMakeOptions, Opened } from "../options.js";
import { materializeRecipe } from "../recipe.js";
import { summaryOf } from "../report.js";
import type { ChainSource } from "../source.js";
import type { UpdateReport } from "../update-recipe.js";
import type { NextVersion } from "./next.js";

interface FullFacts {
  readonly started: number;
  readonly tuned: Checkpoint;
  readonly next: NextVersion;
  readonly output: string;
}

export async function makeFull(
  { started, tuned, next, output }: FullFacts,
  options: Opened<ChainMakeOptions>,
): Promise<UpdateReport> {
  const id = versionText(next.number);
  const { number } = next;
  const nothing = async (): Promise<never> => {
    throw new TypeError(`version ${id} is not there yet`);
  };
  const target = { id, number, place: output, head: nothing, open: nothing, isUnfinished: async () => true };
  const source: ChainSource = {
    chain: {
      ...{ path: options.chain, directory: options.chain, repo: null, commit: null, layout: "slime" },
      ...{ versions: [], pointer: null, notes: [] },
    },
    path: { target, start: null, steps: [], notes: [] },
    baseVersion: number,
    baseOption: "baseVersion",
    model: tuned,
    config: await configOf(tuned),
    isBase: true,
    sums: new Map(),
  };
  const { maxShardSize = DEFAULTS.maxShardSize } = options;
  const plan = planUpdate(tuned, [], new Map(), { maxShardSize, everySum: false });
  const summary = summaryOf(source, plan, null, []);
  const recipe = materializeRecipe({ started, source, plan, summary, elseBase: null }, { ...options, tuned: output });
  const report = await make(recipe, options);
  const outcome = report.outcome === "materialized" || report.outcome === "checked" ? "made" : report.outcome;
  const { bytesRead, bytesWritten, seconds, peakBytes, threads, resumed } = report;
  return {
    ...{ bytesRead, bytesWritten, seconds, peakBytes, threads, resumed },
    ...{ outcome, output: report.output ?? output, version: id, baseVersion: id, encoding: null, checksum: null },
    tensors: plan.order.length,
    files: report.files,
  };
}
