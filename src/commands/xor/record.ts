/** What weight-diff.json states about XORed files: their sources and digests. Also checks a finished output against it. */
import { join } from "node:path";
import { refuseOtherwiseMade } from "../../check/model.js";
import { checkXorFiles } from "../../check/whole-files.js";
import type { ListedFile } from "../../checkpoint/file-list.js";
import type { TensorResult } from "../../engine/job/result.js";
import { WeightDiffError } from "../../errors.js";
import { printable } from "../../formats/quote.js";
import { readXorManifest } from "../../manifest/read.js";
import { writeManifest } from "../../manifest/write.js";
import { MANIFEST } from "../../output/state.js";
import type { RunOptions } from "../../run/run-plan.js";
import type { XorFile } from "./look.js";
import type { XorPlan } from "./plan.js";

/** A file of the output. */
export interface XorOutputFile {
  readonly file: string;
  readonly how: "xor" | "copied";
  /** Bytes; null if only the run tells. */
  readonly size: number | null;
  /** Null before the run. */
  readonly sha256: string | null;
}

/** The text of the manifest, in pieces. */
export function manifestText(plan: XorPlan, results: ReadonlyMap<XorFile, TensorResult>): Iterable<string> {
  const files = outputFilesOf(plan, results).map(({ file, size, sha256 }) => ({
    file,
    size: size ?? 0,
    sha256: sha256 ?? "",
  }));
  return writeManifest({ ...madeFrom(plan), files });
}

/** The sources that a finished output must have. */
function madeFrom({ payload, base, direction, scheme, files }: XorPlan) {
  const listed = (inputs: readonly ListedFile[]) =>
    inputs
      .map(({ file, size, hub }) => ({ file, size, ...(hub?.sha256 == null ? {} : { sha256: hub.sha256 }) }))
      .sort((a, b) => (a.file < b.file ? -1 : 1));
  return {
    operation: "xor",
    direction,
    scheme,
    raw: { repo: base.repo, commit: base.commit, files: listed(base.files) },
    diff: { repo: payload.repo, commit: payload.commit, files: listed(files.map(({ payload: input }) => input)) },
  } as const;
}

/** The output files by name. */
export function outputFilesOf(plan: XorPlan, results: ReadonlyMap<XorFile, TensorResult>): readonly XorOutputFile[] {
  return plan.files
    .map((file) => ({
      file: file.file,
      how: file.key === null ? ("copied" as const) : ("xor" as const),
      size: results.get(file)?.size ?? file.size,
      sha256: results.get(file)?.sha256 ?? null,
    }))
    .sort((a, b) => (a.file < b.file ? -1 : 1));
}

/**
 * Checks a finished output: has it the same sources, and is it complete?
 * @returns its files, and the bytes that were read.
 * @throws {WeightDiffError} OUTPUT_REFUSED, CHECK_FAILED, IO, INTERRUPTED.
 */
export async function verifyFinished(
  path: string,
  plan: XorPlan,
  options: RunOptions,
): Promise<{ readonly files: readonly XorOutputFile[]; readonly read: number }> {
  const manifest = await readXorManifest(join(path, MANIFEST));
  refuseOtherwiseMade(manifest, madeFrom(plan), path);
  const damaged: string[] = [];
  const read = await checkXorFiles(path, manifest, options, (level, _, where) => {
    if (level === "error") {
      damaged.push(printable(where?.file ?? path));
    }
  });
  if (damaged.length > 0) {
    throw new WeightDiffError(
      "CHECK_FAILED",
      `${damaged.length} of ${manifest.files.length} files are not what ${MANIFEST} says: ${damaged.join(", ")}`,
      undefined,
      { at: { file: path }, advice: [{ to: "make it again", option: "mode", value: "force" }] },
    );
  }
  const how = new Map(
    plan.files.map((file) => [file.file, file.key === null ? ("copied" as const) : ("xor" as const)]),
  );
  return { read, files: manifest.files.map((file) => ({ ...file, how: how.get(file.file) ?? "xor" })) };
}
