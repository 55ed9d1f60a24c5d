/** What the recipes of recover, make-diff and convert share: an output of tensors, and the small files that make a model of it. */
import { verifyModel } from "../check/model.js";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { editConfig, type ModelConfig } from "../checkpoint/config.js";
import { torchName } from "../formats/dtype.js";
import { INPUT_EMBEDDING } from "../known/embeddings.js";
import type { Manifest } from "../manifest/manifest.js";
import type { ExtraFile } from "../output/staging.js";
import type { Plan } from "../plan/plan.js";
import type { SideSources, SmallFiles } from "./destination.js";
import type { End, MakingReport, Recipe, RunRequest } from "./recipe.js";

/** The tensors of an output that was finished before. */
export type FinishedTensors = Manifest["tensors"];

/** @param made keys of the manifest that state what the output is made from, and how. */
export function tensorRecipe(
  plan: Plan,
  side: SideSources,
  made: Readonly<Record<string, unknown>>,
  options: RunRequest,
): Pick<Recipe<FinishedTensors, never>, "plan" | "sources" | "needs" | "side" | "verify"> {
  const bytes = outputSize(plan);
  // Only recover can write in another dtype.
  const half = plan.dtype === "F32" && plan.inputs.some(({ role }) => role === "diff");
  return {
    plan,
    sources: side.raw === side.driver ? [side.raw] : [side.raw, side.driver],
    needs: { bytes, least: half ? Math.ceil(bytes / 2) : bytes },
    side,
    async verify(path, { early }) {
      const { tensors } = await verifyModel(path, made, { ...options, early });
      return { finished: tensors, bytesRead: plan.totalSize };
    },
  };
}

function outputSize({ shards }: Plan): number {
  return shards.reduce((sum, { most }) => sum + most, 0);
}

/** The largest number of new rows in any one embedding. */
export function mostNewRows({ newRows }: Plan): number {
  return [...newRows.values()].reduce((most, rows) => Math.max(most, rows), 0);
}

/** Does the result's input embedding have as many rows as the base's? True without an input embedding. */
export function hasSameRows({ newRows, vocabSize }: Plan, raw: Checkpoint): boolean {
  const rows = [...raw.stateDict].find(([name]) => INPUT_EMBEDDING.test(name))?.[1].shape[0] ?? null;
  return newRows.size === 0 && (rows === null || vocabSize === null || rows === vocabSize);
}

/** The part of a report that describes the plan. */
export function plannedFiles(plan: Plan): Pick<MakingReport, "files" | "newRows" | "records"> {
  const files = plan.shards.map(({ file, size, most }) => ({ file, size: size ?? most }));
  return { files, newRows: plan.newRows, records: plan.records };
}

/** The part of a report that describes the work of a divided run, or one part of it. */
export function dividedWork(end: End<unknown>): Pick<MakingReport, "work" | "part"> {
  return end.outcome === "planned" ? { work: end.work } : end.outcome === "part" ? { part: end.part } : {};
}

/**
 * Index, config and side files of the output. The config gets the written dtype and number of rows, and whether head and embedding are
 * tied.
 */
export function smallFiles(plan: Plan, config: ModelConfig | null, small: SmallFiles | null): readonly ExtraFile[] {
  const extras: ExtraFile[] = [];
  if (plan.index !== null) {
    extras.push(plan.index);
  }
  extras.push(...(small?.side.copied ?? []), ...(small?.base?.files ?? []));
  if (config !== null) {
    const dtype = plan.dtype === null ? null : torchName(plan.dtype);
    extras.push({ file: "config.json", text: editConfig(config, dtype, plan.vocabSize, plan.tied) });
  }
  return extras;
}
