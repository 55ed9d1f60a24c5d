/**
 * make-diff: tuned - base -> a diff that can be published. The diff is applied again while it is made, so that its maker knows
 * what will come back; the manifest tells whoever recovers it what the base and the result must be.
 */
import { createHash } from "node:crypto";
import { basename, resolve } from "node:path";
import { verifyModel } from "../check/model.js";
import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.js";
import { configOf } from "../checkpoint/config.js";
import type { TensorJob } from "../engine/job/job.js";
import { guardModels } from "../evidence/guards.js";
import { refuseUngathered } from "../evidence/ungathered.js";
import { sizeOf } from "../files/small-files.js";
import { elementCount } from "../formats/dtype.js";
import { printable } from "../formats/quote.js";
import type { Hub } from "../hub/place.js";
import { sha256Of } from "../hub/source.js";
import {
  type Destination,
  foresee,
  identityOf,
  MAX_SHARD_SIZE,
  type MakingOptions,
  type MakingReport,
  plannedReport,
  prepareDestination,
  runInto,
  smallFiles,
} from "../make/destination.js";
import { filesOf, MANIFEST_SCHEMA, type MakeDiffManifest, sourceOf, writeManifest } from "../manifest/manifest.js";
import type { ExtraFile } from "../output/directory.js";
import { hasFile } from "../output/state.js";
import type { Encoding } from "../plan/exact.js";
import { alignNames } from "../plan/names.js";
import { type Plan, planDiff } from "../plan/plan.js";
import { digestFiles } from "../run/digest.js";
import { withHub } from "../run/inputs.js";
import { refuseQuantised } from "../run/preflight.js";
import { clock, type RunResult } from "../run/run-plan.js";
import { VERSION } from "../version.js";
import { CARD, modelCard } from "./make-diff/card.js";

export interface MakeDiffOptions extends MakingOptions {
  /** The base model: a directory (Meta's own too), a weight file, a Hub cache folder, or the name of a repository. */
  readonly raw: string;
  /** The fine-tuned model, likewise. */
  readonly tuned: string;
  /** Where the diff goes; null makes and proves it without writing anything. */
  readonly diff?: string | null;
  /** "additive": float32, for this tool and the reference scripts. "exact": bit patterns, for this tool only. */
  readonly encoding?: Encoding;
  /** What the model card calls the base: "org/name". */
  readonly baseModel?: string | null;
}

export interface MakeDiffReport extends MakingReport {
  readonly encoding: Encoding;
  readonly outcome: "made" | "checked" | "planned" | "verified";
  readonly tensors: number;
  readonly elements: number;
  /** Elements that recover will not give back bit for bit, by tensor; only tensors that have some. */
  readonly inexact: ReadonlyMap<string, number>;
}

/** Makes the diff. @throws {WeightDiffError} with any code of errors.ts. */
export async function makeDiff(options: MakeDiffOptions): Promise<MakeDiffReport> {
  return withHub(options, makeDiffWith);
}

