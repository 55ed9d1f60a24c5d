/**
 * verify: is this checkpoint whole, is it what its manifest says, does it recover what it should, is it that other model?
 * Everything that is wrong is listed; only a place that cannot be opened as a checkpoint at all ends in an error.
 */
import { join } from "node:path";
import { type CheckpointComparison, compareCheckpoints } from "../check/compare.js";
import { checkManifest, checkRecords, checkValues, filesToDigest } from "../check/contents.js";
import { checkHub, filesToHold } from "../check/hub.js";
import { checkReleased } from "../check/released.js";
import { checkListedFiles, checkSideFiles, checkTokenizer, checkUnfinished } from "../check/side-files.js";
import { loneFile, type Survey, surveyCheckpoint, unusable } from "../check/survey.js";
import { checkXorFiles, findXorManifest } from "../check/whole-files.js";
import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.js";
import { configOf, type ModelConfig } from "../checkpoint/config.js";
import { readTokenizer } from "../checkpoint/tokenizer.js";
import { WeightDiffError } from "../errors.js";
import { familyName } from "../evidence/family.js";
import { type Identity, identify } from "../evidence/identify.js";
import { checkConfig, modelShape } from "../evidence/model-shape.js";
import type { SchemeOptions } from "../evidence/scheme.js";
import { expandHome } from "../files/paths.js";
import { type Finding, type Report, reporter } from "../finding.js";
import type { Hub } from "../hub/place.js";
import { sumNamed } from "../known/sums.js";
import { isVerbatim, type Manifest, parseManifest, readManifestText } from "../manifest/manifest.js";
import { hasFile, MANIFEST } from "../output/state.js";
import { type Reading, readTensors } from "../run/digest.js";
import { withHub } from "../run/inputs.js";
import type { RunOptions } from "../run/run-plan.js";
import { checkSum, expectedSum, type SumCheck, sumsOf } from "../sums/judge.js";
import type { NaiveSums } from "../sums/naive.js";
import { checkRecovered, type RecoveredTensors, recoverDiff, sumsOfRun } from "./verify/recovered.js";

export interface VerifyOptions extends RunOptions, SchemeOptions {
  readonly path: string;
  /** A manifest kept elsewhere; null takes the one beside the weights, if there is one. */
  readonly manifest?: string | null;
  /** The base of a diff: what it recovers, by the scheme, is computed, not written, and held against the manifest. */
  readonly raw?: string | null;
  /** Another checkpoint that should be the same model. */
  readonly against?: string | null;
  /** Is a checkpoint without digests a failure? */
  readonly requireDigests?: boolean;
  /** Name of a published sum; null takes the one that was published for the repository, if one was. */
  readonly known?: string | null;
  /** A sum to hold the model against. */
  readonly expectSum?: number | null;
}

export interface VerifyReport {
  readonly path: string;
  readonly identity: Identity;
  /** Where the digests came from; null if there were none, or they were not looked at. */
  readonly manifest: string | null;
  readonly findings: readonly Finding[];
  readonly files: number;
  readonly tensors: number;
  /** Were the tensors' bytes read? */
  readonly read: boolean;
  /** An encoded payload: whole files and their digests, nothing that has a structure. */
  readonly whole: boolean;
  readonly sums: NaiveSums | null;
  readonly sumCheck: SumCheck | null;
  /** What was recovered with the base. */
  readonly recovered: RecoveredTensors | null;
  readonly comparison: CheckpointComparison | null;
  /** No finding is an error. */
  readonly sound: boolean;
  readonly bytesRead: number;
  readonly seconds: number;
}

/** Verifies. @throws {WeightDiffError} as openCheckpoint for what is no checkpoint; USAGE, IO, INPUT_CHANGED, INTERRUPTED. */
export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  return withHub(options, verifyWith);
}

