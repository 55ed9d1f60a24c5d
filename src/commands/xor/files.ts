/**
 * The XOR codecs: whole files, not tensors. A payload and the base give the model (decode), a model and the base give a payload
 * (encode). Recognise, refuse what can be refused, stream file by file, check, give final names.
 */

import { printable } from "../../formats/quote.js";
import type { Hub } from "../../hub/place.js";
import { chooseMode } from "../../output/directory.js";
import { fetchNote, withHub } from "../../run/inputs.js";
import { refuseFullDisk, resolveOutput } from "../../run/preflight.js";
import { clock, type RunFigures } from "../../run/run-plan.js";
import { inputsOf, provideXorInputs } from "./inputs.js";
import type { XorFile } from "./look.js";
import { checkBase } from "./models.js";
import type { XorOptions } from "./options.js";
import { expectedSize, makeFiles } from "./output.js";
import type { FoundPayload } from "./payload.js";
import { planXor, type XorPlan } from "./plan.js";
import { filesOf, verifyFinished, type XorOutputFile } from "./record.js";

export interface XorReport extends RunFigures {
  readonly direction: "decode" | "encode";
  readonly scheme: string;
  readonly schemeReason: string;
  readonly output: string | null;
  readonly outcome: "made" | "checked" | "planned" | "verified";
  /** By name. */
  readonly files: readonly XorOutputFile[];
  /** Records whose CRC-32 was checked, and files whose sha256 the payload states. */
  readonly records: number;
  readonly stated: number;
  /** The published model that the result is, by its hashes. */
  readonly identified: string | null;
}

/**
 * Decodes or encodes the files of a payload.
 * @throws {WeightDiffError} with any code of errors.ts but those of tensors; CHECK_FAILED if a file is not what the payload states.
 */
export async function xorFiles(found: FoundPayload, options: XorOptions): Promise<XorReport> {
  return withHub(options, (opened) => xorWith(found, opened));
}

async function xorWith(found: FoundPayload, options: XorOptions & { readonly hub: Hub }): Promise<XorReport> {
  const started = performance.now();
  const say = options.onNote ?? (() => {});
  const trustBase = options.ignore?.includes("wrong-base") === true;
  const direction = options.direction ?? "decode";
  const { raw, hub, compress = false } = options;
  const plan = await planXor(found, { raw, hub, direction, compress, trustBase });
  say(`scheme ${plan.scheme}: ${plan.reason}`);
  plan.notes.forEach(say);
  if (plan.left.length > 0) {
    say(`not copied from the payload: ${plan.left.map(printable).join(", ")}`);
  }
  const draft = draftReport(plan);
  const path =
    options.output === null
      ? null
      : await resolveOutput(options.output, [
          {
            path: plan.payload.path,
            directory: plan.payload.directory,
            shards: plan.files.map(({ payload }) => payload),
          },
          { path: plan.base.path, directory: plan.base.directory, shards: plan.base.files },
        ]);
  const mode = path === null ? "new" : await chooseMode(path, options.mode ?? "new");
  if (path !== null && mode === "verify") {
    const { files, read } = await verifyFinished(path, plan, options);
    return { ...draft, output: path, outcome: "verified", files, bytesRead: read, ...clock(started) };
  }
  const bytes = mode === "resume" ? 0 : plan.files.reduce((sum, file) => sum + expectedSize(file), 0);
  if (path !== null) {
    await refuseFullDisk(path, bytes, bytes);
  }
  if (options.dryRun === true) {
    const fetching = await fetchNote(inputsOf(plan), options);
    if (fetching !== null) {
      say(fetching);
    }
    return { ...draft, output: path, ...clock(started) };
  }
  const proven = !trustBase && (await checkBase(plan, options));
  const inputs = await provideXorInputs(plan, options, path === null ? null : { path, bytes });
  const run = await makeFiles(plan, inputs, path, mode === "verify" ? "resume" : mode, options);
  if (direction === "decode" && run.identified === null && !proven && plan.files.some(isUnproven)) {
    say(
      "a base of the same layout with other values shows in nothing but the result's hashes: compare those in weight-diff.json with the model's card",
    );
  }
  return {
    ...draft,
    ...run,
    output: path,
    outcome: path === null ? "checked" : "made",
    records: plan.files.reduce((sum, { records }) => sum + records.filter(({ crc32 }) => crc32 !== null).length, 0),
    stated: plan.files.filter(({ expected }) => expected !== null).length,
    ...clock(started),
  };
}

/** XORed, and the payload does not say what must come out. A wrong base keeps even the CRC-32s: they are linear in XOR. */
function isUnproven({ key, expected }: XorFile): boolean {
  return key !== null && expected === null;
}

function draftReport(plan: XorPlan): Omit<XorReport, "seconds" | "peakBytes"> {
  return {
    direction: plan.direction,
    scheme: plan.scheme,
    schemeReason: plan.reason,
    output: null,
    outcome: "planned",
    files: filesOf(plan, new Map()),
    records: 0,
    stated: 0,
    identified: null,
    bytesRead: 0,
    bytesWritten: 0,
    threads: 0,
    resumed: 0,
  };
}