async function makeDiffWith(options: MakeDiffOptions & { readonly hub: Hub }): Promise<MakeDiffReport> {
  const started = performance.now();
  const say = options.onNote ?? (() => {});
  const encoding = options.encoding ?? "additive";
  const base = await openCheckpoint(options.raw, options.hub);
  const rawConfig = await configOf(base);
  refuseQuantised(base, "base", rawConfig);
  const model = await openCheckpoint(options.tuned, options.hub);
  const tunedConfig = await configOf(model);
  refuseQuantised(model, "tuned model", tunedConfig);
  const { raw, driver: tuned } = alignNames(base, model, "tuned");
  refuseUngathered(raw, tuned, "tuned model");
  await guardModels({ raw, diff: tuned, rawConfig, diffConfig: tunedConfig }, options);
  const plan = planDiff(raw, tuned, {
    encoding,
    maxShardSize: options.maxShardSize ?? MAX_SHARD_SIZE,
    invFreq: options.invFreq ?? "drop",
    rows: options.rows ?? null,
    ropeTheta: rawConfig?.ropeTheta ?? tunedConfig?.ropeTheta ?? 10_000,
    rawTied: rawConfig?.tied ?? null,
    modelType: tunedConfig?.modelType ?? rawConfig?.modelType ?? null,
    tunedTied: tunedConfig?.tied ?? null,
  });
  plan.notes.forEach(say);
  for (const [name, rows] of plan.newRows) {
    say(
      `${printable(name)}: ${rows} new ${rows === 1 ? "row" : "rows"} ${encoding === "exact" ? `as ${rows === 1 ? "it is" : "they are"}` : "- the mean of the base's"}`,
    );
  }
  const destination = await prepareDestination(options.diff ?? null, options.mode ?? "new", plan, raw, tuned);
  const draft = draftReport(encoding, plan, destination);
  if (destination?.mode === "verify") {
    const made = { operation: "make-diff", encoding, raw: sourceOf(raw), tuned: sourceOf(tuned) };
    await verifyModel(destination.path, made, options);
    return { ...draft, outcome: "verified", bytesRead: plan.totalSize, ...clock(started) };
  }
  if (destination !== null && destination.side.left.length > 0) {
    say(`not copied from the tuned model: ${destination.side.left.map(printable).join(", ")}`);
  }
  if (options.dryRun === true) {
    return { ...draft, ...(await foresee(plan, options)), ...clock(started) };
  }

  const identity = identityOf(plan, {
    "--encoding": encoding,
    "--inv-freq": options.invFreq ?? "drop",
    "--rows": options.rows ?? "by the encoding",
  });
  const run = await runInto(destination, plan, identity, options, async (finished, output) => {
    const base = options.baseModel ?? raw.repo ?? null;
    if (base === null && output !== null) {
      say(`${CARD}: the base's name on the Hub is not known: fill it in, or give --base-model`);
    }
    const small = smallFiles(plan, tunedConfig, destination?.side ?? null);
    const digests =
      output === null
        ? new Map<string, string>()
        : await digestFiles(
            plan.shards.map(({ file }) => output.staged(file)),
            { ...options, onProgress: continued(options, finished) },
          );
    const files = filesOf(plan).map((file) => ({
      ...file,
      sha256: digests.get(output?.staged(file.file) ?? "") ?? "",
    }));
    const newRows = [...plan.newRows.values()].reduce((most, rows) => Math.max(most, rows), 0);
    const card: readonly ExtraFile[] =
      output !== null && (await hasFile(output.path, CARD))
        ? []
        : [{ file: CARD, text: modelCard(encoding, base ?? nameOf(raw), base !== null, files, newRows) }];
    const manifest: MakeDiffManifest = {
      schema: MANIFEST_SCHEMA,
      tool: `weight-diff ${VERSION}`,
      operation: "make-diff",
      scheme: plan.scheme,
      encoding,
      raw: sourceOf(raw),
      tuned: sourceOf(tuned),
      tensors: provenTensors(plan, finished),
      files,
      side_files: await sideFileDigests([...small, ...card]),
    };
    return { extras: [...small, ...card], manifest: writeManifest(manifest) };
  });
  const inexact = inexactOf(plan, run);
  return {
    ...draft,
    outcome: destination === null ? "checked" : "made",
    inexact,
    bytesRead: run.read,
    bytesWritten: run.written,
    threads: run.threads,
    resumed: run.resumed,
    ...clock(started),
  };
}

/** Progress of the second pass, which goes on where the run ended. */
function continued({ onProgress }: MakeDiffOptions, { read, written }: RunResult): MakeDiffOptions["onProgress"] {
  const before = read + written;
  return onProgress && ((state) => onProgress({ ...state, done: before + state.done, total: before + state.total }));
}

/** What to call a base that no repository is known for: its folder, or its file. */
function nameOf({ directory, path }: Checkpoint): string {
  return basename(resolve(directory ?? path));
}

/** Every tensor with the digests of what it was made from and what will come back. */
function provenTensors(plan: Plan, run: RunResult): MakeDiffManifest["tensors"] {
  const byName = new Map<string, MakeDiffManifest["tensors"][number]>();
  for (const job of plan.jobs) {
    const result = run.results.get(job.id);
    if (job.kind === "tensor" && result?.proof !== undefined) {
      const { raw, tuned, recovered, inexact } = result.proof;
      byName.set(job.name, {
        name: job.name,
        dtype: job.dtype,
        shape: [...job.shape],
        sha256: result.sha256,
        raw:
          raw === null || job.raw?.kind !== "stored"
            ? null
            : { dtype: job.raw.dtype, shape: [...job.raw.shape], sha256: raw },
        tuned: { dtype: job.driver.dtype, shape: [...job.driver.shape], sha256: tuned },
        recovered,
        inexact,
      });
    }
  }
  return plan.order.flatMap((name) => byName.get(name) ?? []);
}

async function sideFileDigests(files: readonly ExtraFile[]): Promise<MakeDiffManifest["side_files"]> {
  const list: MakeDiffManifest["side_files"] = [];
  for (const extra of files) {
    if ("path" in extra) {
      list.push({ file: extra.file, size: (await sizeOf(extra.path)) ?? 0, sha256: await sha256Of(extra.path) });
    } else {
      const bytes = Buffer.from(extra.text);
      list.push({ file: extra.file, size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") });
    }
  }
  return list;
}

function inexactOf(plan: Plan, run: RunResult): ReadonlyMap<string, number> {
  return new Map(
    plan.jobs.flatMap((job) => {
      const count = run.results.get(job.id)?.proof?.inexact ?? 0;
      return count > 0 ? [[job.name, count] as const] : [];
    }),
  );
}

function draftReport(
  encoding: Encoding,
  plan: Plan,
  destination: Destination | null,
): Omit<MakeDiffReport, "seconds" | "peakBytes"> {
  const written = plan.jobs.filter((job): job is TensorJob => job.kind === "tensor");
  return {
    ...plannedReport(plan, destination),
    encoding,
    outcome: "planned",
    tensors: written.length,
    elements: written.reduce((sum, { shape }) => sum + (elementCount(shape) ?? 0), 0),
    inexact: new Map(),
  };
}
