/** What recover does before it writes anything: opens both sides, chooses the scheme, refuses what it can, and plans. */
import type { EarlyThreads } from "../../engine/early.js";
import { trace } from "../../engine/io/trace.js";
import { guardBase, type Inputs } from "../../evidence/guards.js";
import { cutForExact, resizeAsMade, resizeBase } from "../../evidence/resize.js";
import { sampleSums } from "../../evidence/sample-sums.js";
import type { SchemeChoice } from "../../evidence/scheme/choice.js";
import { STREAM } from "../../files/pipe.js";
import { openPair } from "../../make/open.js";
import { readAdditiveRecord } from "../../plan/exact.js";
import type { Plan } from "../../plan/plan.js";
import { threadsAhead } from "../../run/pace.js";
import type { Scheme } from "../../scheme/axes.js";
import { chooseAndGuard } from "./choose.js";
import { tellPlan } from "./notes.js";
import type { OpenRecoverOptions } from "./options.js";
import { planInDtype } from "./plan.js";
import { type Published, publishedFor } from "./published.js";

interface Prepared {
  readonly inputs: Inputs;
  readonly choice: SchemeChoice;
  /** The chosen scheme, adapted to a base whose rows were resized. */
  readonly scheme: Scheme;
  readonly plan: Plan;
  readonly published: Published;
}

/** @throws {WeightDiffError} with any code of errors.ts that is about inputs, names or shapes. */
export async function prepareRecover(
  options: OpenRecoverOptions,
  early: EarlyThreads | null = null,
): Promise<Prepared> {
  const opened = await trace("open", () => openPair(options.raw, options.diff, "diff", options.hub));
  const { choice, judged, sample } = await trace("guard", () => chooseAndGuard(opened, options));
  if (options.tuned !== STREAM) {
    early?.start(threadsAhead([...opened.raw.shards, ...opened.diff.shards], options));
  }
  const record = readAdditiveRecord(opened.diff);
  const resized =
    choice.scheme.operation === "add-bits"
      ? cutForExact(opened, choice.scheme)
      : record === null
        ? await resizeBase(opened, choice.scheme, options.rows ?? choice.scheme.newRows)
        : resizeAsMade(opened, choice.scheme, record);
  if (resized.note !== null) {
    options.onNote?.(resized.note);
  }
  const { scheme } = resized;
  const inputs = { ...opened, raw: resized.raw };
  const { raw, diff } = inputs;
  const plan = await planInDtype(scheme, inputs, record, options);
  await tellPlan(plan, raw, diff, scheme, options.rows ?? scheme.newRows, options);
  const published = await publishedFor(inputs, options);
  if (published.proven === 0) {
    const adds = scheme.operation === "add" && scheme.arithmetic === "F32";
    guardBase(judged, { values: sample, sums: adds ? await sampleSums(plan, raw, diff) : [] }, options);
  }
  return { inputs, choice, scheme, plan, published };
}
