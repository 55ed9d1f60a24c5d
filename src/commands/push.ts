/**
 * push: a diff or a model onto the Hub. It looks at the folder, asks whether the token may write there, verifies the files, sends what the Hub does not
 * have yet in one commit, and compares what the Hub lists afterwards with the files here. It never deletes anything there.
 */
import type { Advice } from "../advice.js";
import { openCheckpoint } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import { absolutePath } from "../files/paths.js";
import { type Finding, isByRule } from "../finding.js";
import { printable } from "../formats/quote.js";
import {
  commitFiles,
  createRemote,
  type HubWriter,
  type RemoteState,
  remoteState,
  type UploadFile,
} from "../hub/upload.js";
import { MANIFEST } from "../output/state.js";
import { compareFiles, filesToPush, isSame, type PushedFile, warnOfOthers } from "./push/files.js";
import { openTarget, type PushOptions, targetOf } from "./push/target.js";
import { verify } from "./verify.js";

export interface PushReport {
  readonly repo: string;
  readonly branch: string;
  /** The address of the commit's page, or of the repository's. */
  readonly url: string;
  /** "planned": a dry run. "unchanged": the Hub already had all files. */
  readonly outcome: "pushed" | "planned" | "unchanged";
  /** Was the repository created by this push? */
  readonly created: boolean;
  /** Is the repository private? Null if it does not exist (a dry run). */
  readonly private: boolean | null;
  /** The commit of the branch at the end; null if there is none. */
  readonly commit: string | null;
  readonly files: readonly PushedFile[];
  /** Bytes that were sent. Of large files, only the parts that the Hub did not have. */
  readonly bytesSent: number;
  readonly seconds: number;
}

/**
 * Publishes a directory on the Hub.
 * @throws {WeightDiffError} CHECK_FAILED for a directory that is damaged; HUB_…, NETWORK, OUTPUT_REFUSED, USAGE; otherwise as verify.
 */
export async function push(options: PushOptions): Promise<PushReport> {
  const started = performance.now();
  const say = options.onNote ?? (() => {});
  const sending = { total: 0, done: 0, file: "" };
  await targetOf(options);
  // An absolute path is never taken for the name of a repository. What is wrong with the folder is told before a token is asked for.
  const path = absolutePath(options.path);
  const local = await filesToPush(await openCheckpoint(path), options);
  const { writer, before } = await openTarget(options, (count) => {
    sending.done += count;
    options.onProgress?.({ done: sending.done, total: sending.total, shard: "upload", tensor: sending.file });
  });
  await refuseUnsound(path, options);
  const files = await compareFiles(local, before, options);
  const changed = local.filter((_, index) => files[index]?.change !== "same");
  warnOfOthers(local, before, options);
  const draft = { repo: writer.id, branch: writer.branch, url: writer.page, files, created: false };
  const done = { private: before?.private ?? null, commit: before?.commit ?? null, bytesSent: 0 };
  if (options.dryRun === true || (before !== null && changed.length === 0)) {
    const outcome = options.dryRun === true ? "planned" : "unchanged";
    return { ...draft, ...done, outcome, seconds: (performance.now() - started) / 1000 };
  }

  const base = before ?? (await makeRepository(writer, options));
  sending.total = changed.reduce((sum, { size }) => sum + size, 0);
  say(`sending ${changed.length} of ${files.length} files to ${writer.page}`);
  const after = await sendAndCheck(writer, changed, files, base, options, (file) => {
    sending.file = file;
  });
  return {
    ...draft,
    outcome: "pushed",
    created: before === null,
    url: `${writer.page}/commit/${after.commit}`,
    private: after.private,
    commit: after.commit,
    bytesSent: sending.done,
    seconds: (performance.now() - started) / 1000,
  };
}

