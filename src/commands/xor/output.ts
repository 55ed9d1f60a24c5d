/** The output of XORed files: each is streamed, checked and remembered; then the whole is checked, and gets its final names. */
import { basename, join } from "node:path";
import { openCheckpoint } from "../../checkpoint/checkpoint.js";
import { type ListedFile, listFile } from "../../checkpoint/file-list.js";
import { runXor, type XorInput, type XorResult, type XorRunOptions } from "../../engine/work/xor.js";
import { WeightDiffError } from "../../errors.js";
import { printable } from "../../formats/quote.js";
import { leave } from "../../make/destination.js";
import { digestOf, writeManifest } from "../../manifest/manifest.js";
import { type OutputDirectory, type OutputMode, openOutput } from "../../output/directory.js";
import type { PlanIdentity } from "../../output/journal.js";
import { STAGING } from "../../output/state.js";
import { VERSION } from "../../version.js";
import { KEY_NAME } from "./base.js";
import { KNOWN_KEY, wantsMd5 } from "./known.js";
import type { XorFile } from "./look.js";
import { digestWhole, identify } from "./models.js";
import { runOptionsOf, type XorOptions } from "./options.js";
import type { XorPlan } from "./plan.js";
import { filesOf, manifestOf, type XorOutputFile } from "./record.js";

export interface XorDone {
  readonly files: readonly XorOutputFile[];
  /** The published model that the result is, by its hashes. */
  readonly identified: string | null;
  /** Bytes. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Files taken over from an earlier run. */
  readonly resumed: number;
}

/**
 * Makes every file, checks the whole, gives final names.
 * @param inputs the plan's files as they are opened. @param path the output directory; null writes nothing. @throws {WeightDiffError} as runXor; CHECK_FAILED if a file is not what
 * the payload states; MISMATCH if the result opens as no checkpoint; OUTPUT_….
 */
export async function makeFiles(
  plan: XorPlan,
  inputs: ReadonlyMap<ListedFile, XorInput>,
  path: string | null,
  mode: OutputMode,
  options: XorOptions,
): Promise<XorDone> {
  const layout = plan.files.map(({ file, size }) => ({ file, size, header: new Uint8Array() }));
  const output = path === null ? null : await openOutput(path, mode, identityOf(plan), layout);
  const finished = new Map(output?.journal.finished.map(({ id, sha256 }) => [id, sha256]));
  const total = plan.files.reduce((sum, file) => sum + traffic(file, output !== null), 0);
  const results = new Map<XorFile, XorResult>();
  let bytesRead = 0;
  let bytesWritten = 0;
  let resumed = 0;
  try {
    for (const [id, file] of plan.files.entries()) {
      const onProgress = (read: number, written: number): void => {
        bytesRead += read;
        bytesWritten += written;
        const done = bytesRead + bytesWritten;
        options.onProgress?.({ done, total: Math.max(done, total), shard: null, tensor: file.file });
      };
      const how = { ...runOptionsOf(options), onProgress };
      const kept = output === null ? null : await findKept(output, file.file, finished.get(id) ?? null, how);
      if (kept !== null) {
        results.set(file, kept);
        resumed++;
        continue;
      }
      const target = output?.staged(file.file) ?? null;
      const result = await runXor({ ...ready(file, inputs), md5: wantsMd5(file.file), output: target }, how);
      refuseOther(file, result);
      results.set(file, result);
      await output?.seal(file.file);
      output?.journal.add({ id, sha256: result.sha256, sum: 0, overflow: 0 });
    }
    if (output !== null && plan.direction === "decode") {
      await refuseUnreadable(output, plan, options);
    }
    const identified = identify(plan, results, options);
    await output?.finish(layout, [], writeManifest(manifestOf(plan, results)));
    return { files: filesOf(plan, results), identified, bytesRead, bytesWritten, resumed };
  } catch (error) {
    await leave(output, error);
    throw error;
  }
}

