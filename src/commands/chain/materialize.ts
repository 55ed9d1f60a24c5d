/**
 * chain materialize: writes a version of a chain as a model. The base stays as it is. It finds the path to the version, judges the base, and
 * applies all steps in one pass.
 */
import { type EarlyThreads, withEarlyThreads } from "../../engine/early.js";
import { WeightDiffError } from "../../errors.js";
import { STREAM } from "../../files/pipe.js";
import { make } from "../../make/make.js";
import { optionsFor } from "../../make/stream-options.js";
import { DEFAULTS } from "../../plan/defaults.js";
import { planUpdate, type UpdatePlan } from "../../plan/plan-update.js";
import { withHub } from "../../run/inputs.js";
import { threadsAhead } from "../../run/pace.js";
import { firstWrong } from "./checksums.js";
import { judgeBase } from "./judge-base.js";
import type { ChainMaterializeOptions, Opened } from "./options.js";
import { materializeRecipe } from "./recipe.js";
import { type ChainMaterializeReport, summaryOf } from "./report.js";
import { type ChainSource, openSource, readPath } from "./source.js";
import { warnOf } from "./warnings.js";

export type { ChainMaterializeOptions } from "./options.js";
export type { ChainMaterializeReport } from "./report.js";

/** Materialises a version. @throws {WeightDiffError} with any code of errors.ts; of a chain `why` says which rule it breaks. */
export async function chainMaterialize(options: ChainMaterializeOptions): Promise<ChainMaterializeReport> {
  return withHub(optionsFor(options, options.tuned), (opened) =>
    withEarlyThreads((early) => materializeWith(opened, early)),
  );
}

async function materializeWith(
  options: Opened<ChainMaterializeOptions>,
  early: EarlyThreads,
): Promise<ChainMaterializeReport> {
  const started = performance.now();
  const { hub, raw = null, onNote = () => {}, onWarning = () => {} } = options;
  const found = await readPath(options, hub);
  const source = await openSource(found, raw, options, hub);
  if (options.tuned !== STREAM) {
    early.start(threadsAhead([...source.model.shards, ...source.path.steps.flatMap(({ shards }) => shards)], options));
  }
  for (const note of [...source.chain.notes, ...source.path.notes]) {
    onNote(note);
  }
  if (!source.isBase && raw !== null) {
    const read = source.chain.layout === "modelexpress" ? "no weights are" : "nothing is";
    onNote(`version ${source.path.start?.id} is a full one, and the path begins there: ${read} read of the base`);
  }
  const { maxShardSize = DEFAULTS.maxShardSize } = options;
  const planOf = (everySum: boolean): UpdatePlan =>
    planUpdate(source.model, source.path.steps, source.sums, { maxShardSize, everySum });
  const plan = planOf(false);
  for (const note of plan.notes) {
    onNote(...note);
  }
  const probed = source.isBase ? await judgeBase(source, plan, options) : null;
  if (probed !== null && probed > 0) {
    onNote(`the base is the one that the chain starts from, by ${probed} of its tensors`);
  }
  const summary = summaryOf(source, plan, probed, warnOf(source, plan, onWarning, onNote));
  const recipe = materializeRecipe({ started, source, plan, summary, elseBase: null }, options);
  try {
    return await make(recipe, { ...options, early });
  } catch (error) {
    throw await sharpened(error, source, planOf, options);
  }
}

/** A tensor's last checksum does not fit. The tensor is read once more to find the first step after which it is wrong. */
async function sharpened(
  error: unknown,
  { path }: ChainSource,
  planOf: (everySum: boolean) => UpdatePlan,
  options: Opened<ChainMaterializeOptions>,
): Promise<unknown> {
  if (!(error instanceof WeightDiffError) || error.why !== "checksum" || path.steps.length < 2) {
    return error;
  }
  const first = await firstWrong(planOf(true), error.at.tensor ?? "", { ...options, onProgress: undefined }).catch(
    () => null,
  );
  return first ?? error;
}
