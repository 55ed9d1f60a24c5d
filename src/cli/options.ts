/** What the flags hold, checked by zod and turned into what the commands take. Contradictions end here, before any I/O. */
import { z } from "zod";
import type { HubOptions } from "../checkpoint/hub-settings.js";
import type { ConvertOptions } from "../convert.js";
import { WeightDiffError } from "../errors.js";
import { ENCODINGS } from "../exact.js";
import { GUARDS, type Guard } from "../guards.js";
import type { MakeDiffOptions } from "../make-diff.js";
import type { PushOptions } from "../push-target.js";
import type { RecoverOptions } from "../recover.js";
import { NEW_ROWS, type NewRows } from "../scheme-axes.js";
import type { VerifyOptions } from "../verify.js";
import type { XorOptions } from "../xor-options.js";
import { FOREIGN } from "./flags.js";
import { farmPaths, schemeOptions } from "./scheme-flags.js";

const DTYPES = { float32: "F32", fp32: "F32", float16: "F16", fp16: "F16", bfloat16: "BF16", bf16: "BF16" } as const;

const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, `one of ${values.join(", ")}`);

/** python-fire passes True and False; a bare flag is true. */
const fireBool = z.union([z.boolean(), z.string()]).transform((value, context) => {
  if (typeof value === "boolean") {
    return value;
  }
  if (/^(true|1|yes)$/i.test(value)) {
    return true;
  }
  if (!/^(false|0|no|none)$/i.test(value)) {
    context.addIssue({ code: "custom", message: "True or False" });
  }
  return false;
});

/** Text that `parse` turns into a number, or null if it is none. */
function parsed(parse: (text: string) => number | null, what: string) {
  return z.string().transform((text, context) => {
    const value = parse(text);
    if (value === null) {
      context.addIssue({ code: "custom", message: what });
      return z.NEVER;
    }
    return value;
  });
}

function parseNumber(text: string): number | null {
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text.trim()) ? Number(text) : null;
}

const common = z.object({
  json: z.boolean().default(false),
  quiet: z.boolean().default(false),
  progress: z.boolean().default(true),
  directIo: z.boolean().default(true),
  cache: z.boolean().default(true),
  offline: z.boolean().default(false),
  tokenFile: z.string().min(1, "is empty").optional(),
  threads: z
    .string()
    .regex(/^[1-9]\d?$/, "a whole number from 1 to 99")
    .transform(Number)
    .optional(),
});

/** What recover and make-diff share. */
const making = common.extend({
  pathRaw: z.string("is missing: give the base model").min(1, "is empty"),
  maxShardSize: parsed(parseSize, "a size such as 5GB"),
  invFreq: oneOf(["drop", "keep"]),
  rows: oneOf(["mean", "refuse"]).optional(),
  dryRun: z.boolean().default(false),
  force: z.boolean().default(false),
  resume: z.boolean().default(false),
  ignore: z
    .string()
    .transform((text) => text.split(",").map((name) => name.trim()))
    .pipe(z.array(oneOf(GUARDS)))
    .default([]),
});

const COMPUTE_DTYPES = ["float32", "fp32", "float16", "fp16", "bfloat16", "bf16"] as const;

/** Which scheme, the axes of a custom one, and the flags of the scripts. */
const schemeShape = {
  scheme: z.string(),
  rows: oneOf(NEW_ROWS).optional(),
  isFp16: fireBool.default(false),
  lowCpuMem: fireBool.default(false),
  op: oneOf(["add", "subtract"]).optional(),
  arith: oneOf([...COMPUTE_DTYPES, "stored"])
    .transform((name) => (name === "stored" ? name : DTYPES[name]))
    .optional(),
  verbatim: z.array(z.string().min(1, "is empty")).optional(),
  driver: oneOf(["diff", "raw"]).optional(),
};

