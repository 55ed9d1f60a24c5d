/** The flags of a command, turned into what its function takes. Contradictions end here, before any I/O. */

import type { ConvertOptions } from "../commands/convert.js";
import type { MakeDiffOptions } from "../commands/make-diff.js";
import type { PushOptions } from "../commands/push/target.js";
import type { RecoverOptions } from "../commands/recover.js";
import type { VerifyOptions } from "../commands/verify.js";
import type { XorOptions } from "../commands/xor/options.js";
import { WeightDiffError } from "../errors.js";
import type { Guard } from "../evidence/guards.js";
import type { HubOptions } from "../hub/settings.js";
import type { NewRows } from "../scheme/axes.js";
import {
  type Common,
  convertSchema,
  inspectSchema,
  type Making,
  makeDiffSchema,
  pushSchema,
  recoverSchema,
  verifySchema,
  xorSchema,
} from "./flag-schemas.js";
import { check } from "./flag-values.js";
import { FOREIGN } from "./flags.js";
import { farmPaths, schemeOptions } from "./scheme-flags.js";

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
  values: Omit<Making, "rows"> & { readonly rows?: NewRows | undefined },
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
function runOptions({ threads, directIo, cache, offline, tokenFile }: Common) {
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

function presentation({ json, quiet, progress }: Common): Presentation {
  return { json, quiet, progress: progress && !quiet };
}
