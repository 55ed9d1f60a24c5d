/** Opens a base together with a diff or a tuned model, and refuses weights that cannot take a diff. */
import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.js";
import { configOf, type ModelConfig } from "../checkpoint/config.js";
import type { Inputs } from "../evidence/guards.js";
import { markOf, refuseStep } from "../evidence/identify.js";
import { loadedTie } from "../evidence/ties.js";
import { refuseUngathered } from "../evidence/ungathered.js";
import type { Hub } from "../hub/place.js";
import { ROPE_THETA } from "../kernel/inv-freq.js";
import { asCoded } from "../plan/coded.js";
import { DEFAULTS } from "../plan/defaults.js";
import { alignNames } from "../plan/names.js";
import { modelKinds } from "../plan/pair.js";
import type { LayoutOptions } from "../plan/plan.js";
import { refuseQuantised, refuseSameFiles } from "../run/preflight.js";
import type { MakingOptions } from "./recipe.js";

/**
 * Reads headers and configs of both, and brings their tensors under one set of names.
 * @param other what `driver` is.
 * @throws {WeightDiffError} as openCheckpoint, configOf and refuseStep; FORMAT_UNSUPPORTED for quantised weights; USAGE if base and tuned model are the
 * same files.
 */
export async function openPair(raw: string, driver: string, other: "diff" | "tuned model", hub: Hub): Promise<Inputs> {
  // Both at a time, as they may be at the Hub; of two faults the base's is told.
  const opening = [openModel(raw, "base", hub), openModel(driver, other, hub)] as const;
  await Promise.allSettled(opening);
  const [base, second] = await Promise.all(opening);
  if (other === "tuned model") {
    await refuseSameFiles(base.checkpoint, second.checkpoint);
  }
  const aligned = alignNames(base.checkpoint, second.checkpoint, { raw: "base", driver: other });
  refuseUngathered(aligned.raw, aligned.driver, other);
  const rawTie = await loadedTie(aligned.raw, base.config);
  const diffTie = await loadedTie(aligned.driver, second.config);
  return {
    raw: noted(aligned.raw, rawTie.note),
    rawConfig: base.config,
    rawTied: rawTie.tied,
    diff: noted(aligned.driver, diffTie.note),
    diffConfig: second.config,
    diffTied: diffTie.tied,
  };
}

/**
 * The options that the plans of recover and make-diff share: the caller's, with defaults filled in, and what the configs say.
 * @param inputs as openPair returns them. For make-diff, its diff is the tuned model.
 */
export function planOptionsOf(
  { rawConfig, diffConfig, rawTied = null }: Inputs,
  { maxShardSize, invFreq, rows }: Pick<MakingOptions, "maxShardSize" | "invFreq" | "rows">,
): LayoutOptions {
  return {
    maxShardSize: maxShardSize ?? DEFAULTS.maxShardSize,
    invFreq: invFreq ?? DEFAULTS.invFreq,
    rows: rows ?? null,
    ropeTheta: rawConfig?.ropeTheta ?? diffConfig?.ropeTheta ?? ROPE_THETA,
    rawTied,
    models: modelKinds(rawConfig, diffConfig),
  };
}

function noted(checkpoint: Checkpoint, note: string | null): Checkpoint {
  return note === null ? checkpoint : { ...checkpoint, notes: [...checkpoint.notes, note] };
}

async function openModel(
  path: string,
  role: "base" | "diff" | "tuned model",
  hub: Hub,
): Promise<{ readonly checkpoint: Checkpoint; readonly config: ModelConfig | null }> {
  const opened = await openCheckpoint(path, hub);
  // A compressed step is a compressed diff, too.
  if (role !== "diff" || markOf(opened) === null) {
    refuseStep(opened, role);
  }
  const checkpoint = role === "diff" ? asCoded(opened) : opened;
  const config = await configOf(checkpoint);
  refuseQuantised(checkpoint, role, config);
  return { checkpoint, config };
}
