/** How the run writes one update of a chain, folded or made: the form of its shards, the index, the manifest, the report. */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { codedKeys } from "../../chain/coded-index.js";
import { type UpdateHead, writeUpdateIndex } from "../../chain/update-index.js";
import { INDEX } from "../../chain/version-index.js";
import { refuseOtherwiseMade } from "../../check/model.js";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import type { Job, PayloadJob } from "../../engine/job/job.js";
import type { TensorResult } from "../../engine/job/result.js";
import { WeightDiffError } from "../../errors.js";
import type { UpdateEncoding } from "../../formats/update.js";
import type { Recipe, RunRequest } from "../../make/recipe.js";
import type { UpdateManifest } from "../../manifest/manifest.js";
import { readUpdateManifest } from "../../manifest/read.js";
import { writeManifest } from "../../manifest/write.js";
import { compactFile } from "../../output/compact.js";
import { MANIFEST } from "../../output/state.js";
import { type PayloadPlan, settlePayloads } from "../../plan/plan-payloads.js";
import { digestFiles } from "../../run/digest.js";
import type { InputPlace } from "../../run/preflight.js";
import type { RunFigures, RunResult } from "../../run/run-plan.js";

/** The facts that are known before the run. */
interface UpdateFacts {
  readonly started: number;
  readonly plan: PayloadPlan;
  /** The folder for the version. */
  readonly output: string;
  /** The places that the output must not overlap. */
  readonly sources: readonly InputPlace[];
  readonly head: UpdateHead;
  /** The sources, for the manifest. */
  readonly made: Pick<UpdateManifest, "raw" | "tuned" | "chain">;
  /** The checksum that is published for the tensor after the update; null if the update does not change the tensor. */
  readonly checksumOf: (job: PayloadJob, result: TensorResult) => string | null;
  /** Refuses inputs by a check that needs a pass of its own. */
  readonly prove?: () => Promise<void>;
  /** Called once all inputs are read. Refuses inputs that have changed since they were listed. */
  readonly settle?: () => Promise<void>;
  /** Refuses a wrong result. */
  readonly judge?: (job: PayloadJob, result: TensorResult) => void;
  /** More keys for the index, which depend on the run. @param changed the tensors that are in the update. */
  readonly own?: (run: RunResult, changed: readonly string[]) => ReadonlyMap<string, string>;
}

export interface UpdateReport extends RunFigures {
  /** "planned": a dry run. "verified": it was already complete. */
  readonly outcome: "made" | "planned" | "verified";
  /** The version's folder. */
  readonly output: string;
  readonly version: string;
  readonly baseVersion: string;
  /** Null for a full version. */
  readonly encoding: string | null;
  readonly checksum: string | null;
  /** How many tensors it changes; in a dry run, how many it may change; for a full version, how many it has. */
  readonly tensors: number;
  readonly files: readonly { readonly file: string; readonly size: number }[];
}

export function updateRecipe(facts: UpdateFacts, options: RunRequest): Recipe<UpdateManifest, UpdateReport> {
  const { started, plan, output, sources, head, checksumOf } = facts;
  const made = {
    ...({ operation: "update", version: head.version, base_version: head.baseVersion } as const),
    ...{ encoding: head.encoding, checksum: head.checksum, ...facts.made },
  };
  let written: UpdateReport["files"] = [];
  let changed = 0;
  return {
    started,
    plan,
    output,
    sources,
    // The length of a payload is known only after the run.
    needs: { bytes: 0, least: 0 },
    side: null,
    asked: null,
    identity: {
      "the command": "chain",
      "the version": `${head.version} on ${head.baseVersion}`,
      "the encoding": head.encoding,
      "the checksum": head.checksum,
    },
    prove: async () => facts.prove?.(),
    judge(job: Job, result) {
      if (job.kind === "payload") {
        facts.judge?.(job, result);
      }
    },
    verify: async (path) => ({ finished: await verifyUpdate(path, made, options), bytesRead: 0 }),
    async compose(run, directory) {
      await facts.settle?.();
      const checksums = new Map(
        plan.jobs.flatMap((job) => {
          const result = run.results.get(job.id);
          const checksum = result === undefined ? null : checksumOf(job, result);
          return checksum === null ? [] : [[job.name, checksum] as const];
        }),
      );
      const shards = settlePayloads(plan, run.results, checksums);
      const files: UpdateManifest["files"] = [];
      const weightMap = new Map<string, string>();
      for (const { file, header, moves, size, tensors } of shards) {
        const sha256 =
          directory === null ? "" : await compactFile(directory.staged(file), { header, moves, size }, () => {});
        files.push({ file, size, header: createHash("sha256").update(header).digest("hex"), sha256 });
        for (const tensor of tensors) {
          weightMap.set(tensor, file);
        }
      }
      written = files.map(({ file, size }) => ({ file, size }));
      changed = checksums.size;
      const own = facts.own?.(run, [...weightMap.keys()]) ?? new Map<string, string>();
      const tensors = plan.jobs.flatMap(({ id, name }): UpdateManifest["tensors"] => {
        const { size = 0, sha256 = "" } = run.results.get(id) ?? {};
        return checksums.has(name) ? [{ name, dtype: "U8", shape: [size], sha256 }] : [];
      });
      return {
        extras: [{ file: INDEX, text: writeUpdateIndex({ ...head, own }, weightMap) }],
        manifest: () => writeManifest({ ...made, tensors, files }),
      };
    },
    conclude(end) {
      const { version, baseVersion, encoding, checksum } = head;
      const report = { ...end.figures, output: end.output ?? output, version, baseVersion, encoding, checksum };
      switch (end.outcome) {
        case "planned":
          return { ...report, outcome: "planned", tensors: plan.jobs.length, files: [] };
        case "verified": {
          const { tensors, files } = end.finished;
          const sizes = files.map(({ file, size }) => ({ file, size }));
          return { ...report, outcome: "verified", tensors: tensors.length, files: sizes };
        }
        case "part":
          throw new TypeError("an update is not made in parts");
        default:
          return { ...report, outcome: "made", tensors: changed, files: written };
      }
    },
  };
}

/** The index's entries about coded payloads; none for other payloads. @param base the model given which they are coded. */
export function codedKeysOf(
  encoding: UpdateEncoding,
  base: Checkpoint | null,
  changed: readonly string[],
): ReadonlyMap<string, string> {
  return encoding !== "exact-compressed"
    ? new Map()
    : codedKeys(
        changed.map((name) => {
          const { dtype = "U8", shape = [] } = base?.stateDict.get(name) ?? {};
          return { name, dtype, shape };
        }),
      );
}

/** Checks that a finished version is the one that was asked for, and that it is complete. @throws {WeightDiffError} OUTPUT_REFUSED, CHECK_FAILED. */
async function verifyUpdate(
  path: string,
  made: Readonly<Record<string, unknown>>,
  options: RunRequest,
): Promise<UpdateManifest> {
  const manifest = await readUpdateManifest(join(path, MANIFEST));
  refuseOtherwiseMade(manifest, made, path);
  const digests = await digestFiles(
    manifest.files.map(({ file }) => join(path, file)),
    options,
  );
  for (const { file, sha256 } of manifest.files) {
    if (digests.get(join(path, file)) !== sha256) {
      throw new WeightDiffError("CHECK_FAILED", `is not what ${MANIFEST} says: it was changed or damaged`, undefined, {
        at: { file: join(basename(path), file) },
        advice: [{ to: "make it again", option: "mode", value: "force" }],
      });
    }
  }
  return manifest;
}
