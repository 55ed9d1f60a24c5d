/**
 * The options of the library's functions, as a table. JavaScript checks no types, and a mistyped option must not be ignored. This table
 * judges each value by itself. Defaults, and which options go together, are up to the functions.
 */
import * as z from "zod";
import { CHAIN_LAYOUTS, FIREWORKS_FORMATS } from "../chain/chain.js";
import { PUBLISHED_CHECKSUMS } from "../chain/update-index.js";
import type {
  ChainChoice,
  ChainFoldOptions,
  ChainInspectOptions,
  ChainMakeOptions,
  ChainMaterializeOptions,
  ChainVerifyOptions,
} from "../commands/chain/options.js";
import type { ConvertOptions } from "../commands/convert.js";
import type { FinalizeOptions } from "../commands/finalize.js";
import type { InspectOptions } from "../commands/inspect.js";
import type { MakeDiffOptions } from "../commands/make-diff.js";
import type { PushOptions } from "../commands/push/target.js";
import type { RecoverOptions } from "../commands/recover.js";
import type { ReportOptions } from "../commands/report.js";
import type { SignOptions } from "../commands/sign.js";
import type { StatusOptions } from "../commands/status.js";
import type { TryOptions } from "../commands/try/options.js";
import type { VerifyOptions } from "../commands/verify.js";
import type { XorCommandOptions } from "../commands/xor.js";
import { WeightDiffError } from "../errors.js";
import { GUARDS } from "../evidence/guard-names.js";
import type { SchemeOptions } from "../evidence/scheme.js";
import { isObject } from "../formats/json.js";
import { quote } from "../formats/quote.js";
import { UPDATE_ENCODINGS } from "../formats/update.js";
import type { HubOptions } from "../hub/settings.js";
import type { DividedRequest, MakingOptions, RunRequest } from "../make/recipe.js";
import { MOST_PARTS, type PartNumber } from "../output/part-names.js";
import type { RunOptions } from "../run/run-plan.js";
import { NEW_ROWS } from "../scheme/axes.js";
import type { CustomAxes } from "../scheme/custom.js";
import { VARIANT_FLAGS } from "../scheme/family.js";
import { instance, listOf, oneOf, shown, text, value, whole } from "./values.js";

export interface LibraryOptions {
  readonly recover: RecoverOptions;
  readonly makeDiff: MakeDiffOptions;
  readonly convert: ConvertOptions;
  readonly finalize: FinalizeOptions;
  readonly status: StatusOptions;
  readonly xor: XorCommandOptions;
  readonly verify: VerifyOptions;
  readonly inspect: InspectOptions;
  readonly report: ReportOptions;
  readonly tryModel: TryOptions;
  readonly push: PushOptions;
  readonly sign: SignOptions;
  readonly chainInspect: ChainInspectOptions;
  readonly chainVerify: ChainVerifyOptions;
  readonly chainMaterialize: ChainMaterializeOptions;
  readonly chainFold: ChainFoldOptions;
  readonly chainMake: ChainMakeOptions;
}

/** One row for each option. The compiler reports an option that has no row. */
type Rows<O> = { readonly [K in keyof Required<O>]: z.ZodType };

const MAX_THREADS = 99;
const WINDOW_UNIT = 65_536;

const flag = oneOf(true, false).optional();
const call = value("a function", (given) => typeof given === "function").optional();
const anyText = value("a text", (given) => typeof given === "string");
const place = text("a path, or the name of a repository");
const number = value("a number", Number.isFinite);
const milliseconds = value("a number above 0", (given) => typeof given === "number" && given > 0).optional();

const HUB: Rows<HubOptions> = {
  endpoint: text("an http address").optional(),
  token: text("a token").nullish(),
  tokenFile: text("a path").optional(),
  cache: text("a path").nullish(),
  offline: flag,
  environment: value("an object", isObject).optional(),
  patience: z
    .strictObject({
      answerMs: milliseconds,
      silenceMs: milliseconds,
      wholeMs: milliseconds,
      rateMs: milliseconds,
      attempts: whole(1).optional(),
      reachAttempts: whole(1).optional(),
      pauseMs: milliseconds,
    } satisfies Rows<NonNullable<HubOptions["patience"]>>)
    .optional(),
};
const hub = z.strictObject(HUB).optional();