const recoverSchema = making.extend({
  ...schemeShape,
  pathDiff: z.string("is missing: give the diff").min(1, "is empty"),
  pathTuned: z.string().min(1, "is empty").optional(),
  dtype: oneOf(COMPUTE_DTYPES)
    .transform((name) => DTYPES[name])
    .optional(),
  expectSum: parsed(parseNumber, "a number").optional(),
  checkIntegrityNaively: fireBool.default(false),
});

const makeDiffSchema = making.extend({
  pathTuned: z.string("is missing: give the fine-tuned model").min(1, "is empty"),
  pathDiff: z.string().min(1, "is empty").optional(),
  encoding: oneOf(ENCODINGS),
  baseModel: z
    .string()
    .regex(/^[\w.-]+\/[\w.-]+$/, "a name such as org/name")
    .optional(),
  push: z.string().min(1, "is empty").optional(),
  private: z.boolean().default(false),
});

const pushSchema = common.extend({
  private: z.boolean().default(false),
  branch: z.string().min(1, "is empty").optional(),
  revision: z.string().min(1, "is empty").optional(),
  message: z.string().trim().min(1, "is empty").max(500, "is too long").optional(),
  dryRun: z.boolean().default(false),
  force: z.boolean().default(false),
});

const convertSchema = common.extend({
  maxShardSize: making.shape.maxShardSize,
  dtype: recoverSchema.shape.dtype,
  dryRun: making.shape.dryRun,
  force: making.shape.force,
  resume: making.shape.resume,
});

const xorSchema = common.extend({
  encode: z.boolean().default(false),
  decode: z.boolean().default(false),
  compress: z.boolean().default(false),
  scheme: oneOf(["auto", "oa-xor", "pygmalion", "point-alpaca"]),
  dryRun: making.shape.dryRun,
  force: making.shape.force,
  resume: making.shape.resume,
  ignore: making.shape.ignore,
});

const verifySchema = common.extend({
  ...schemeShape,
  manifest: z.string().min(1, "is empty").optional(),
  pathRaw: z.string().min(1, "is empty").optional(),
  against: z.string().min(1, "is empty").optional(),
  require: oneOf(["digests"]).optional(),
  known: z.string().optional(),
  expectSum: parsed(parseNumber, "a number").optional(),
  format: oneOf(["text", "json", "github"]).optional(),
});

const inspectSchema = common.extend({ digest: z.boolean().default(false), tensors: z.boolean().default(false) });

export interface Presentation {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly progress: boolean;
}

export interface RecoverCommand extends Presentation {
  readonly options: RecoverOptions;
  /** What the user should hear about flags that mean nothing here. */
  readonly notes: readonly string[];
}

/** @throws {WeightDiffError} USAGE naming the flag. */
export function recoverOptions(flags: Readonly<Record<string, unknown>>): RecoverCommand {
  const values = check(recoverSchema, farmPaths(flags));
  if (values.checkIntegrityNaively && values.expectSum !== undefined) {
    throw new WeightDiffError(
      "USAGE",
      "--expect-sum and --check_integrity_naively contradict each other",
      "give the number you trust",
    );
  }
  return {
    ...presentation(values),
    notes: foreignNotes(flags),
    options: {
      raw: values.pathRaw,
      diff: values.pathDiff,
      tuned: values.pathTuned ?? null,
      ...schemeOptions(values),
      ...(values.dtype === undefined ? {} : { dtype: values.dtype }),
      expectSum: values.checkIntegrityNaively ? "known" : (values.expectSum ?? null),
      ...makingOptions(values, "--path_tuned", values.pathTuned),
    },
  };
}

export interface MakeDiffCommand extends Presentation {
  readonly options: MakeDiffOptions;
  /** Where it is published afterwards. */
  readonly push: Pick<PushOptions, "repo" | "private" | "hub"> | null;
  readonly notes: readonly string[];
}

