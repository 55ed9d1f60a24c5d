/**
 * try: does the model speak? Takes one pass over the weights for the prompt and the measured texts, one over the base's, then one for each
 * further token. Writes nothing.
 */
import { dirname, resolve } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { configOf } from "../checkpoint/config.js";
import { abortReason } from "../engine/io/abort.js";
import { WeightDiffError } from "../errors.js";
import { recoverFirst } from "../evidence/guards.js";
import { identify } from "../evidence/identify.js";
import { openLanguageModel } from "../inference/forward.js";
import { ANSWER, type Generated, generate, likeliest } from "../inference/generate.js";
import { type MeanNats, type MeasuredTexts, measure, measuredTexts, textsFor } from "../inference/measure.js";
import { BrokenModel, type LanguageModel } from "../inference/model.js";
import type { TextTokenizer } from "../inference/tokenizer.js";
import { verdictOn } from "../inference/verdict.js";
import { withHub } from "../run/inputs.js";
import { bytesText } from "../run/preflight.js";
import { clock } from "../run/run-plan.js";
import { firstTokenizer, type Generation, generationOf, openModelAt } from "./try/files.js";
import { type OpenOptions, TRY_DEFAULTS, type TryFirst, type TryOptions, type TryReport } from "./try/options.js";
import { type Prompt, promptOf, refuseTwoPrompts } from "./try/prompt.js";

export type { NextToken, TextFigure, TryFirst, TryOptions, TryReport } from "./try/options.js";

/** Stands in for the forward pass in tests. */
type OpenModel = typeof openLanguageModel;

/**
 * Runs a model.
 * @throws {WeightDiffError} NOT_A_MODEL for a diff; FORMAT_UNSUPPORTED, MISMATCH and others as openLanguageModel and openTokenizer; USAGE.
 */
export async function tryModel(options: TryOptions, open: OpenModel = openLanguageModel): Promise<TryReport> {
  return withHub(options, (opened) => tryWith(opened, open));
}

async function tryWith(options: OpenOptions, open: OpenModel): Promise<TryReport> {
  const started = performance.now();
  refuseTwoPrompts(options);
  const checkpoint = await openModelAt(options.path, options.hub);
  await refuseDiff(checkpoint, options);
  const base = options.base == null ? null : await openModelAt(options.base, options.hub);
  let broken: BrokenModel | null = null;
  const model = await open(checkpoint, options).catch((error: unknown) => {
    throw error instanceof BrokenModel ? brokenAtOnce(error, checkpoint) : error;
  });
  let tokenizer: TextTokenizer | null = null;
  try {
    for (const note of [...checkpoint.notes, ...model.notes]) {
      options.onNote?.(note);
    }
    const folders = options.tokenizer == null ? [checkpoint.directory, base?.directory ?? null] : [options.tokenizer];
    tokenizer = await firstTokenizer(folders, { rows: model.vocabulary, signal: options.signal }).catch(
      (error: unknown) => notNeeded(error, options),
    );
    const generation = await generationOf(checkpoint);
    const prompt = await promptOf(checkpoint, tokenizer, model, options);
    say(options, { checkpoint, tokenizer, generation, model, base: base !== null });
    const form = prompt.form;
    const texts = textsFor(await measuredTexts(tokenizer, form, generation.ends[0] ?? null, model.positions), model);
    const pass = progressOf(model, options, 1);
    const began = performance.now();
    let measured: Awaited<ReturnType<typeof measure>> = { known: null, form: null, others: [] };
    try {
      const question = { key: ANSWER, ids: prompt.ids, wanted: "last" } as const;
      measured = await measure(model, texts, [question], (bytes) => pass(0, bytes));
    } catch (error) {
      broken = brokenOr(error);
    }
    const passMs = performance.now() - began;
    const last = measured.others[0]?.last ?? null;
    const first = await firstOf(checkpoint, model, prompt, tokenizer, last);
    options.onFirst?.(first);
    const baseSaid = broken === null && base !== null ? await ofBase(base, texts, options, open) : null;
    let generated: Generated | null = null;
    if (last !== null) {
      const passed = progressOf(model, options, options.maxNewTokens ?? TRY_DEFAULTS.maxNewTokens);
      try {
        generated = await generate(model, {
          prompt: prompt.ids,
          last,
          tokenizer,
          ends: generation.ends,
          endText: form?.ends ?? null,
          most: options.maxNewTokens ?? TRY_DEFAULTS.maxNewTokens,
          deadline: options.timeLimit == null ? null : started + 1000 * options.timeLimit,
          passMs,
          onText: (text) => options.onText?.(text),
          onProgress: (passes, bytes) => passed(1 + passes, bytes),
        });
      } catch (error) {
        broken = brokenOr(error);
      }
    }
    return reportOf({ options, started, first, measured, baseSaid, generated, model, broken });
  } finally {
    await tokenizer?.close();
    await model.close();
  }
}

