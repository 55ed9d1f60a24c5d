/** What the recipes of recover, make-diff and convert share: an output of tensors, with the small files that make it a model. */
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

/** The tensors of an output that is finished already. */
export type FinishedTensors = Manifest["tensors"];

/** @param made keys of the manifest that say what the output must have been made from and how. */
export function tensorRecipe(
  plan: Plan,
  side: SideSources,
  made: Readonly<Record<string, unknown>>,
  options: RunRequest,
): Pick<Recipe<FinishedTensors, never>, "plan" | "sources" | "needs" | "side" | "verify"> {
  const bytes = outputSize(plan);
  // Only recover can write another dtype.
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

/** The most new rows that any one embedding has. */
export function mostNewRows({ newRows }: Plan): number {
  return [...newRows.values()].reduce((most, rows) => Math.max(most, rows), 0);
}

/** Does the result's input embedding have as many rows as the base's? True where there is no such matrix. */
export function hasSameRows({ newRows, vocabSize }: Plan, raw: Checkpoint): boolean {
  const rows = [...raw.stateDict].find(([name]) => INPUT_EMBEDDING.test(name))?.[1].shape[0] ?? null;
  return newRows.size === 0 && (rows === null || vocabSize === null || rows === vocabSize);
}

/** What a report says of the plan. */
export function plannedFiles(plan: Plan): Pick<MakingReport, "files" | "newRows" | "records"> {
  const files = plan.shards.map(({ file, size, most }) => ({ file, size: size ?? most }));
  return { files, newRows: plan.newRows, records: plan.records };
}

/** What a report says of a plan as data, or of one part of it. */
export function dividedWork(end: End<unknown>): Pick<MakingReport, "work" | "part"> {
  return end.outcome === "planned" ? { work: end.work } : end.outcome === "part" ? { part: end.part } : {};
}

/**
 * Index, config and side files of the output. The config gets the dtype and the number of rows that were written, and whether the
 * head is the embedding.
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
