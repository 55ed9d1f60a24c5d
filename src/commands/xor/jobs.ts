/** The files of an XOR plan as jobs of the run. */
import type { ListedFile } from "../../checkpoint/file-list.js";
import type { FileJob } from "../../engine/job/job.js";
import type { TensorResult } from "../../engine/job/result.js";
import type { PlanInput, RunPlan } from "../../plan/plan.js";
import { readAll } from "../../run/read-jobs.js";
import type { RunOptions } from "../../run/run-plan.js";
import { wantsMd5 } from "./known.js";
import { asItIs, type XorFile } from "./look.js";
import type { XorPlan } from "./plan.js";

/** Files of the output in the plan's order, one job each. */
export function runPlanOf({ files, payload: folder, base }: XorPlan): RunPlan {
  // One key may serve all files, so each input is listed once.
  const payloads = files.map(({ payload }) => payload);
  const keys = files.flatMap(({ key }) => (key === null ? [] : [key.input]));
  const listed = [...new Set([...payloads, ...keys])];
  const place = new Map(listed.map((file, index) => [file, index]));
  return {
    inputs: listed.map((file) =>
      payloads.includes(file) ? planInput(file, "payload", folder.commit) : planInput(file, "raw", base.commit),
    ),
    shards: files.map((file) => ({
      file: file.file,
      size: file.size,
      header: new Uint8Array(),
      // A compressed file comes in pieces that are not whole pages.
      directEnd: file.gzip === "deflate" ? 0 : Number.MAX_SAFE_INTEGER,
    })),
    jobs: files.map((file, id) => fileJob(file, id, (input) => place.get(input) ?? 0)),
  };
}

/** @param commit identifies the content of a file: without a cache, its copy has another time in every run. */
function planInput(
  { file, path, size, modified, hub }: ListedFile,
  role: PlanInput["role"],
  commit: string | null,
): PlanInput {
  const known = { ...(commit === null ? {} : { version: `at ${commit}` }), ...(hub === undefined ? {} : { hub }) };
  return { role, file, path, size, modified, header: "", ...known };
}

function fileJob(file: XorFile, id: number, placeOf: (input: ListedFile) => number): FileJob {
  const { payload, key, skip, gzip, most, records } = file;
  const content = expectedSize(file);
  return {
    kind: "file",
    id,
    name: file.file,
    payload: placeOf(payload),
    key: key === null ? null : { input: placeOf(key.input), rule: key.rule },
    ...{ skip, gzip, most, records },
    md5: wantsMd5(file.file),
    traffic: { read: payload.size - skip + (key === null ? 0 : content), write: content },
    output: { shard: id },
  };
}

/** Bytes of the output. For an inflated file, the base's size is the best guess. */
export function expectedSize({ size, key, payload }: XorFile): number {
  return size ?? Math.max(payload.size, key?.input.size ?? 0);
}

/** The digests of a file as it is stored. @throws {WeightDiffError} as readAll. */
export async function digestFile(file: ListedFile, md5: boolean, options: RunOptions): Promise<TensorResult> {
  const job = { ...fileJob(asItIs(file), 0, () => 0), md5, output: null };
  const { results } = await readAll([file], [job], options);
  return results.get(0) ?? { id: 0, sha256: "", sum: 0, overflow: 0 };
}
