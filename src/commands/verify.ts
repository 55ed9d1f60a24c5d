/**
 * verify: is this checkpoint whole, is it what its manifest says, does it recover what it should, is it that other model?
 * Everything that is wrong is listed. Only a path that cannot be opened as a checkpoint at all ends in an error.
 */
import type { CheckpointComparison } from "../check/compare.js";
import { checkManifest, checkRecords, checkTied, checkValues, filesToDigest } from "../check/contents.js";
import { checkHub, filesToHold } from "../check/hub.js";
import { checkReleased } from "../check/released.js";
import { checkListedFiles } from "../check/side-files.js";
import { checkSignature, type SignatureCheck } from "../check/signature.js";
import { type Survey, surveyCheckpoint, unusable } from "../check/survey.js";
import { checkXorFiles, findXorManifest } from "../check/whole-files.js";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { expansionNote } from "../checkpoint/expansion.js";
import { layoutNamed } from "../checkpoint/layouts/registry.js";
import { familyName } from "../evidence/family.js";
import { type Identity, identify } from "../evidence/identify.js";
import { modelShape } from "../evidence/model-shape.js";
import type { SchemeOptions } from "../evidence/scheme.js";
import { type AddFinding, type Finding, isByRule, reporter } from "../finding.js";
import type { Hub } from "../hub/place.js";
import { sumNamed } from "../known/sums.js";
import type { Manifest } from "../manifest/manifest.js";
import { MANIFEST } from "../output/state.js";
import { asCoded } from "../plan/coded.js";
import { type Reading, readTensors } from "../run/digest.js";
import { withHub } from "../run/inputs.js";
import type { RunOptions } from "../run/run-plan.js";
import { checkSum, expectedSum, type SumCheck, sumsOf } from "../sums/judge.js";
import type { NaiveSums } from "../sums/naive.js";
import { checkDigestsThere, checkStructure, findManifest, type Structure } from "./verify/beside.js";
import { compareWith } from "./verify/compared.js";
import { checkRecovered, type RecoveredTensors, recoverDiff, sumsOfRun } from "./verify/recovered.js";

export interface VerifyOptions extends RunOptions, SchemeOptions {
  /** The diff or model: a directory, a weight file, a Hub cache folder, or the name of a repository. */
  readonly path: string;
  /** The path of a manifest that is kept elsewhere; null takes the one beside the weights, if there is one. */
  readonly manifest?: string | null;
  /** The base, where a diff is verified: the model is recovered without being written, and compared with the manifest. */
  readonly raw?: string | null;
  /** Another checkpoint that should hold the same model. */
  readonly against?: string | null;
  /** Report an error where there are no digests to compare with. */
  readonly requireDigests?: boolean;
  /** The name of a published sum, such as "alpaca-7b"; null takes the one that was published for this repository, if any. */
  readonly known?: string | null;
  /** A file with the publisher's public key (PEM, EC): every file must be as it was signed. */
  readonly verifyKey?: string | null;
  /** The naive sum that the model should have (docs/arithmetic.md 7). */
  readonly expectSum?: number | null;
}

/** "failed": there is an error among the findings. "unproven": there was nothing to compare with for a check that was asked for. */
export type Verdict = "sound" | "unproven" | "failed";

export interface VerifyReport {
  readonly path: string;
  /** A diff or a full model, and by what that is known. */
  readonly identity: Identity;
  /** The manifest that the digests come from; null if there is none, or if it was not used. */
  readonly manifest: string | null;
  /** Everything that was found, errors first. */
  readonly findings: readonly Finding[];
  /** How many weight files and tensors there are. */
  readonly files: number;
  readonly tensors: number;
  /** Were the tensors' bytes read, or the structure only? */
  readonly read: boolean;
  /** Is it an encoded payload? Then whole files were compared with their digests; there are no tensors to look at. */
  readonly whole: boolean;
  readonly sums: NaiveSums | null;
  readonly sumCheck: SumCheck | null;
  /** What was recovered with the base; null if none was given. */
  readonly recovered: RecoveredTensors | null;
  /** How the other checkpoint compares; null if none was given. */
  readonly comparison: CheckpointComparison | null;
  /** By whose key how many files are signed, if that was asked for; what is wrong with it is among the findings. */
  readonly signature?: Pick<SignatureCheck, "key" | "files">;
  readonly verdict: Verdict;
  /** Is the verdict "sound"? */
  readonly sound: boolean;
  readonly bytesRead: number;
  readonly seconds: number;
}