const RUN: Rows<RunOptions> = {
  hub,
  signal: instance("an AbortSignal", "throwIfAborted", "addEventListener").optional(),
  threads: whole(0, MAX_THREADS).nullish(),
  directIo: oneOf(true, false, "always").optional(),
  windowBytes: value(
    `a multiple of ${WINDOW_UNIT}`,
    (given) => Number.isSafeInteger(given) && Number(given) > 0 && Number(given) % WINDOW_UNIT === 0,
  ).optional(),
  disk: instance("a disk", "openFile").optional(),
  onProgress: call,
};

const REQUEST: Rows<RunRequest> = {
  ...RUN,
  mode: oneOf("new", "resume", "force").optional(),
  dryRun: flag,
  onNote: call,
  onWarning: call,
};

const dtype = oneOf("F32", "F16", "BF16");
const ignore = listOf(oneOf(...GUARDS), `an array of some of ${GUARDS.map(shown).join(", ")}`).optional();
const maxShardSize = whole(1).optional();

const DIVIDED: Rows<DividedRequest> = {
  ...REQUEST,
  part: z
    .strictObject({ index: whole(0, MOST_PARTS - 1), count: whole(1, MOST_PARTS) } satisfies Rows<PartNumber>)
    .refine(({ index, count }) => Number(index) < Number(count), "the index counts from 0: it is less than the count")
    .nullish(),
  parts: whole(1, MOST_PARTS).nullish(),
};

const MAKING: Rows<MakingOptions> = {
  ...DIVIDED,
  maxShardSize,
  invFreq: oneOf("drop", "keep").optional(),
  rows: oneOf(...NEW_ROWS).nullish(),
  ignore,
  manifestOut: text("a path").nullish(),
};

const texts = listOf(
  value("", (given) => typeof given === "string"),
  "an array of strings",
);

const SCHEME: Rows<SchemeOptions> = {
  scheme: text('"auto", "custom", or the name of a scheme').optional(),
  custom: z
    .strictObject({
      operation: oneOf("add", "subtract").optional(),
      arithmetic: oneOf("F32", "F16", "BF16", "stored").optional(),
      newRows: oneOf(...NEW_ROWS).optional(),
      verbatim: texts.optional(),
      driver: oneOf("diff", "raw").optional(),
    } satisfies Rows<CustomAxes>)
    .optional(),
  variants: listOf(oneOf(...VARIANT_FLAGS), `an array of some of ${VARIANT_FLAGS.map(shown).join(", ")}`).optional(),
  line: z.strictObject({ flags: texts, words: whole(0) }).optional(),
  rows: oneOf(...NEW_ROWS).nullish(),
};

const { baseVersion, ...FOLDED } = {
  chain: place,
  layout: oneOf(...CHAIN_LAYOUTS).nullish(),
  to: whole(0).nullish(),
  baseVersion: whole(0).optional(),
  maxSteps: whole(1).optional(),
  format: oneOf(...FIREWORKS_FORMATS).nullish(),
} satisfies Rows<ChainChoice>;
const CHAIN = { ...FOLDED, baseVersion };