function ready(file: XorFile, inputs: ReadonlyMap<ListedFile, XorInput>) {
  const { payload, key } = file;
  const opened = (listed: ListedFile): XorInput => inputs.get(listed) ?? listed;
  return { ...file, payload: opened(payload), key: key === null ? null : { ...key, input: opened(key.input) } };
}

/** The file that an earlier run made, if it has the digest that the journal says. */
async function findKept(
  output: OutputDirectory,
  file: string,
  sha256: string | null,
  how: XorRunOptions,
): Promise<XorResult | null> {
  if (sha256 === null) {
    return null;
  }
  const found = await listFile(output.staged(file))
    .then((listed) => digestWhole(listed, wantsMd5(file), how))
    .catch((error: unknown) => {
      if (error instanceof WeightDiffError && error.kind !== "stopped") {
        return null; // what cannot be read is made again
      }
      throw error;
    });
  return found?.sha256 === sha256 ? found : null;
}

/** Bytes that the file moves, about. */
function traffic(file: XorFile, written: boolean): number {
  const content = expectedSize(file);
  return file.payload.size - file.skip + (file.key === null ? 0 : content) + (written ? content : 0);
}

/** Of an inflated file, the base's size is the best guess. */
export function expectedSize({ size, key, payload }: XorFile): number {
  return size ?? Math.max(payload.size, key?.input.size ?? 0);
}

function refuseOther(file: XorFile, { sha256 }: XorResult): void {
  if (file.expected !== null && sha256 !== file.expected) {
    throw new WeightDiffError(
      "CHECK_FAILED",
      `the result has sha256 ${sha256}, ${file.payload.name} states ${file.expected}`,
      `${file.key?.input.name} is not Meta's 7B ${KEY_NAME}, or one of the two is damaged: check the key's sha256 (${KNOWN_KEY.files.get(KEY_NAME)}), download the payload again`,
      { at: { file: printable(file.file) } },
    );
  }
}

/** The model must open as a checkpoint before it gets its final name. */
async function refuseUnreadable(output: OutputDirectory, plan: XorPlan, options: XorOptions): Promise<void> {
  const usual = /^(pytorch_model|model)\.(bin|safetensors)(\.index\.json)?$/;
  if (!plan.files.some(({ file }) => usual.test(file))) {
    return; // no checkpoint of the usual kind
  }
  const staging = join(output.path, STAGING);
  try {
    await openCheckpoint(staging);
  } catch (error) {
    if (!(error instanceof WeightDiffError) || (error.kind !== "input" && error.kind !== "limit")) {
      throw error;
    }
    const reason = error.at.file === undefined ? error.fact : `${basename(error.at.file)}: ${error.fact}`;
    if (
      error.code === "FORMAT_UNSUPPORTED" ||
      error.code === "PICKLE_GLOBAL" ||
      options.ignore?.includes("wrong-base")
    ) {
      options.onWarning?.(`the result does not open as a checkpoint: ${reason}`);
      return;
    }
    throw new WeightDiffError(
      "MISMATCH",
      `not the base that the payload was made with: the result does not open as a checkpoint: ${reason}`,
      "check the base's files against the hashes on the model's card; to keep the result all the same: --ignore wrong-base",
      { at: { file: plan.base.path } },
    );
  }
}

function identityOf(plan: XorPlan): PlanIdentity {
  const inputs = [
    ...plan.files.map(({ payload }) => ["payload", payload, plan.payload.commit] as const),
    ...plan.base.files.map((file) => ["base", file, plan.base.commit] as const),
  ].map(([role, { file, size, modified }, commit]) => {
    // At a commit, a file is always the same, and without a cache its copy has another time every time.
    return [`${role} ${file}`, `${size} bytes, ${commit === null ? `modified ${modified}` : `at ${commit}`}`];
  });
  return {
    "the version of weight-diff": VERSION,
    "--scheme": plan.scheme,
    "--encode": plan.direction,
    "the layout of the output": digestOf(
      plan.files.map(({ file, size, gzip, key }) => [file, size, gzip, key === null ? "copied" : key.rule]),
    ),
    ...Object.fromEntries(inputs),
  };
}
