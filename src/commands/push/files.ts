/** The files that a push sends: those that belong to a model or a diff, except those that the Hub already has. */
import { join } from "node:path";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { sideFiles } from "../../checkpoint/side-files.js";
import { WeightDiffError } from "../../errors.js";
import { openFileSource } from "../../files/file-source.js";
import { gitBlobOf, regularFiles, sizeOf } from "../../files/small-files.js";
import { printable } from "../../formats/quote.js";
import type { HubEntry } from "../../hub/entries.js";
import type { RemoteState, UploadFile } from "../../hub/upload.js";
import { hasFile, isWeightFile, MANIFEST, outputState, SIGNATURE } from "../../output/state.js";
import { digestFiles } from "../../run/digest.js";
import { CARD, REPORT } from "../make-diff/card.js";
import type { PushOptions } from "./target.js";

export interface PushedFile {
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
  readonly change: "new" | "replaced" | "same";
}

/**
 * The files that make up a model or a diff: weights, config, tokenizer, licences, card and manifest. A note names the others, which are not
 * sent.
 * @throws {WeightDiffError} LINK_OUTSIDE for a link that leads out of the directory, since nothing from elsewhere is published.
 */
export async function filesToPush(
  { path, directory, shards }: Checkpoint,
  options: PushOptions,
): Promise<readonly UploadFile[]> {
  if (directory === null) {
    throw new WeightDiffError(
      "USAGE",
      "a single file cannot be pushed",
      "give the directory that recover or make-diff wrote",
      { at: { file: path } },
    );
  }
  if ((await outputState(directory)) === "partial") {
    throw new WeightDiffError("OUTPUT_REFUSED", "an unfinished run", "finish that run first, then push", {
      at: { file: path },
    });
  }
  if (options.force !== true && !(await hasFile(directory, MANIFEST))) {
    throw new WeightDiffError(
      "CHECK_FAILED",
      `has no ${MANIFEST}: nothing says what its files should be`,
      "push what recover or make-diff wrote",
      {
        at: { file: path },
        advice: [{ to: "push it after a check of structure and values only", option: "force", value: true }],
      },
    );
  }
  const weights = new Set(shards.map(({ file }) => file));
  const { copied, left } = await sideFiles(directory, (name) => weights.has(name) || isIndex(name, weights));
  const indexes = (await regularFiles(directory)).filter((name) => isIndex(name, weights));
  const extras = [
    ...copied.map(({ file }) => file),
    ...indexes,
    ...["config.json", MANIFEST, CARD, REPORT.page, REPORT.map, SIGNATURE],
  ];
  const stays = left.filter((name) => !extras.includes(name) && !name.startsWith("."));
  if (stays.length > 0) {
    options.onNote?.(`not pushed: ${stays.map(printable).join(", ")}`);
  }
  const files: UploadFile[] = [];
  for (const file of [...new Set([...weights, ...extras])].sort()) {
    const path = join(directory, file);
    if ((await sizeOf(path)) !== null) {
      const { size, close } = await openFileSource(path, directory);
      await close();
      files.push({ file, path, within: directory, size });
    }
  }
  return files;
}

/** The index of the weights that are pushed, not that of another format beside them. */
function isIndex(name: string, weights: ReadonlySet<string>): boolean {
  const format = [...weights].some((file) => file.endsWith(".safetensors")) ? ".safetensors" : ".bin";
  return name.endsWith(`${format}.index.json`);
}

/** Which files are new, which replace others, and which the Hub already has. */
export async function compareFiles(
  local: readonly UploadFile[],
  before: RemoteState | null,
  options: PushOptions,
): Promise<readonly PushedFile[]> {
  const { signal, onProgress } = options;
  const digests = await digestFiles(
    local.map(({ path }) => path),
    { signal, onProgress, threads: options.threads ?? null },
  );
  const files: PushedFile[] = [];
  for (const { file, path, size } of local) {
    const sha256 = digests.get(path) ?? "";
    const remote = before?.files.get(file);
    const same = remote !== undefined && (await isSame(remote, path, size, sha256));
    files.push({ file, size, sha256, change: remote === undefined ? "new" : same ? "same" : "replaced" });
  }
  const replaced = files.flatMap(({ file, change }) => (change === "replaced" ? [printable(file)] : []));
  if (replaced.length > 0) {
    options.onNote?.(`${options.repo}: replaces the contents of ${replaced.join(", ")}`);
  }
  return files;
}

/** Does the Hub have exactly this file? It lists large files with their sha256, and small ones with git's sha1. */
export async function isSame(
  { etag, size }: HubEntry,
  path: string,
  ourSize: number,
  sha256: string,
): Promise<boolean> {
  return size === ourSize && (etag === sha256 || (etag.length === 40 && etag === (await gitBlobOf(path))));
}

/** Warns of weights that stay in the repository beside the new ones: loaders may read them instead. */
export function warnOfOthers(local: readonly UploadFile[], before: RemoteState | null, options: PushOptions): void {
  const ours = new Set(local.map(({ file }) => file));
  const others = [...(before?.files.keys() ?? [])].filter((file) => !ours.has(file));
  const weights = others.filter(isWeightFile);
  if (weights.length > 0) {
    options.onWarning?.(
      `${options.repo}: keeps ${weights.map(printable).join(", ")}: loaders may take them instead; delete them on its page if they are old`,
    );
  }
  if (others.includes(MANIFEST)) {
    options.onWarning?.(`${options.repo}: keeps ${MANIFEST}, which is about other files: delete it on its page`);
  }
  const rest = others.filter((file) => !isWeightFile(file) && file !== MANIFEST && !file.startsWith("."));
  if (rest.length > 0) {
    options.onNote?.(`${options.repo}: keeps ${rest.map(printable).join(", ")}`);
  }
}