/**
 * Verifies a model, a diff or a payload. @throws {WeightDiffError} NOT_FOUND, NOT_WEIGHTS, FORMAT_… for what cannot be opened at all;
 * USAGE, IO, INPUT_CHANGED, NETWORK, HUB_…, INTERRUPTED. Damage is no error here: it is in the findings.
 */
export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  return withHub(options, verifyWith);
}

async function verifyWith(options: VerifyOptions & { readonly hub: Hub }): Promise<VerifyReport> {
  const started = performance.now();
  const findings: Finding[] = [];
  const about = (check: Finding["check"]): AddFinding => reporter(findings, check);
  const signature = isGiven(options.verifyKey)
    ? { signature: await signatureOf(options.path, options.verifyKey, options, about("signature")) }
    : {};
  const named = options.known === undefined || options.known === null ? null : sumNamed(options.known);
  const wholeFiles = isGiven(options.manifest)
    ? null
    : await findXorManifest(options.path, options.hub, about("digests"));
  if (wholeFiles?.direction === "encode") {
    const bytesRead = await checkXorFiles(options.path, wholeFiles, options, about("digests"));
    return { ...payloadReport(options.path, findings, wholeFiles.files.length, bytesRead, started), ...signature };
  }
  const place = wholeFiles === null ? await findManifest(options, about("digests")) : null;
  const manifest = place?.manifest ?? null;
  const survey = await surveyCheckpoint(options.path, manifest, about("structure"), options.hub);
  const { checkpoint } = survey;
  const expansion = expansionNote(checkpoint.shards, checkpoint.stateDict.values(), options.path);
  if (expansion !== null) {
    about("structure")("note", expansion);
  }
  const coded = { ...survey, checkpoint: codedOr(checkpoint, about("structure")) };
  const structure = await checkStructure(coded, about("structure"));
  const { config } = structure;
  const identity = await identify(checkpoint, config, manifest);

  const wanted = expectedSum(options.expectSum ?? null, named, checkpoint);
  const sumsHere = wanted !== null && identity.kind !== "diff" && isGiven(options.raw) === false;
  const reads = !isGiven(options.against) || isGiven(options.manifest) || options.requireDigests === true || sumsHere;
  const reading = reads
    ? await readContents(survey, manifest, identity, structure, { ...options, sum: sumsHere }, about)
    : null;
  const digested =
    wholeFiles === null || reading === null
      ? 0
      : await checkXorFiles(options.path, wholeFiles, options, about("digests"));
  if (place !== null) {
    checkDigestsThere(place, survey, options, about("digests"));
  }

  const run = isGiven(options.raw) ? await recoverDiff(options.raw, options, about("recovered")) : null;
  const sums =
    sumsHere && reading !== null ? sumsOf(checkpoint, config, reading) : run === null ? null : sumsOfRun(run);
  const sumCheck = checkSum(wanted, sums, identity, checkpoint, about("sum"));
  const recovered = run === null ? null : checkRecovered(run, manifest, sumCheck !== null, about("recovered"));
  const comparison = isGiven(options.against)
    ? await compareWith(checkpoint, options.against, options, about("compare"))
    : null;
  const proven = (manifest ?? wholeFiles) !== null && reading !== null && survey.unreadable.size === 0;
  const told = proven ? withoutDoubt(findings) : findings;
  return {
    path: options.path,
    identity,
    manifest: (manifest ?? wholeFiles) === null || reading === null ? null : (options.manifest ?? MANIFEST),
    findings: inOrder(told),
    files: checkpoint.shards.length,
    tensors: checkpoint.stateDict.size,
    read: reading !== null,
    whole: false,
    sums: sums?.sums ?? null,
    sumCheck,
    recovered,
    comparison,
    ...signature,
    ...verdictOn(told),
    bytesRead: digested + (reading?.read ?? 0) + (run?.bytesRead ?? 0) + (comparison?.read ?? 0),
    seconds: (performance.now() - started) / 1000,
  };
}

