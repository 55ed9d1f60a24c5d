/** make-diff's recipe for the run: the card and the manifest that it writes, and its report. */
import { basename, join, resolve } from "node:path";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { NO_SIDE_FILES, type SideFiles } from "../../checkpoint/side-files.js";
import type { StoredOperand, TensorJob } from "../../engine/job/job.js";
import { codingOf } from "../../engine/job/operand.js";
import { digestOf } from "../../engine/job/result.js";
import type { Inputs } from "../../evidence/guards.js";
import { readText, sizeOf } from "../../files/small-files.js";
import { elementCount } from "../../formats/dtype.js";
import type { Hub } from "../../hub/place.js";
import type { Composed, Recipe, RunRequest } from "../../make/recipe.js";
import { askedRun } from "../../make/request.js";
import { tellSmallFiles } from "../../make/side-notes.js";
import {
  dividedWork,
  type FinishedTensors,
  mostNewRows,
  plannedFiles,
  smallFiles,
  tensorRecipe,
} from "../../make/tensors.js";
import { filesOf, type MakeDiffManifest, sourceOf } from "../../manifest/manifest.js";
import { writeManifest } from "../../manifest/write.js";
import { compactFile } from "../../output/compact.js";
import type { ExtraFile, Staging } from "../../output/staging.js";
import { hasFile } from "../../output/state.js";
import { DEFAULTS } from "../../plan/defaults.js";
import type { Encoding } from "../../plan/exact.js";
import { INV_FREQ } from "../../plan/pair.js";
import type { Plan } from "../../plan/plan.js";
import { isCoded, type Settled, settle } from "../../plan/settle.js";
import type { RunResult } from "../../run/run-plan.js";
import { changePage } from "../report/html.js";
import { changeMap, changeSentence } from "../report/svg.js";
import { reportModels } from "../report.js";
import { CARD, type CardFacts, licenceOf, modelCard, REPORT } from "./card.js";
import type { MakeDiffOptions, MakeDiffReport } from "./options.js";

/** What make-diff knows after planning. */
interface MakeDiffFacts {
  readonly started: number;
  /** The tuned model is `diff`. */
  readonly inputs: Inputs;
  readonly encoding: Encoding;
  readonly plan: Plan;
  /** Will the Python scripts have as many vocabulary rows in the base as the diff has? Null if nothing tells. */
  readonly fits: boolean | null;
}

export function makeDiffRecipe(
  facts: MakeDiffFacts,
  options: MakeDiffOptions & { readonly hub: Hub },
): Recipe<FinishedTensors, MakeDiffReport> {
  const { started, inputs, encoding, plan } = facts;
  const { raw, diff: tuned, diffConfig: tunedConfig } = inputs;
  const say = options.onNote ?? (() => {});
  let settled = plan;
  const made = { operation: "make-diff", encoding, raw: sourceOf(raw), tuned: sourceOf(tuned) } as const;
  return {
    ...tensorRecipe(plan, { raw, driver: tuned }, made, options),
    started,
    output: options.diff ?? null,
    identity: {
      "the encoding": encoding,
      "the rule for inv_freq": options.invFreq ?? DEFAULTS.invFreq,
      "the rule for new rows": options.rows ?? "by the encoding",
    },
    tell: (destination) => tellSmallFiles(destination, "the tuned model", mostNewRows(plan), options),
    asked: () => askedRun("make-diff", options),
    digestFiles: !isCoded(plan),
    async close(run, output, own) {
      if (!isCoded(plan)) {
        return run.files;
      }
      const some = { ...plan, shards: own.flatMap((shard) => plan.shards[shard] ?? []), index: null };
      const { plan: made, moves } = settle(some, run.results);
      return putTogether(made, moves, run, output, options);
    },
    async compose(run, output, destination, closed) {
      settled = isCoded(plan) ? settle(plan, run.results).plan : plan;
      const base = options.baseModel ?? raw.repo ?? null;
      if (base === null && output !== null) {
        const advice = [{ to: "give it", option: "baseModel" }];
        say(`${CARD}: the base's name on the Hub is not known: fill it in`, advice);
      }
      const about = { facts, side: destination?.side ?? NO_SIDE_FILES, licence: await licenceBeside(tuned), options };
      const files = filesOf(settled).map((file) => ({ ...file, sha256: closed.get(file.file) ?? "" }));
      const small = smallFiles(settled, tunedConfig, destination);
      const shown = options.report === true && output !== null ? await changeFiles(facts, base, run, options) : null;
      const card: readonly ExtraFile[] =
        output !== null && (await hasFile(output.path, CARD))
          ? []
          : [
              {
                file: CARD,
                of: (written) => modelCard(cardFacts(about, base, shown?.sentence ?? null, [...files, ...written])),
              },
            ];
      const extras = [...small, ...(shown?.files ?? []), ...card];
      const manifest: Composed["manifest"] = (written) =>
        writeManifest({
          operation: "make-diff",
          scheme: plan.scheme,
          encoding,
          raw: made.raw,
          tuned: made.tuned,
          tensors: provenTensors(plan, run),
          files: [...files],
          side_files: [...written],
        });
      return { extras, manifest };
    },
    conclude(end) {
      const ran = end.outcome === "made" || end.outcome === "checked" ? end.run : null;
      if (ran !== null && isUnchanged(plan, ran)) {
        const twice = plan.jobs.some((job) => job.kind === "tensor" && job.terms.length > 1);
        const rest = twice ? ", except where the base's tensor is subtracted twice" : "";
        options.onWarning?.(
          `every tensor of the tuned model has the same bits as the base's: the diff is all zeros${rest}`,
        );
      }
      const written = plan.jobs.filter((job): job is TensorJob => job.kind === "tensor");
      return {
        ...plannedFiles(settled),
        ...dividedWork(end),
        ...end.figures,
        output: end.output,
        encoding,
        outcome: end.outcome,
        tensors: written.length,
        elements: written.reduce((sum, { shape }) => sum + (elementCount(shape) ?? 0), 0),
        inexact: ran === null ? new Map() : inexactOf(plan, ran),
      };
    },
  };
}

