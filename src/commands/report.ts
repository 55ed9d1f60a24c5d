/**
 * report: what a fine-tune changed, tensor by tensor, layer by layer, token by token. Takes one pass over the base and the tuned model, or
 * over the base and a diff, which is applied on the way. Writes nothing but the picture and the page that were asked for.
 */
import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.js";
import { configOf } from "../checkpoint/config.js";
import { tokenTexts } from "../checkpoint/token-texts.js";
import type { Job, TensorJob } from "../engine/job/job.js";
import type { Measured } from "../engine/job/result.js";
import { guardModels } from "../evidence/guards.js";
import { identify } from "../evidence/identify.js";
import { likeness, resembles } from "../evidence/not-a-diff.js";
import { resizeForDiff } from "../evidence/resize.js";
import { samplePairs } from "../evidence/sample.js";
import { type NewFile, openNew } from "../files/new-file.js";
import type { Hub } from "../hub/place.js";
import { EMBEDDING } from "../known/embeddings.js";
import { openPair, planOptionsOf } from "../make/open.js";
import { encodingOf } from "../plan/exact.js";
import type { Plan } from "../plan/plan.js";
import { planDiff } from "../plan/plan-diff.js";
import { provideInputs, withHub } from "../run/inputs.js";
import { clock, runPlan } from "../run/run-plan.js";
import { prepareRecover } from "./recover/prepare.js";
import { measureAlone } from "./report/alone.js";
import { changeAlone, changeOf as changeBeside, placeOf } from "./report/change.js";
import { changePage } from "./report/html.js";
import { type MeasuredRun, type MeasuredTensor, soundManifest } from "./report/measured.js";
import type { ChangeReport, ReportOptions, TensorChange, TokenChange } from "./report/options.js";
import { changeMap } from "./report/svg.js";

export type { ChangeReport, ReportOptions } from "./report/options.js";

type OpenOptions = ReportOptions & { readonly hub: Hub };
type PairOptions = OpenOptions & { readonly raw: string };

/** Tells what changed. @throws {WeightDiffError} with any code that recover and make-diff have before they write. */
export async function report(options: ReportOptions): Promise<ChangeReport> {
  const { svg = null, out = null } = options;
  const files: NewFile[] = [];
  const opened = async (path: string | null): Promise<NewFile | null> => {
    const file = path === null ? null : await openNew(path);
    files.push(...(file === null ? [] : [file]));
    return file;
  };
  try {
    const map = await opened(svg);
    const page = await opened(out);
    const made = await withHub(options, reportWith);
    await map?.write([changeMap(made)]);
    await page?.write(await changePage(made));
    return made;
  } catch (error) {
    for (const file of files) {
      await file.remove();
    }
    throw error;
  } finally {
    for (const file of files) {
      await file.close();
    }
  }
}

async function reportWith(options: OpenOptions): Promise<ChangeReport> {
  const { raw = null } = options;
  if (raw !== null) {
    const pair = { ...options, raw };
    return reportOf(pair, await planReport(pair));
  }
  const started = performance.now();
  return compose(options, await measureAlone(options), started);
}

/** What a fine-tune changed, from a base and a tuned model. @throws {WeightDiffError} likewise. */
export async function reportModels(options: PairOptions): Promise<ChangeReport> {
  return reportOf(options, await planModels(options));
}

async function reportOf(options: PairOptions, { plan, tuned, base, scheme }: Planned): Promise<ChangeReport> {
  const started = performance.now();
  const jobs = plan.jobs.map((job) => measuredJob(job, plan));
  const files = await provideInputs(plan.inputs, options);
  const run = await runPlan({ ...plan, jobs }, files, null, options);
  const measured = new Map<string, MeasuredTensor>();
  for (const job of jobs) {
    const found = run.results.get(job.id)?.measured;
    if (job.kind === "tensor" && found !== undefined) {
      measured.set(job.name, measuredTensor(job, found, plan));
    }
  }
  const { read: bytesRead, threads } = run;
  return compose(
    options,
    { tensors: [...measured.values()], models: [tuned, base], scheme, bytesRead, threads },
    started,
  );
}

/** @param started in milliseconds of performance.now(). */
async function compose(options: ReportOptions, run: MeasuredRun, started: number): Promise<ChangeReport> {
  const { raw: base = null, path } = options;
  const changeOf = base === null ? changeAlone : changeBeside;
  const all = inOrder(run.tensors);
  const tensors = all.map(
    ({ measured, ...tensor }): TensorChange => ({ ...tensor, ...placeOf(tensor.name), ...changeOf([measured]) }),
  );
  const parts = all.map((one, index) => ({ measured: one.measured, place: tensors[index] as TensorChange }));
  const groups = <K>(key: (tensor: TensorChange) => K | null): readonly (readonly [K, readonly Measured[]])[] => {
    const found = new Map<K, Measured[]>();
    for (const part of parts) {
      const own = key(part.place);
      if (own !== null) {
        const group = found.get(own) ?? [];
        found.set(own, group);
        group.push(part.measured);
      }
    }
    return [...found];
  };
  return {
    base,
    path,
    scheme: run.scheme,
    total: changeOf(all.map((one) => one.measured)),
    tensors,
    modules: groups(({ layer, module }) => (layer === null ? null : module)).map(([module, some]) => ({
      module,
      tensors: some.length,
      ...changeOf(some),
    })),
    layers: groups(({ layer }) => layer)
      .map(([layer, some]) => ({ layer, tensors: some.length, ...changeOf(some) }))
      .sort((a, b) => a.layer - b.layer),
    embeddings: await embeddingsOf(all, run.models),
    bytesRead: run.bytesRead,
    threads: run.threads,
    ...clock(started),
  };
}