async function verifyWith(options: VerifyOptions & { readonly hub: Hub }): Promise<VerifyReport> {
  const started = performance.now();
  const findings: Finding[] = [];
  const about = (check: Finding["check"]): Report => reporter(findings, check);
  const named = options.known === undefined || options.known === null ? null : sumNamed(options.known);
  const wholeFiles = isGiven(options.manifest) ? null : await findXorManifest(options.path, options.hub);
  if (wholeFiles?.direction === "encode") {
    const bytesRead = await checkXorFiles(options.path, wholeFiles, options, about("digests"));
    return payloadReport(options.path, findings, wholeFiles.files.length, bytesRead, started);
  }
  const manifest = wholeFiles === null ? await findManifest(options, about("digests")) : null;
  const survey = await surveyCheckpoint(options.path, manifest, about("structure"), options.hub);
  const { checkpoint } = survey;
  const config = await checkStructure(survey, about("structure"));
  const identity = await identify(checkpoint, config, manifest);

  const wanted = expectedSum(options.expectSum ?? null, named, checkpoint);
  const sumsHere = wanted !== null && identity.kind !== "diff" && isGiven(options.raw) === false;
  const reads = !isGiven(options.against) || isGiven(options.manifest) || options.requireDigests === true || sumsHere;
  const reading = reads ? await readContents(survey, manifest, identity, { ...options, sum: sumsHere }, about) : null;
  const digested =
    wholeFiles === null || reading === null
      ? 0
      : await checkXorFiles(options.path, wholeFiles, options, about("digests"));
  if (wholeFiles === null) {
    checkDigestsThere(manifest, options, about("digests"));
  }

  const run = isGiven(options.raw) ? await recoverDiff(options.raw, options, about("recovered")) : null;
  const recovered = run === null ? null : checkRecovered(run, manifest, about("recovered"));
  const sums =
    sumsHere && reading !== null ? sumsOf(checkpoint, config, reading) : run === null ? null : sumsOfRun(run);
  const sumCheck = checkSum(wanted, sums, identity, checkpoint, about("sum"));
  const comparison = isGiven(options.against)
    ? await compare(checkpoint, options.against, options, about("compare"))
    : null;
  return {
    path: options.path,
    identity,
    manifest: (manifest ?? wholeFiles) === null || reading === null ? null : (options.manifest ?? MANIFEST),
    findings: inOrder(findings),
    files: checkpoint.shards.length,
    tensors: checkpoint.stateDict.size,
    read: reading !== null,
    whole: false,
    sums: sums?.sums ?? null,
    sumCheck,
    recovered,
    comparison,
    sound: findings.every(({ level }) => level !== "error"),
    bytesRead: digested + (reading?.read ?? 0) + (run?.bytesRead ?? 0) + (comparison?.read ?? 0),
    seconds: (performance.now() - started) / 1000,
  };
}

/** What was encoded is no checkpoint: its files are what they were when they were made, or not. */
function payloadReport(
  path: string,
  findings: readonly Finding[],
  files: number,
  bytesRead: number,
  started: number,
): VerifyReport {
  return {
    path,
    identity: { kind: "diff", reason: "weight-diff.json says that xor --encode made it" },
    manifest: MANIFEST,
    findings: inOrder(findings),
    files,
    tensors: 0,
    read: true,
    whole: true,
    sums: null,
    sumCheck: null,
    recovered: null,
    comparison: null,
    sound: findings.every(({ level }) => level !== "error"),
    bytesRead,
    seconds: (performance.now() - started) / 1000,
  };
}

function isGiven(path: string | null | undefined): path is string {
  return path !== undefined && path !== null;
}

/** The manifest to go by. One that is damaged is a finding, and counts as none. @throws {WeightDiffError} NOT_FOUND if it was named; IO. */
async function findManifest(options: VerifyOptions & { readonly hub: Hub }, report: Report): Promise<Manifest | null> {
  const given = isGiven(options.manifest);
  const place = given ? null : await options.hub.find(options.path);
  const directory = place?.directory ?? expandHome(options.path);
  const path = given ? expandHome(options.manifest) : join(directory, MANIFEST);
  if (!given && !(await hasFile(directory, MANIFEST))) {
    return null;
  }
  const where = given ? {} : { file: MANIFEST };
  const name = given ? `manifest ${options.manifest}: ` : "";
  try {
    const text = await readManifestText(path);
    const manifest = parseManifest(text, path);
    if (!isVerbatim(text, path)) {
      report("error", `${name}its text was changed since it was written, though not its values`, where);
    }
    return manifest;
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "NOT_FOUND") {
      throw error;
    }
    report("error", `${name}cannot be used: ${unusable(error, path)}`, where);
    return null;
  }
}