/** @throws {WeightDiffError} USAGE naming the flag. */
export function makeDiffOptions(flags: Readonly<Record<string, unknown>>): MakeDiffCommand {
  const values = check(makeDiffSchema, flags);
  if (values.push !== undefined && values.pathDiff === undefined) {
    throw new WeightDiffError("USAGE", "--push without --path_diff: there is nothing to publish", "give --path_diff");
  }
  if (values.private && values.push === undefined) {
    throw new WeightDiffError("USAGE", "--private without --push", "give --push org/name, or leave it out");
  }
  return {
    ...presentation(values),
    push:
      values.push === undefined ? null : { repo: values.push, private: values.private, hub: runOptions(values).hub },
    notes: foreignNotes(flags),
    options: {
      raw: values.pathRaw,
      tuned: values.pathTuned,
      diff: values.pathDiff ?? null,
      encoding: values.encoding,
      baseModel: values.baseModel ?? null,
      ...makingOptions(values, "--path_diff", values.pathDiff),
    },
  };
}

export interface XorCommand extends Presentation {
  readonly options: Omit<XorOptions, "raw" | "output"> & { readonly ignore: readonly Guard[] };
  readonly scheme: string;
}

/** @throws {WeightDiffError} USAGE naming the flag. */
export function xorOptions(flags: Readonly<Record<string, unknown>>): XorCommand {
  const values = check(xorSchema, flags);
  if (values.encode && values.decode) {
    throw new WeightDiffError("USAGE", "--encode and --decode contradict each other", "give one of them");
  }
  if (values.encode && values.scheme === "point-alpaca") {
    throw new WeightDiffError(
      "USAGE",
      "--encode makes no .enc files",
      "use --scheme oa-xor or pygmalion: those payloads need the base in the same format, and can be checked before they are used",
    );
  }
  refuseForceAndResume(values);
  return {
    ...presentation(values),
    // A model to be encoded is no payload yet: the original's rule for all files unless another is asked for.
    scheme: values.encode && values.scheme === "auto" ? "oa-xor" : values.scheme,
    options: {
      direction: values.encode ? "encode" : "decode",
      compress: values.compress,
      ignore: values.ignore,
      mode: values.force ? "force" : values.resume ? "resume" : "new",
      dryRun: values.dryRun,
      ...runOptions(values),
    },
  };
}

function refuseForceAndResume(values: { readonly force: boolean; readonly resume: boolean }): void {
  if (values.force && values.resume) {
    throw new WeightDiffError(
      "USAGE",
      "--force and --resume contradict each other",
      "--resume continues an unfinished run, --force starts over",
    );
  }
}

/** @param flag the one that names the output. */
function makingOptions(
  values: Omit<z.infer<typeof making>, "rows"> & { readonly rows?: NewRows | undefined },
  flag: string,
  output: string | undefined,
) {
  refuseForceAndResume(values);
  if ((values.force || values.resume) && output === undefined) {
    throw new WeightDiffError(
      "USAGE",
      `--${values.force ? "force" : "resume"} without ${flag}: there is no output`,
      `give ${flag}, or leave it out`,
    );
  }
  return {
    maxShardSize: values.maxShardSize,
    invFreq: values.invFreq,
    rows: values.rows ?? null,
    ignore: values.ignore,
    mode: values.force ? "force" : values.resume ? "resume" : "new",
    dryRun: values.dryRun,
    ...runOptions(values),
  } as const;
}

function foreignNotes(flags: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(FOREIGN).flatMap(([flag, note]) => (flags[flag] === undefined ? [] : [note]));
}

export interface ConvertCommand extends Presentation {
  readonly options: Omit<ConvertOptions, "source" | "output">;
}

/** @throws {WeightDiffError} USAGE naming the flag. */
export function convertOptions(flags: Readonly<Record<string, unknown>>): ConvertCommand {
  const values = check(convertSchema, flags);
  refuseForceAndResume(values);
  return {
    ...presentation(values),
    options: {
      dtype: values.dtype ?? null,
      maxShardSize: values.maxShardSize,
      mode: values.force ? "force" : values.resume ? "resume" : "new",
      dryRun: values.dryRun,
    },
  };
}

export interface PushCommand extends Presentation {
  readonly options: Omit<PushOptions, "path">;
}