/** @throws {WeightDiffError} CHECK_FAILED, naming the first damage. */
async function refuseUnsound(path: string, options: PushOptions): Promise<void> {
  const { signal, onProgress, threads, directIo } = options;
  const rest = { ...(threads === undefined ? {} : { threads }), ...(directIo === undefined ? {} : { directIo }) };
  const report = await verify({
    path,
    requireDigests: options.force !== true,
    signal,
    onProgress,
    ...rest,
  });
  // With force, the user answers for a missing manifest, and for what contradicts a rule of the architecture, but never for damage.
  const overruled = (finding: Finding): boolean =>
    options.force === true && (isByRule(finding) || finding.code === "no-manifest");
  const errors = report.findings.filter((finding) => finding.level === "error" && !overruled(finding));
  const [first] = errors;
  if (first !== undefined) {
    const more = errors.length === 1 ? "" : `, and ${errors.length - 1} more`;
    throw new WeightDiffError("CHECK_FAILED", `${findingText(first)}${more}: nothing was pushed`, undefined, {
      at: { file: options.path },
      advice: [listAll(path)],
    });
  }
  const odd = report.findings.filter(({ level }) => level !== "note");
  for (const finding of odd.slice(0, SHOWN)) {
    options.onWarning?.(findingText(finding));
  }
  if (odd.length > SHOWN) {
    options.onWarning?.(`${odd.length - SHOWN} more warnings of this kind`, [listAll(path)]);
  }
  const how =
    report.manifest === null ? "structure and values only" : `${report.tensors} tensors as ${MANIFEST} has them`;
  options.onNote?.(`verified: ${how}`);
}

const SHOWN = 20;

function listAll(path: string): Advice {
  return { to: "list them all", command: "verify", options: { path } };
}

function findingText({ file, tensor, message }: Finding): string {
  const where = [file, tensor].flatMap((part) => (part === null ? [] : [printable(part)])).join(" ");
  return `${where === "" ? "" : `${where}: `}${message}`;
}

async function makeRepository(writer: HubWriter, options: PushOptions): Promise<RemoteState> {
  await createRemote(writer, options.private === true);
  const made = await remoteState(writer);
  if (made === null) {
    throw new WeightDiffError("NETWORK", "was made, but is not there", "run the same command again", {
      at: { file: writer.id },
    });
  }
  options.onNote?.(`made ${writer.page}, ${made.private ? "private" : "public"}`);
  return made;
}

/**
 * Commits, and compares the Hub's list afterwards. If the answer to the commit is lost, the list tells whether the commit was made.
 * @throws {WeightDiffError} CHECK_FAILED if the Hub lists something else; as commitFiles.
 */
async function sendAndCheck(
  writer: HubWriter,
  changed: readonly UploadFile[],
  files: readonly PushedFile[],
  base: RemoteState,
  options: PushOptions,
  onFile: (file: string) => void,
): Promise<RemoteState> {
  const differing = async (state: RemoteState): Promise<readonly string[]> => {
    const wrong: string[] = [];
    for (const { file, path, size } of changed) {
      const remote = state.files.get(file);
      const sha256 = files.find((known) => known.file === file)?.sha256 ?? "";
      if (remote === undefined || !(await isSame(remote, path, size, sha256))) {
        wrong.push(printable(file));
      }
    }
    return wrong;
  };
  const title =
    options.message ??
    `Upload ${changed.length === 1 ? (changed[0]?.file ?? "") : `${changed.length} files`} with weight-diff`;
  try {
    await commitFiles(writer, changed, title, base.commit, onFile);
  } catch (error) {
    options.signal?.throwIfAborted();
    const now = await remoteState(writer).catch(() => null);
    if (now === null || now.commit === base.commit || (await differing(now)).length > 0) {
      throw error;
    }
    return now;
  }
  const after = await remoteState(writer);
  const wrong = after === null ? ["everything"] : await differing(after);
  if (after === null || wrong.length > 0) {
    throw new WeightDiffError(
      "CHECK_FAILED",
      `after the commit the Hub lists other contents for ${wrong.join(", ")}`,
      `see ${writer.page}/tree/${writer.branch}; run the same command again`,
      { at: { file: writer.id } },
    );
  }
  return after;
}