async function refuseDiff(checkpoint: Checkpoint, { ignore = [] }: OpenOptions): Promise<void> {
  if (ignore.includes("not-a-model")) {
    return;
  }
  const { kind, reason } = await identify(checkpoint, await configOf(checkpoint), null);
  if (kind === "diff") {
    throw new WeightDiffError("NOT_A_MODEL", `${checkpoint.path}: not a model but a diff: ${reason}`, undefined, {
      advice: [
        recoverFirst("BASE", checkpoint.path),
        { to: "if you are sure that it is a model, go on", option: "ignore", value: "not-a-model" },
      ],
    });
  }
}

/** The error for a model with a norm or bias that is not finite: it cannot be run. */
function brokenAtOnce({ tensor }: BrokenModel, { path }: Checkpoint): WeightDiffError {
  return new WeightDiffError("CHECK_FAILED", `broken: ${tensor} holds values that are no numbers`, undefined, {
    at: { file: path, tensor },
    advice: [{ to: "see what else is wrong with it", command: "verify", options: { path } }],
  });
}

function brokenOr(error: unknown): BrokenModel {
  if (error instanceof BrokenModel) {
    return error;
  }
  throw error;
}

/** Ids need no tokenizer, so one that cannot be used stops nothing. */
function notNeeded(error: unknown, { promptIds, onWarning }: OpenOptions): null {
  if (promptIds == null || !(error instanceof WeightDiffError) || error.code !== "FORMAT_UNSUPPORTED") {
    throw error;
  }
  onWarning?.(`the tokenizer is not used: ${error.message}`);
  return null;
}

interface Said {
  readonly checkpoint: Checkpoint;
  readonly tokenizer: TextTokenizer | null;
  readonly generation: Generation;
  readonly model: LanguageModel;
  readonly base: boolean;
}

/** Today's disks read at about this rate. Bytes in the page cache take less time. */
const ASSUMED_RATE = 1.5e9;

/** Tells the user what to know before the first byte is read. */
function say(options: OpenOptions, { checkpoint, tokenizer, generation, model, base }: Said): void {
  const { onNote, onWarning } = options;
  if (tokenizer === null) {
    onWarning?.("no tokenizer: the result is shown as ids, and nothing is measured");
  } else if (options.tokenizer == null && !liesIn(tokenizer.path, checkpoint.directory)) {
    onNote?.(`the model has no tokenizer of its own: the base's is used, ${tokenizer.path}`);
  }
  if (generation.others.length > 0) {
    const asked = generation.others.map((key) => (key === "do_sample" ? "sampling" : key)).join(", ");
    onNote?.(`the model's settings ask for ${asked}; here the likeliest token is taken each time, so texts may differ`);
  }
  const most = options.maxNewTokens ?? TRY_DEFAULTS.maxNewTokens;
  const passes = most + (base ? 1 : 0);
  const [one, all] = [model.passBytes, passes * model.passBytes].map((bytes) => secondsText(bytes / ASSUMED_RATE));
  onNote?.(
    `each token is a pass over ${bytesText(model.passBytes)} of weights: at ${bytesText(ASSUMED_RATE)}/s of the disk ${one} a pass, ${all} for ${passes}; less where the page cache holds them, or an end comes first`,
  );
}