/** Is the tuned model equal to the base? */
function isUnchanged(plan: Plan, run: RunResult): boolean {
  const tensors = plan.jobs.filter((job) => job.kind === "tensor");
  return (
    tensors.length > 0 &&
    tensors.every((job) => {
      const proof = run.results.get(job.id)?.proof;
      return proof !== undefined && proof.raw === proof.tuned;
    })
  );
}

/** The job's tensor, if the base lacks it and it is stored unchanged. */
function ownTensor(job: Plan["jobs"][number]): readonly string[] {
  return job.kind === "tensor" && job.rule === "copy" && job.terms.length === 0 ? [job.name] : [];
}

/** The licence in the fine-tuned model's own card. @throws {WeightDiffError} IO, LINK_OUTSIDE; FORMAT_INVALID if it is not UTF-8. */
async function licenceBeside({ directory }: Checkpoint): Promise<readonly string[]> {
  const path = directory === null ? null : join(directory, CARD);
  const size = path === null ? null : await sizeOf(path);
  return path === null || size === null || size > MOST_OF_A_CARD
    ? []
    : licenceOf(await readText(path, MOST_OF_A_CARD, directory));
}

const MOST_OF_A_CARD = 1 << 20;

interface CardSources {
  readonly facts: MakeDiffFacts;
  /** The small files of the output. */
  readonly side: SideFiles;
  readonly licence: CardFacts["licence"];
  readonly options: MakeDiffOptions;
}

/** @param base its name on the Hub; null if unknown. */
function cardFacts(
  { facts: { inputs, encoding, plan, fits }, side, licence, options }: CardSources,
  base: string | null,
  change: string | null,
  files: CardFacts["files"],
): CardFacts {
  const own = encoding === "additive" ? plan.jobs.flatMap(ownTensor) : [];
  const twice = plan.jobs.flatMap((job) => (job.kind === "tensor" && job.terms.length > 1 ? [job.name] : []));
  const named = { base: base ?? nameOf(inputs.raw), known: base !== null };
  const lacks = [
    ...(side.tokenizer ? [] : (["tokenizer"] as const)),
    ...(side.missing.length > 0 ? (["code"] as const) : []),
  ];
  const config = inputs.diffConfig;
  const transformers = config !== null && config.modelType !== null;
  const buffers = options.invFreq === "keep" && plan.order.some((name) => INV_FREQ.test(name));
  return {
    ...{ ...named, encoding, files, newRows: mostNewRows(plan), own, twice, fits },
    ...{ licence, transformers, lacks, buffers, change },
  };
}