/** With the tensors that are coded in a compressed diff; as it is where they cannot be told. */
function codedOr(checkpoint: Checkpoint, report: AddFinding): Checkpoint {
  try {
    return asCoded(checkpoint);
  } catch (error) {
    report("error", unusable(error, checkpoint.path));
    return checkpoint;
  }
}

/** Tells every file that is not as it was signed. */
async function signatureOf(
  path: string,
  key: string,
  options: RunOptions,
  report: AddFinding,
): Promise<Pick<SignatureCheck, "key" | "files">> {
  const { problems, ...signed } = await checkSignature(path, key, options);
  for (const { file, message } of problems) {
    report("error", message, file === null ? {} : { file });
  }
  return signed;
}

/** An encoded payload is no checkpoint. All that can be said is whether its files still have the digests that they were made with. */
function payloadReport(
  path: string,
  findings: readonly Finding[],
  files: number,
  bytesRead: number,
  started: number,
): VerifyReport {
  return {
    path,
    identity: { kind: "diff", reason: "weight-diff.json says that xor encoded it" },
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
    ...verdictOn(findings),
    bytesRead,
    seconds: (performance.now() - started) / 1000,
  };
}

function isGiven(path: string | null | undefined): path is string {
  return path !== undefined && path !== null;
}

/** Reads every tensor once, and judges values and digests. */
async function readContents(
  survey: Survey,
  manifest: Manifest | null,
  identity: Identity,
  { config, judged }: Structure,
  options: VerifyOptions & { readonly sum: boolean },
  about: (check: Finding["check"]) => AddFinding,
): Promise<Reading> {
  const { checkpoint } = survey;
  const { released } = layoutNamed(checkpoint.layout);
  const wholeFiles = released
    ? checkpoint.shards
    : [...new Set([...filesToDigest(checkpoint, manifest), ...filesToHold(checkpoint, manifest)])];
  const reading = await readTensors(checkpoint, { ...options, count: true, wholeFiles });
  checkRecords(reading, about("digests"));
  checkHub(checkpoint, manifest, reading, about("digests"));
  const known = { modelType: config?.modelType ?? null, neverZero: judged.neverZero };
  checkValues(checkpoint, reading, identity.kind, known, about("values"));
  if (judged.tied !== null) {
    checkTied(checkpoint, reading, judged.tied, about("structure"));
  }
  if (released) {
    const family = familyName(modelShape(checkpoint.stateDict, config), config);
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

const LEVELS = ["error", "warning", "note"] as const;

/** Errors first, then warnings, then notes; within a level in the order in which they were found. */
function inOrder(findings: readonly Finding[]): readonly Finding[] {
  return LEVELS.flatMap((level) => findings.filter((finding) => finding.level === level));
}

function verdictOn(findings: readonly Finding[]): { readonly verdict: Verdict; readonly sound: boolean } {
  const verdict = findings.some(({ level }) => level === "error")
    ? "failed"
    : findings.some(({ code }) => code === "not-compared")
      ? "unproven"
      : "sound";
  return { verdict, sound: verdict === "sound" };
}

/** Digests prove that the checkpoint is as it was made. Then no rule about its architecture may call it damaged. */
function withoutDoubt(findings: readonly Finding[]): readonly Finding[] {
  const proven = !findings.some(({ check, level }) => check === "digests" && level === "error");
  return findings.map((finding) =>
    proven && finding.level === "error" && isByRule(finding) ? { ...finding, level: "warning" } : finding,
  );
}
