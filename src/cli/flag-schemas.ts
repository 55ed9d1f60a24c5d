/** Which flags each command has, and what each may hold; what they mean together is options.ts. */
import { z } from "zod";
import { GUARDS } from "../evidence/guards.js";
import { ENCODINGS } from "../plan/exact.js";
import { NEW_ROWS } from "../scheme/axes.js";
import { COMPUTE_DTYPES, DTYPES, fireBool, oneOf, parsed, parseNumber, parseSize } from "./flag-values.js";

export const common = z.object({
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
export const making = common.extend({
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

export const recoverSchema = making.extend({
  ...schemeShape,
  pathDiff: z.string("is missing: give the diff").min(1, "is empty"),
  pathTuned: z.string().min(1, "is empty").optional(),
  dtype: oneOf(COMPUTE_DTYPES)
    .transform((name) => DTYPES[name])
    .optional(),
  expectSum: parsed(parseNumber, "a number").optional(),
  checkIntegrityNaively: fireBool.default(false),
});

export const makeDiffSchema = making.extend({
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

export const pushSchema = common.extend({
  private: z.boolean().default(false),
  branch: z.string().min(1, "is empty").optional(),
  revision: z.string().min(1, "is empty").optional(),
  message: z.string().trim().min(1, "is empty").max(500, "is too long").optional(),
  dryRun: z.boolean().default(false),
  force: z.boolean().default(false),
});

export const convertSchema = common.extend({
  maxShardSize: making.shape.maxShardSize,
  dtype: recoverSchema.shape.dtype,
  dryRun: making.shape.dryRun,
  force: making.shape.force,
  resume: making.shape.resume,
});

export const xorSchema = common.extend({
  encode: z.boolean().default(false),
  decode: z.boolean().default(false),
  compress: z.boolean().default(false),
  scheme: oneOf(["auto", "oa-xor", "pygmalion", "point-alpaca"]),
  dryRun: making.shape.dryRun,
  force: making.shape.force,
  resume: making.shape.resume,
  ignore: making.shape.ignore,
});

export const verifySchema = common.extend({
  ...schemeShape,
  manifest: z.string().min(1, "is empty").optional(),
  pathRaw: z.string().min(1, "is empty").optional(),
  against: z.string().min(1, "is empty").optional(),
  require: oneOf(["digests"]).optional(),
  known: z.string().optional(),
  expectSum: parsed(parseNumber, "a number").optional(),
  format: oneOf(["text", "json", "github"]).optional(),
});

export const inspectSchema = common.extend({ digest: z.boolean().default(false), tensors: z.boolean().default(false) });

export type Common = z.infer<typeof common>;
export type Making = z.infer<typeof making>;
