/** The flags: declared for commander, checked by zod, turned into what the commands take. Contradictions end here, before any I/O. */
import { type Command, Option } from "commander";
import { z } from "zod";
import { WeightDiffError } from "../errors.js";
import { ENCODINGS } from "../exact.js";
import { GUARDS } from "../guards.js";
import type { MakeDiffOptions } from "../make-diff.js";
import type { RecoverOptions } from "../recover.js";
import type { VerifyOptions } from "../verify.js";

/** Flags of the reference scripts that mean nothing here, and what to tell whoever passes them. */
const FOREIGN: Readonly<Record<string, string>> = {
  device: "--device: everything is computed on the CPU, with the bits that torch gives on a CPU",
  testInference: "--test_inference: no text is generated; the checks compare digests and sums instead",
  originalModel: "--original_model: not loaded; compare the digests in weight-diff.json instead",
  lowCpuMem: "--low-cpu-mem: memory is always small",
};

const COMMON = (command: Command): Command =>
  command
    .option("--json", "print the result as one JSON document on stdout")
    .option("--quiet", "say nothing on stderr but warnings and errors")
    .option("--no-progress", "show no progress")
    .option("--threads <n>", "worker threads (default: the processors there are, at most 8)")
    .option("--no-direct-io", "never pass by the page cache");

/** Adds recover's flags. */
export function declareRecover(command: Command): Command {
  return COMMON(
    command
      .option("--path-raw <base>", "the base model: a directory, one weight file, or a Hub cache folder")
      .option("--path-diff <diff>", "the published diff, likewise")
      .option(
        "--path-tuned <out>",
        "where the recovered model goes; without it everything is computed and checked, and nothing written",
      )
      .option("--scheme <name>", "auto, open-instruct, alpaca: which script's rules to follow", "auto")
      .option(
        "--dtype <dtype>",
        "float32 (the default, as the reference), float16 or bfloat16: rounded once, as torch does",
      )
      .option("--max-shard-size <size>", "tensor bytes in one output file, as 5GB, 500MB, 10GiB", "5GB")
      .option("--inv-freq <drop|keep>", "rotary_emb.inv_freq buffers: drop (models recompute them) or keep", "drop")
      .option("--rows <mean|refuse>", "rule for new vocabulary rows; mean also allows more than 64 of them")
      .option("--expect-sum <number>", "hold the naive sum of the recovered weights against this number")
      .option("--check-integrity-naively [bool]", "hold it against the published sum, if the diff is known to have one")
      .option("--dry-run", "print what would be done, and stop")
      .option("--force", "replace the model that is in the output directory")
      .option("--resume", "continue an unfinished run")
      .option("--ignore <guards>", `switch guards off, separated by commas: ${GUARDS.join(", ")}`),
  )
    .addOption(new Option("--device <device>").hideHelp())
    .addOption(new Option("--test-inference [bool]").hideHelp())
    .addOption(new Option("--original-model <model>").hideHelp())
    .addOption(new Option("--low-cpu-mem [bool]").hideHelp());
}

/** Adds make-diff's flags. */
export function declareMakeDiff(command: Command): Command {
  return COMMON(
    command
      .option("--path-raw <base>", "the base model: a directory, one weight file, or a Hub cache folder")
      .option("--path-tuned <tuned>", "the fine-tuned model, likewise")
      .option("--path-diff <out>", "where the diff goes; without it the diff is made and proved, and nothing written")
      .option(
        "--encoding <name>",
        "additive: float32, for this tool and the Python scripts; exact: bit patterns, half the size for 16-bit models",
        "additive",
      )
      .option("--base-model <name>", "what the model card calls the base: org/name")
      .option("--max-shard-size <size>", "tensor bytes in one output file, as 5GB, 500MB, 10GiB", "5GB")
      .option("--inv-freq <drop|keep>", "rotary_emb.inv_freq buffers: drop (models recompute them) or keep", "drop")
      .option("--rows <mean|refuse>", "rule for new vocabulary rows; mean also allows more than 64 of them")
      .option("--dry-run", "print what would be done, and stop")
      .option("--force", "replace the diff that is in the output directory")
      .option("--resume", "continue an unfinished run")
      .option("--ignore <guards>", `switch guards off, separated by commas: ${GUARDS.join(", ")}`),
  ).addOption(new Option("--device <device>").hideHelp());
}