/** @param repo as it was written. @throws {WeightDiffError} USAGE naming the flag. */
export function pushOptions(repo: string, flags: Readonly<Record<string, unknown>>): PushCommand {
  const values = check(pushSchema, flags);
  const branch = values.branch ?? values.revision;
  if (branch !== undefined && (repo.includes("@") || (values.revision ?? branch) !== branch)) {
    throw new WeightDiffError("USAGE", "the branch is named twice", "give it once: --branch, or behind the @");
  }
  return {
    ...presentation(values),
    options: {
      repo: branch === undefined ? repo : `${repo}@${branch}`,
      private: values.private,
      message: values.message ?? null,
      dryRun: values.dryRun,
      force: values.force,
      ...runOptions(values),
    },
  };
}

export interface VerifyCommand extends Presentation {
  readonly format: "text" | "json" | "github";
  readonly options: Omit<VerifyOptions, "path">;
}

/** @throws {WeightDiffError} USAGE naming the flag. */
export function verifyOptions(flags: Readonly<Record<string, unknown>>): VerifyCommand {
  const values = check(verifySchema, flags);
  if (values.known !== undefined && values.expectSum !== undefined) {
    throw new WeightDiffError("USAGE", "--known and --expect-sum contradict each other", "give one of them");
  }
  if (values.json && values.format !== undefined && values.format !== "json") {
    throw new WeightDiffError(
      "USAGE",
      `--json and --format ${values.format} contradict each other`,
      "give one of them",
    );
  }
  return {
    ...presentation(values),
    format: values.json ? "json" : (values.format ?? "text"),
    options: {
      manifest: values.manifest ?? null,
      raw: values.pathRaw ?? null,
      ...schemeOptions(values),
      against: values.against ?? null,
      requireDigests: values.require === "digests",
      known: values.known ?? null,
      expectSum: values.expectSum ?? null,
      ...runOptions(values),
    },
  };
}

export interface InspectCommand extends Presentation, ReturnType<typeof runOptions> {
  readonly digest: boolean;
  readonly tensors: boolean;
}

/** @throws {WeightDiffError} USAGE naming the flag. */
export function inspectOptions(flags: Readonly<Record<string, unknown>>): InspectCommand {
  const values = check(inspectSchema, flags);
  const { digest, tensors } = values;
  return { ...presentation(values), digest, tensors, ...runOptions(values) };
}

/** How to read, the Hub included. */
function runOptions({ threads, directIo, cache, offline, tokenFile }: z.infer<typeof common>) {
  if (offline && !cache) {
    throw new WeightDiffError(
      "USAGE",
      "--offline and --no-cache contradict each other: nothing could be read from the Hub",
      "leave out one of them",
    );
  }
  const hub: HubOptions = {
    ...(offline ? { offline } : {}),
    ...(cache ? {} : { cache: null }),
    ...(tokenFile === undefined ? {} : { tokenFile }),
  };
  return { threads: threads ?? null, directIo, hub };
}

function presentation({ json, quiet, progress }: z.infer<typeof common>): Presentation {
  return { json, quiet, progress: progress && !quiet };
}

function check<T extends z.ZodType>(schema: T, flags: Readonly<Record<string, unknown>>): z.infer<T> {
  const parsed = schema.safeParse(flags);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const flag = `--${String(issue?.path[0] ?? "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
    throw new WeightDiffError("USAGE", `${flag}: ${issue?.message ?? "not understood"}`, "see weight-diff --help");
  }
  return parsed.data;
}

/** Bytes of "5GB" (decimal, as transformers), "10GiB", "4096"; null if it is none. */
export function parseSize(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?$/i.exec(text.trim());
  if (match === null) {
    return null;
  }
  const [, number = "", unit = "", binary] = match;
  const bytes = Math.floor(
    Number(number) * (binary === "" ? 1000 : 1024) ** " kmgt".indexOf(unit === "" ? " " : unit.toLowerCase()),
  );
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null;
}