/**
 * The page and the picture of what changed. Reads base and tuned model once more. Both are named as in the card, so that paths of this disk
 * are not published.
 */
async function changeFiles(
  { inputs: { raw, diff: tuned } }: MakeDiffFacts,
  base: string | null,
  run: RunResult,
  options: MakeDiffOptions & { readonly hub: Hub },
): Promise<{ readonly files: readonly ExtraFile[]; readonly sentence: string }> {
  const { raw: rawPath, tuned: path, hub, threads, signal, disk, directIo, windowBytes, ignore } = options;
  const measured = await reportModels({
    ...{ raw: rawPath, path, hub, signal, onProgress: continued(options, run) },
    ...(threads === undefined ? {} : { threads }),
    ...(disk === undefined ? {} : { disk }),
    ...(directIo === undefined ? {} : { directIo }),
    ...(windowBytes === undefined ? {} : { windowBytes }),
    ...(ignore === undefined ? {} : { ignore }),
  });
  const named = { ...measured, base: base ?? nameOf(raw), path: tuned.repo ?? nameOf(tuned) };
  const page = (await changePage(named)).join("");
  return {
    files: [
      { file: REPORT.page, of: () => page },
      { file: REPORT.map, of: () => changeMap(named) },
    ],
    sentence: changeSentence(named),
  };
}

/** sha256 (hex) of a compressed diff's files by name. Closes the gaps in each file and digests it on the way. */
async function putTogether(
  { shards, totalSize }: Pick<Plan, "shards" | "totalSize">,
  moves: Settled["moves"],
  run: RunResult,
  output: Staging,
  options: RunRequest,
): Promise<ReadonlyMap<string, string>> {
  const report = continued(options, run);
  let done = 0;
  const digests = new Map<string, string>();
  for (const [index, { file, header, tensors, most }] of shards.entries()) {
    const compact = { header, moves: moves[index] ?? [], size: most };
    const moved = (bytes: number): void => {
      done += bytes;
      report?.({ done, total: totalSize, shard: null, tensor: tensors.at(-1) ?? "" });
    };
    digests.set(file, await compactFile(output.staged(file), compact, moved));
  }
  return digests;
}

/** Progress of the work after the run. */
function continued({ onProgress }: RunRequest, { read, written }: RunResult): RunRequest["onProgress"] {
  const before = read + written;
  return onProgress && ((state) => onProgress({ ...state, done: before + state.done, total: before + state.total }));
}

/** The name of a base without a known repository: its folder, or its file. */
function nameOf({ directory, path }: Checkpoint): string {
  return basename(resolve(directory ?? path));
}

/** Every tensor, with the digests of its sources and of what recover will give. */
function provenTensors(plan: Plan, run: RunResult): MakeDiffManifest["tensors"] {
  const byName = new Map<string, MakeDiffManifest["tensors"][number]>();
  for (const job of plan.jobs) {
    const result = run.results.get(job.id);
    if (job.kind === "tensor" && result?.proof !== undefined) {
      const { raw, tuned, recovered, inexact } = result.proof;
      const [base] = job.terms;
      const stored = codingOf(job) === "none" ? job : { dtype: "U8" as const, shape: [result.size ?? 0] };
      byName.set(job.name, {
        name: job.name,
        dtype: stored.dtype,
        shape: [...stored.shape],
        sha256: digestOf(result),
        raw: raw === null || base?.operand.kind !== "stored" ? null : contentsOf(base.operand, raw),
        tuned: contentsOf(job.start.operand as StoredOperand, tuned),
        recovered,
        inexact,
      });
    }
  }
  return plan.order.flatMap((name) => byName.get(name) ?? []);
}

function contentsOf({ dtype, shape }: StoredOperand, sha256: string): MakeDiffManifest["tensors"][number]["tuned"] {
  return { dtype, shape: [...shape], sha256 };
}

function inexactOf(plan: Plan, run: RunResult): ReadonlyMap<string, number> {
  return new Map(
    plan.jobs.flatMap((job) => {
      const count = run.results.get(job.id)?.proof?.inexact ?? 0;
      return count > 0 ? [[job.name, count] as const] : [];
    }),
  );
}