function liesIn(file: string, folder: string | null): boolean {
  return folder !== null && resolve(dirname(file)) === resolve(folder);
}

function secondsText(seconds: number): string {
  return seconds < 1 ? "under 1 s" : seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

function progressOf(
  { passBytes }: LanguageModel,
  { onProgress }: OpenOptions,
  passes: number,
): (pass: number, bytes: number) => void {
  return (pass, bytes) =>
    onProgress?.({
      done: Math.min(pass + 1, passes) * passBytes - passBytes + Math.min(bytes, passBytes),
      total: passes * passBytes,
      shard: null,
      tensor: `pass ${pass + 1}`,
    });
}

const LIKELIEST = 5;

async function firstOf(
  { path }: Checkpoint,
  { family, layers, vocabulary }: LanguageModel,
  { form, ...prompt }: Prompt,
  tokenizer: TextTokenizer | null,
  last: Float32Array | null,
): Promise<TryFirst> {
  const next = last === null ? [] : likeliest(last, LIKELIEST);
  const names = (await tokenizer?.names(next.map(({ id }) => id))) ?? null;
  return {
    path,
    family,
    layers,
    vocabulary,
    prompt: { form: prompt.reason.by === "asked" ? null : (form?.name ?? null), ...prompt },
    tokenizer: tokenizer?.path ?? null,
    next: next.map((each, index) => ({ ...each, text: names?.[index] ?? null })),
  };
}

/** Measures the same texts on the base. A base that cannot be measured stops nothing. */
async function ofBase(
  base: Checkpoint,
  texts: MeasuredTexts,
  options: OpenOptions,
  open: OpenModel,
): Promise<MeanNats | null> {
  if (texts.known === null && texts.form === null) {
    return null;
  }
  try {
    const model = await open(base, options);
    try {
      const pass = progressOf(model, options, 1);
      return await measure(model, textsFor(texts, model), [], (bytes) => pass(0, bytes));
    } finally {
      await model.close();
    }
  } catch (error) {
    if (options.signal?.aborted === true) {
      throw abortReason(options.signal);
    }
    if (!(error instanceof BrokenModel) && !(error instanceof WeightDiffError && error.kind === "input")) {
      throw error;
    }
    options.onWarning?.(`the base cannot be compared with: ${error.message}`);
    return null;
  }
}

interface Ended {
  readonly options: OpenOptions;
  readonly started: number;
  readonly first: TryFirst;
  readonly measured: MeanNats;
  readonly baseSaid: MeanNats | null;
  readonly generated: Generated | null;
  readonly model: LanguageModel;
  readonly broken: BrokenModel | null;
}

function reportOf({ options, started, first, measured, baseSaid, generated, model, broken }: Ended): TryReport {
  const guessing = Math.log(model.vocabulary);
  const figure = (loss: number | null, base: number | null | undefined): TryReport["known"] =>
    loss === null ? null : { loss, base: base ?? null };
  const form = figure(measured.form, baseSaid?.form);
  const gain = form === null || form.base === null ? null : form.base - form.loss;
  const passes = 1 + (generated?.passes ?? 0);
  return {
    ...first,
    base: options.base ?? null,
    text: first.tokenizer === null ? null : (generated?.text ?? ""),
    ids: generated?.ids ?? [],
    stopped: generated?.stopped ?? null,
    guessing,
    known: figure(measured.known, baseSaid?.known),
    form,
    gain,
    verdict: verdictOn({ guessing, loss: measured.known, baseLoss: baseSaid?.known ?? null, gain }, broken !== null),
    brokenFrom: broken?.tensor ?? null,
    passes,
    bytesRead: passes * model.passBytes,
    ...clock(started),
  };
}
