/**
 * verify: is this checkpoint complete, is it what its manifest states, does it recover what it should, and is it the same as another model?
 * Lists everything that is wrong. Only a path that cannot be opened as a checkpoint at all is an error.
 */
import { checkSignature, type SignatureCheck } from "../check/signature.js";
import { surveyCheckpoint, unusable } from "../check/survey.js";
import { checkXorFiles, findXorManifest } from "../check/whole-files.js";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { expansionNote } from "../checkpoint/expansion.js";
import { type EarlyThreads, withEarlyThreads } from "../engine/early.js";
import { identify } from "../evidence/identify.js";
import { STREAM } from "../files/pipe.js";
import { type AddFinding, type Finding, reporter } from "../finding.js";
import type { Hub } from "../hub/place.js";
import { sumNamed } from "../known/sums.js";
import { MANIFEST } from "../output/state.js";
import { asCoded } from "../plan/coded.js";
import { withHub } from "../run/inputs.js";
import { threadsAhead } from "../run/pace.js";
import { receive } from "../run/receive.js";
import type { RunOptions } from "../run/run-plan.js";
import { checkSum, expectedSum, sumsOf } from "../sums/judge.js";
import { checkDigestsThere, checkStructure, findManifest } from "./verify/beside.js";
import { compareWith } from "./verify/compared.js";
import type { VerifyOptions, VerifyReport } from "./verify/options.js";
import { readContents } from "./verify/read.js";
import { checkRecovered, recoverDiff, sumsOfRun } from "./verify/recovered.js";
import { refuseBesideStream, streamName } from "./verify/stream.js";
import { inOrder, verdictOn, withoutDoubt } from "./verify/verdict.js";

export type { Verdict, VerifyOptions, VerifyReport } from "./verify/options.js";

/**
 * Verifies a model, a diff or a payload.
 * @throws {WeightDiffError} NOT_FOUND, NOT_WEIGHTS, FORMAT_… for a path that cannot be opened at all; USAGE, IO, INPUT_CHANGED, NETWORK,
 * HUB_…, INTERRUPTED. Damage is no error: the findings list it.
 */
export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  return withHub(options, (opened) => withEarlyThreads((early) => verifyWith(opened, early)));
}

async function verifyWith(options: VerifyOptions & { readonly hub: Hub }, early: EarlyThreads): Promise<VerifyReport> {
  const started = performance.now();
  const streamed = options.path === STREAM;
  if (streamed) {
    refuseBesideStream(options);
  }
  const findings: Finding[] = [];
  const about = (check: Finding["check"]): AddFinding => reporter(findings, check);
  const signature = isGiven(options.verifyKey)
    ? { signature: await signatureOf(options.path, options.verifyKey, options, about("signature")) }
    : {};
  const named = options.known === undefined || options.known === null ? null : sumNamed(options.known);
  const wholeFiles =
    isGiven(options.manifest) || streamed ? null : await findXorManifest(options.path, options.hub, about("digests"));
  if (wholeFiles?.direction === "encode") {
    const bytesRead = await checkXorFiles(options.path, wholeFiles, options, about("digests"));
    return { ...payloadReport(options.path, findings, wholeFiles.files.length, bytesRead, started), ...signature };
  }
  const place = wholeFiles === null ? await findManifest(options, about("digests")) : null;
  const manifest = place?.manifest ?? null;
  const received = streamed
    ? await receive(
        {
          ...options,
          sum: isGiven(options.known) || options.expectSum != null,
          whole: manifest?.files.some(({ sha256 }) => sha256 !== undefined) === true,
        },
        streamName(manifest),
      )
    : null;
  const survey =
    received === null
      ? await surveyCheckpoint(options.path, manifest, about("structure"), options.hub)
      : { checkpoint: received.checkpoint, index: null, unreadable: new Set<string>() };
  const { checkpoint } = survey;
  if (received === null && !isGiven(options.against)) {
    early.start(threadsAhead(checkpoint.shards, options));
  }
  const expansion = expansionNote(checkpoint.shards, checkpoint.stateDict.values(), options.path);
  if (expansion !== null) {
    about("structure")("note", expansion);
  }
  const coded = { ...survey, checkpoint: codedOr(checkpoint, about("structure")) };
  const structure = await checkStructure(coded, manifest, about("structure"));
  const { config } = structure;
  const identity = await identify(checkpoint, config, manifest);

  const wanted = expectedSum(options.expectSum ?? null, named, checkpoint);
  const sumsHere = wanted !== null && identity.kind !== "diff" && isGiven(options.raw) === false;
  const reads = !isGiven(options.against) || isGiven(options.manifest) || options.requireDigests === true || sumsHere;
  const reading = reads
    ? await readContents(survey, manifest, identity, structure, { ...options, early, sum: sumsHere, received }, about)
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

/** The checkpoint with the coded tensors of a compressed diff, or unchanged if these cannot be read. */
function codedOr(checkpoint: Checkpoint, report: AddFinding): Checkpoint {
  try {
    return asCoded(checkpoint);
  } catch (error) {
    report("error", unusable(error, checkpoint.path));
    return checkpoint;
  }
}

/** Reports every file that differs from what was signed. */
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

/** An encoded payload is no checkpoint. The only check is whether its files still have their original digests. */
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