const TABLE: { readonly [C in keyof LibraryOptions]: Rows<LibraryOptions[C]> } = {
  recover: {
    ...MAKING,
    ...SCHEME,
    raw: place,
    diff: place,
    tuned: text("a path").nullish(),
    verifyKey: text("a path").nullish(),
    dtype: oneOf("F32", "F16", "BF16", "auto").optional(),
    expectSum: value('a number or "known"', (given) => given === "known" || Number.isFinite(given)).nullish(),
    to: CHAIN.to,
    baseVersion: CHAIN.baseVersion,
  },
  makeDiff: {
    ...MAKING,
    raw: place,
    tuned: place,
    diff: text("a path").nullish(),
    signKey: text("a path").nullish(),
    encoding: oneOf("additive", "exact").optional(),
    compress: flag,
    report: flag,
    baseModel: text("a name").nullish(),
  },
  convert: {
    ...DIVIDED,
    source: place,
    output: text("a path"),
    dtype: dtype.nullish(),
    maxShardSize,
    manifestOut: MAKING.manifestOut,
  },
  finalize: { ...RUN, path: text("a path"), onNote: call, onWarning: call },
  status: { path: text("a path") },
  xor: {
    ...REQUEST,
    raw: place,
    payload: place,
    output: text("a path, or null").nullable(),
    direction: oneOf("decode", "encode").optional(),
    compress: flag,
    scheme: text('"auto", or the name of a scheme').optional(),
    ignore,
  },
  verify: {
    ...RUN,
    ...SCHEME,
    path: place,
    manifest: text("a path").nullish(),
    raw: place.nullish(),
    against: place.nullish(),
    requireDigests: flag,
    verifyKey: text("a path").nullish(),
    known: text("the name of a sum").nullish(),
    expectSum: number.nullish(),
  },
  inspect: { ...RUN, path: place, digest: flag },
  report: {
    ...RUN,
    ...SCHEME,
    raw: place.nullish(),
    path: place,
    svg: text("a path").nullish(),
    out: text("a path").nullish(),
    ignore,
    onNote: call,
    onWarning: call,
  },
  tryModel: {
    hub,
    signal: RUN.signal,
    threads: RUN.threads,
    windowBytes: RUN.windowBytes,
    disk: RUN.disk,
    onProgress: call,
    path: place,
    base: place.nullish(),
    prompt: anyText.nullish(),
    text: anyText.nullish(),
    promptIds: listOf(whole(0), "an array of ids").nullish(),
    maxNewTokens: whole(1).optional(),
    timeLimit: value("a number of seconds above 0", (given) => typeof given === "number" && given > 0).nullish(),
    tokenizer: text("a path").nullish(),
    scheme: text("the name of a scheme").nullish(),
    ignore,
    onText: call,
    onFirst: call,
    onNote: call,
    onWarning: call,
  },
  sign: {
    signal: RUN.signal,
    threads: RUN.threads,
    directIo: RUN.directIo,
    onProgress: RUN.onProgress,
    path: text("a path"),
    signKey: text("a path"),
  },
  chainInspect: { ...CHAIN, hub, signal: RUN.signal },
  chainVerify: { ...RUN, ...CHAIN, raw: place.nullish() },
  chainMaterialize: {
    ...REQUEST,
    ...CHAIN,
    maxShardSize,
    manifestOut: MAKING.manifestOut,
    raw: place.nullish(),
    tuned: text("a path").nullish(),
  },
  chainFold: {
    ...REQUEST,
    ...FOLDED,
    maxShardSize,
    from: whole(0).optional(),
    raw: place.nullish(),
    output: text("a path"),
    encoding: oneOf(...UPDATE_ENCODINGS).nullish(),
    checksum: oneOf(...PUBLISHED_CHECKSUMS).nullish(),
    renumber: flag,
  },
  chainMake: {
    ...REQUEST,
    maxShardSize,
    raw: place,
    tuned: place,
    chain: text("a path"),
    version: whole(1).nullish(),
    encoding: oneOf(...UPDATE_ENCODINGS).optional(),
    checksum: oneOf(...PUBLISHED_CHECKSUMS).optional(),
    full: flag,
  },
  push: {
    ...RUN,
    path: text("a path"),
    repo: text("the name of a repository"),
    private: flag,
    message: text("a title").nullish(),
    dryRun: flag,
    force: flag,
    idleMs: milliseconds,
    onNote: call,
    onWarning: call,
  },
};

/** @throws {WeightDiffError} USAGE naming every option that is missing, unknown or wrong. */
export function refuseWrongOptions(name: keyof LibraryOptions, options: unknown): void {
  if (!isObject(options)) {
    throw new WeightDiffError("USAGE", `${name}() takes an object with its options, not ${shown(options)}`);
  }
  const issues = z.strictObject(TABLE[name]).safeParse({ ...options }, { reportInput: true }).error?.issues ?? [];
  const problems = issues.map((issue) => [...issue.path.map(String), issueText(issue)]).map(spelled);
  const [first] = problems;
  if (first !== undefined) {
    const fact = problems.length === 1 ? `${name}(): ${first}` : `${name}(): ${problems.length} options are wrong`;
    throw new WeightDiffError("USAGE", fact, `it takes: ${Object.keys(TABLE[name]).sort().join(", ")}`, { problems });
  }
}

/** Gives, for example, "hub.offline: 1 is not one of true, false". */
function spelled(parts: readonly string[]): string {
  const where = parts.slice(0, -1).join(".");
  return `${where === "" ? "" : `${where}: `}${parts.at(-1)}`;
}

function issueText(issue: z.core.$ZodIssue): string {
  return issue.code === "unrecognized_keys"
    ? `no such option: ${issue.keys.map((key) => quote(key)).join(", ")}`
    : issue.code === "invalid_type"
      ? `${shown(issue.input)} is not an object`
      : issue.message;
}
