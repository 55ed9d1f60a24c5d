/** How the run materialises a version: the checksums it judges, the manifest it writes, the report it gives. */

import { type Version, versionText } from "../../chain/chain.js";
import type { BaseFiles } from "../../checkpoint/from-base.js";
import { isMade } from "../../engine/job/job.js";
import type { Recipe } from "../../make/recipe.js";
import { tellSmallFiles } from "../../make/side-notes.js";
import { type FinishedTensors, plannedFiles, smallFiles, tensorRecipe } from "../../make/tensors.js";
import { filesOf, type MaterializeManifest, sourceOf } from "../../manifest/manifest.js";
import { writeManifest } from "../../manifest/write.js";
import type { UpdatePlan } from "../../plan/plan-update.js";
import type { InputPlace } from "../../run/preflight.js";
import type { RunResult } from "../../run/run-plan.js";
import { wrongSum } from "./checksums.js";
import type { ChainMaterializeOptions } from "./options.js";
import type { ChainMaterializeReport, ChainSummary } from "./report.js";
import { refuseRepublished } from "./republished.js";
import type { ChainSource } from "./source.js";
import { refuseOtherWhole } from "./whole.js";

interface MaterializeFacts {
  readonly started: number;
  readonly source: ChainSource;
  readonly plan: UpdatePlan;
  readonly summary: ChainSummary;
  /** Where small files come from that a full version lacks; null if the base itself is materialised. */
  readonly elseBase: BaseFiles | null;
}

export function materializeRecipe(
  { started, source, plan, summary, elseBase }: MaterializeFacts,
  options: ChainMaterializeOptions,
): Recipe<FinishedTensors, ChainMaterializeReport> {
  const { chain, path, model, config } = source;
  const made = { operation: "materialize", scheme: plan.scheme, raw: sourceOf(model), chain: chainOf(source) } as const;
  const shared = tensorRecipe(plan, { raw: model, driver: model, elseBase }, made, options);
  return {
    ...shared,
    sources: [...shared.sources, ...path.steps.map((version) => placeOf(chain, version))],
    started,
    output: options.tuned ?? null,
    identity: {
      "the command": "materialize",
      "the version": path.target.id,
      ...Object.fromEntries(path.steps.map(({ id, index }) => [`version ${id}`, index?.sha256 ?? "no index"])),
    },
    asked: null,
    tell: (destination) => tellSmallFiles(destination, source.isBase ? "the base" : "the full version", 0, options),
    prove: () => refuseOtherWhole(source, plan, options),
    judge(job, result) {
      const wrong = wrongSum(job.name, plan.expected.get(job.id) ?? [], result);
      if (wrong !== null && isMade(job)) {
        throw wrong;
      }
    },
    async compose(run, _, destination) {
      await refuseRepublished(path.steps);
      const manifest = () =>
        writeManifest({ ...made, tensors: writtenTensors(source, plan, run), files: filesOf(plan, run.sha256) });
      return { extras: smallFiles(plan, config, destination), manifest };
    },
    conclude(end) {
      const { files, records } = plannedFiles(plan);
      const report = { files, records, ...end.figures, output: end.output, chain: summary };
      if (end.outcome === "planned" || end.outcome === "verified") {
        return { ...report, outcome: end.outcome, tensors: end.outcome === "verified" ? end.finished : [] };
      }
      const tensors = end.outcome === "part" ? [] : writtenTensors(source, plan, end.run);
      return { ...report, outcome: end.outcome === "checked" ? "checked" : "materialized", tensors };
    },
  };
}

/** The chain as the manifest states it. The result can be made again from that. */
export function chainOf({
  chain,
  path,
  baseVersion,
}: Pick<ChainSource, "chain" | "path" | "baseVersion">): MaterializeManifest["chain"] {
  return {
    layout: chain.layout,
    repo: chain.repo,
    commit: chain.commit,
    version: path.target.id,
    base_version: versionText(baseVersion),
    steps: path.steps.map(({ id, base, encoding, checksum, index, shards }) => ({
      version: id,
      base_version: versionText(base ?? 0),
      encoding,
      checksum,
      index: index?.sha256 ?? null,
      files: shards.map(({ file, size, header }) => ({ file, size, header: header.digest })),
    })),
  };
}

/** The place of a version's files: the output must not lie in it, nor it in the output. */
export function placeOf({ directory, path, repo }: ChainSource["chain"], { shards }: Version): InputPlace {
  return { path, directory: repo === null ? directory : null, shards };
}

/** The written tensors with the dtypes and shapes of the model, in its order. */
function writtenTensors(
  { model }: ChainSource,
  plan: UpdatePlan,
  { results }: RunResult,
): MaterializeManifest["tensors"] {
  const digests = new Map(plan.jobs.filter(isMade).map(({ id, name }) => [name, results.get(id)?.sha256 ?? ""]));
  return [...model.stateDict].map(([name, { dtype, shape }]) => ({
    name,
    dtype,
    shape: [...shape],
    sha256: digests.get(name) ?? "",
  }));
}