/** Ordered by name, with numbers by value. Files of other formats have another order, but the sums must be the same. */
function inOrder(tensors: readonly MeasuredTensor[]): readonly MeasuredTensor[] {
  return tensors
    .map((tensor) => ({ tensor, key: tensor.name.replaceAll(/\d+/g, (digits) => digits.padStart(8, "0")) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ tensor }) => tensor);
}

interface Planned {
  readonly plan: Plan;
  readonly base: Checkpoint;
  /** The tuned model, or the diff. */
  readonly tuned: Checkpoint;
  readonly scheme: string | null;
}

async function planReport(options: PairOptions): Promise<Planned> {
  const role = options.scheme === undefined ? await roleOf(options) : "diff";
  if (role === "diff") {
    const { plan, inputs, scheme } = await prepareRecover({ ...options, diff: options.path });
    return { plan, base: inputs.raw, tuned: inputs.diff, scheme: scheme.name };
  }
  return planModels(options, role === null);
}

/** @param doubtful does nothing mark the tuned side as a model or as a diff? Then its matrices may hint at a diff. */
async function planModels(options: PairOptions, doubtful = false): Promise<Planned> {
  const opened = await openPair(options.raw, options.path, "tuned model", options.hub);
  const cosine = likeness(await guardModels(opened, options));
  if (doubtful && cosine !== null && !resembles(cosine)) {
    options.onNote?.(
      `${options.path} is compared as a model, since nothing marks it as a diff; but its matrices do not point where the base's do: their cosine is ${Number(cosine.toFixed(2)) + 0}, where a model tuned from this base has nearly 1 and a diff nearly 0`,
      [{ to: "if it is a diff, apply it", option: "scheme", value: "auto" }],
    );
  }
  const { raw, note } = await resizeForDiff(opened, "exact");
  if (note !== null) {
    options.onNote?.(note);
  }
  const inputs = { ...opened, raw };
  const plan = planDiff(raw, inputs.diff, {
    ...planOptionsOf(inputs, {}),
    encoding: "exact",
    tunedTied: inputs.diffTied ?? null,
  });
  for (const each of plan.notes) {
    options.onNote?.(...each);
  }
  return { plan: { ...plan, jobs: plan.jobs.map(asItIs) }, base: raw, tuned: inputs.diff, scheme: null };
}

/** Turns a job of a diff into one that only reads the tuned tensor, beside the base's. */
function asItIs(job: Job): Job {
  return job.kind !== "tensor"
    ? job
    : {
        ...job,
        rule: "copy",
        dtype: job.start.operand.kind === "inv-freq" ? "F32" : job.start.operand.dtype,
        start: { operand: job.start.operand, mean: null },
        terms: job.terms.slice(0, 1).map(({ operand }) => ({ operand, mean: null })),
        prove: false,
      };
}

/** Is the tuned side a diff or a model? Null if nothing tells. */
async function roleOf({ raw, path, hub, ignore = [] }: PairOptions): Promise<"diff" | "model" | null> {
  const checkpoint = await openCheckpoint(path, hub);
  const config = await configOf(checkpoint).catch(() => null);
  const manifest = await soundManifest(checkpoint);
  const { kind } = await identify(checkpoint, config, manifest);
  if (kind !== "diff" || manifest !== null || encodingOf(checkpoint) !== null) {
    return kind === "full" ? "model" : kind;
  }
  // Only its norms suggest a diff. If its matrices point where the base's do, it is a model all the same.
  return !ignore.includes("not-a-model") &&
    !resembles(likeness(await samplePairs(await openCheckpoint(raw, hub), checkpoint)))
    ? "diff"
    : "model";
}

/** Adds to the job what to measure: its result against the first of its operands that belongs to the base. */
function measuredJob(job: Job, { inputs }: Plan): Job {
  // A buffer that is not written does not belong to the model.
  if (job.kind !== "tensor" || job.output === null) {
    return job;
  }
  const base = [job.start, ...job.terms].findIndex(
    ({ operand }) => operand.kind === "inv-freq" || inputs[operand.input]?.role === "raw",
  );
  return { ...job, output: null, measure: { base: base < 0 ? null : base, rows: EMBEDDING.test(job.name) } };
}

function measuredTensor(job: TensorJob, measured: Measured, plan: Plan): MeasuredTensor {
  const place = job.measure?.base;
  const base = typeof place === "number" ? ([job.start, ...job.terms][place]?.operand ?? null) : null;
  return {
    name: job.name,
    shape: job.shape,
    dtype: job.dtype,
    baseDtype: base === null ? null : base.kind === "inv-freq" ? "F32" : base.dtype,
    newRows: plan.newRows.get(job.name) ?? 0,
    measured,
  };
}

/** Looks up the tokens of all rows at once, since a tokenizer's file may be large. */
async function embeddingsOf(
  all: readonly MeasuredTensor[],
  models: readonly Checkpoint[],
): Promise<ChangeReport["embeddings"]> {
  const moved = all.filter(({ measured }) => measured.rows.length > 0);
  const wanted = new Set(moved.flatMap(({ measured }) => measured.rows.map(({ row }) => row)));
  const texts = await tokenTexts(
    models.flatMap(({ directory }) => directory ?? []),
    wanted,
  );
  return moved.map(({ name, measured }) => ({
    name,
    tokens: measured.rows.map(
      ({ row, difference, base }): TokenChange => ({
        row,
        token: texts.get(row) ?? null,
        differenceNorm: Math.sqrt(difference),
        relative: base === 0 ? null : Math.sqrt(difference / base),
      }),
    ),
  }));
}