/** Config and side files. What the weight files themselves have to say, the survey has said. */
async function checkStructure(survey: Survey, report: Report): Promise<ModelConfig | null> {
  const { directory, stateDict, shards, path } = survey.checkpoint;
  if (directory === null) {
    report("note", "a lone file: no index, config or tokenizer to check it against", {
      file: loneFile(path, survey.checkpoint) ?? path,
    });
    return null;
  }
  const file = "config.json";
  const config = await configOf(survey.checkpoint).catch((error: unknown) => {
    report("error", unusable(error, join(directory, file)), { file });
    return undefined;
  });
  if (config === null) {
    report("warning", "missing: loaders need it", { file });
  } else if (config !== undefined && survey.unreadable.size === 0) {
    checkConfig(config, stateDict, report);
  }
  const weights = new Set([...shards.map((shard) => shard.file), ...survey.unreadable, survey.index?.file ?? ""]);
  await checkSideFiles(directory, new Set([...weights, file]), report);
  checkTokenizer(await readTokenizer(directory), survey, report);
  await checkUnfinished(directory, report);
  return config ?? null;
}

/** Reads every tensor once, and judges values and digests. */
async function readContents(
  survey: Survey,
  manifest: Manifest | null,
  identity: Identity,
  options: VerifyOptions & { readonly sum: boolean },
  about: (check: Finding["check"]) => Report,
): Promise<Reading> {
  const { checkpoint } = survey;
  const wholeFiles =
    checkpoint.meta === undefined
      ? [...new Set([...filesToDigest(checkpoint, manifest), ...filesToHold(checkpoint, manifest)])]
      : checkpoint.shards;
  const reading = await readTensors(checkpoint, { ...options, count: true, wholeFiles });
  checkRecords(reading, about("digests"));
  checkHub(checkpoint, manifest, reading, about("digests"));
  checkValues(checkpoint, reading, identity.kind, about("values"));
  if (checkpoint.meta !== undefined) {
    const family = familyName(modelShape(checkpoint.stateDict), await configOf(checkpoint));
    checkReleased(checkpoint, reading, family, about("digests"));
  }
  if (manifest !== null) {
    checkManifest(survey, manifest, reading, about("digests"));
    if (checkpoint.directory !== null) {
      await checkListedFiles(checkpoint.directory, manifest, survey, about("digests"));
    }
  }
  return reading;
}

function checkDigestsThere(manifest: Manifest | null, options: VerifyOptions, report: Report): void {
  if (manifest === null && options.requireDigests === true) {
    report("error", `no digests: there is no usable ${MANIFEST}, and --require digests wants one`);
  }
}

async function compare(
  checkpoint: Checkpoint,
  against: string,
  options: VerifyOptions & { readonly hub: Hub },
  report: Report,
): Promise<CheckpointComparison> {
  const comparison = await compareCheckpoints(checkpoint, await openCheckpoint(against, options.hub), options);
  for (const { name, verdict, reason, different, elements, maxDifference } of comparison.tensors) {
    const file = checkpoint.stateDict.get(name)?.shard.file;
    const where = { tensor: name, ...(file === undefined ? {} : { file }) };
    const gap = maxDifference === null ? "" : `, by at most ${maxDifference}`;
    if (reason !== null) {
      report("error", `differs: ${reason}`, where);
    } else if (verdict === "different") {
      report("error", `differs in ${different} of ${elements} values${gap}`, where);
    } else if (verdict === "rounded") {
      report("note", `equal after rounding: ${different} of ${elements} values were rounded${gap}`, where);
    }
  }
  const side = (names: readonly string[], here: string): void => {
    for (const tensor of names) {
      report("error", `is only in ${here}`, { tensor });
    }
  };
  side(comparison.onlyHere, checkpoint.path);
  side(comparison.onlyThere, against);
  if (comparison.tensors.length === 0) {
    report("error", `not one tensor is also in ${against}`);
  }
  if (comparison.buffers.length > 0) {
    report(
      "note",
      `${comparison.buffers.length} rotary_emb.inv_freq buffers are on one side only: models recompute them`,
    );
  }
  return comparison;
}

const LEVELS = ["error", "warning", "note"] as const;

/** What matters first; within a level as it was found. */
function inOrder(findings: readonly Finding[]): readonly Finding[] {
  return LEVELS.flatMap((level) => findings.filter((finding) => finding.level === level));
}
