/** The recipe of the XOR codecs for the run: checks of the results, the manifest, and the report. */
import { basename, join } from "node:path";
import { openCheckpoint } from "../../checkpoint/checkpoint.js";
import type { TensorResult } from "../../engine/job/result.js";
import { WeightDiffError } from "../../errors.js";
import { printable } from "../../formats/quote.js";
import type { Recipe } from "../../make/recipe.js";
import type { OutputDirectory } from "../../output/directory.js";
import { STAGING } from "../../output/state.js";
import type { RunFigures, RunResult } from "../../run/run-plan.js";
import { KEY_NAME } from "./base.js";
import { expectedSize, runPlanOf } from "./jobs.js";
import { KNOWN_KEY } from "./known.js";
import type { XorFile } from "./look.js";
import { checkBase, identifyResult } from "./models.js";
import type { XorOptions } from "./options.js";
import type { XorPlan } from "./plan.js";
import { manifestText, outputFilesOf, verifyFinished, type XorOutputFile } from "./record.js";

export interface XorReport extends RunFigures {
  readonly direction: "decode" | "encode";
  readonly scheme: string;
  readonly schemeReason: string;
  readonly output: string | null;
  readonly outcome: "made" | "checked" | "planned" | "verified";
  /** Output files by name. */
  readonly files: readonly XorOutputFile[];
  /** How many records had their CRC-32 checked, and for how many files the payload states the sha256. */
  readonly records: number;
  readonly stated: number;
  /** The published model that the result is, by its hashes; null if none. */
  readonly identified: string | null;
}

export function xorRecipe(
  { started, plan }: { readonly started: number; readonly plan: XorPlan },
  options: XorOptions,
): Recipe<readonly XorOutputFile[], XorReport> {
  const { payload, base, files, direction, scheme, reason } = plan;
  const bytes = files.reduce((sum, file) => sum + expectedSize(file), 0);
  let proven = false;
  let identified: string | null = null;
  return {
    started,
    plan: runPlanOf(plan),
    output: options.output,
    sources: [
      { path: payload.path, directory: payload.directory, shards: files.map((file) => file.payload) },
      { path: base.path, directory: base.directory, shards: base.files },
    ],
    needs: { bytes, least: bytes },
    side: null,
    asked: null,
    identity: { "the scheme": scheme, "the direction": direction },
    async prove() {
      proven = options.ignore?.includes("wrong-base") !== true && (await checkBase(plan, options));
    },
    judge(job, result) {
      const file = files[job.id];
      if (file !== undefined) {
        refuseOther(file, result);
      }
    },
    async verify(path) {
      const { files: finished, read } = await verifyFinished(path, plan, options);
      return { finished, bytesRead: read };
    },
    async compose(run, output) {
      const results = resultsOf(plan, run);
      if (output !== null && direction === "decode") {
        await refuseUnreadable(output, plan, options);
      }
      identified = identifyResult(plan, results, options);
      if (direction === "decode" && identified === null && !proven && files.some(isUnproven)) {
        options.onNote?.(
          "only the result's hashes would show a wrong base of the same layout: compare those in weight-diff.json with the model's card",
        );
      }
      return { extras: [], manifest: () => manifestText(plan, results) };
    },
    conclude(end) {
      const { output, figures } = end;
      const outcome = end.outcome === "part" ? "made" : end.outcome;
      const ran = end.outcome === "made" || end.outcome === "checked";
      const stated = files.filter(({ expected }) => expected !== null).length;
      const records = files.reduce(
        (sum, { records: all }) => sum + all.filter(({ crc32 }) => crc32 !== null).length,
        0,
      );
      return {
        ...figures,
        ...{ direction, scheme, schemeReason: reason, output, outcome, identified },
        files:
          end.outcome === "verified" ? end.finished : outputFilesOf(plan, ran ? resultsOf(plan, end.run) : new Map()),
        records: ran ? records : 0,
        stated: ran ? stated : 0,
      };
    },
  };
}

function resultsOf({ files }: XorPlan, { results }: RunResult): ReadonlyMap<XorFile, TensorResult> {
  return new Map(
    files.flatMap((file, id) => {
      const result = results.get(id);
      return result === undefined ? [] : [[file, result] as const];
    }),
  );
}

/** Is the file XORed, while the payload does not state its result? A wrong base keeps even the CRC-32s, which are linear in XOR. */
function isUnproven({ key, expected }: XorFile): boolean {
  return key !== null && expected === null;
}

function refuseOther(file: XorFile, { sha256 }: TensorResult): void {
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
    return; // not a checkpoint of the usual kind
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
      "check the base's files against the hashes on the model's card",
      {
        at: { file: plan.base.path },
        advice: [{ to: "keep the result all the same", option: "ignore", value: "wrong-base" }],
      },
    );
  }
}