/** Adds verify's flags. */
export function declareVerify(command: Command): Command {
  return COMMON(
    command
      .argument("<checkpoint>", "a diff or a model: a directory, one weight file, or a Hub cache folder")
      .option("--manifest <file>", "the manifest to go by (default: weight-diff.json beside the weights)")
      .option(
        "--path-raw <base>",
        "of a diff: compute what it recovers, write nothing, and check it against the manifest",
      )
      .option("--scheme <name>", "with --path_raw: auto, or which script's rules to follow", "auto")
      .option("--against <other>", "another checkpoint that should be the same model, in whatever format and dtype")
      .option("--require <what>", "digests: fail if there are none to check against")
      .option("--known <name>", "hold the sum of all weights against a published one, as alpaca-7b")
      .option("--expect-sum <number>", "hold it against this number")
      .option("--format <format>", "text, json, or github (annotations for a workflow)"),
  );
}

/** Adds inspect's flags. */
export function declareInspect(command: Command): Command {
  return COMMON(command.argument("<path>", "a checkpoint: a directory, one weight file, or a Hub cache folder"))
    .option("--digest", "read every byte and show each tensor's sha256, and know published files by theirs")
    .option("--tensors", "list every tensor");
}

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

const recoverSchema = making.extend({
  pathDiff: z.string("is missing: give the diff").min(1, "is empty"),
  pathTuned: z.string().min(1, "is empty").optional(),
  scheme: z.string(),
  dtype: oneOf(["float32", "fp32", "float16", "fp16", "bfloat16", "bf16"])
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
});

const verifySchema = common.extend({
  manifest: z.string().min(1, "is empty").optional(),
  pathRaw: z.string().min(1, "is empty").optional(),
  scheme: z.string(),
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
  const values = check(recoverSchema, flags);
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
      scheme: values.scheme,
      ...(values.dtype === undefined ? {} : { dtype: values.dtype }),
      expectSum: values.checkIntegrityNaively ? "known" : (values.expectSum ?? null),
      ...makingOptions(values, "--path_tuned", values.pathTuned),
    },
  };
}

export interface MakeDiffCommand extends Presentation {
  readonly options: MakeDiffOptions;
  readonly notes: readonly string[];
}

/** @throws {WeightDiffError} USAGE naming the flag. */
export function makeDiffOptions(flags: Readonly<Record<string, unknown>>): MakeDiffCommand {
  const values = check(makeDiffSchema, flags);
  return {
    ...presentation(values),
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

/** @param flag the one that names the output. */
function makingOptions(values: z.infer<typeof making>, flag: string, output: string | undefined) {
  if (values.force && values.resume) {
    throw new WeightDiffError(
      "USAGE",
      "--force and --resume contradict each other",
      "--resume continues an unfinished run, --force starts over",
    );
  }
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
    threads: values.threads ?? null,
    directIo: values.directIo,
  } as const;
}

function foreignNotes(flags: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(FOREIGN).flatMap(([flag, note]) => (flags[flag] === undefined ? [] : [note]));
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
      scheme: values.scheme,
      against: values.against ?? null,
      requireDigests: values.require === "digests",
      known: values.known ?? null,
      expectSum: values.expectSum ?? null,
      threads: values.threads ?? null,
      directIo: values.directIo,
    },
  };
}

export interface InspectCommand extends Presentation {
  readonly digest: boolean;
  readonly tensors: boolean;
  readonly threads: number | null;
  readonly directIo: boolean;
}

/** @throws {WeightDiffError} USAGE naming the flag. */
export function inspectOptions(flags: Readonly<Record<string, unknown>>): InspectCommand {
  const values = check(inspectSchema, flags);
  const { digest, tensors, directIo } = values;
  return { ...presentation(values), digest, tensors, threads: values.threads ?? null, directIo };
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
