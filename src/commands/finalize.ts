/** finalize: the parts that several machines have made -> one output, the same as that of a single run. */

import { join } from "node:path";
import type { Say } from "../advice.js";
import { verifyModel } from "../check/model.js";
import { WeightDiffError } from "../errors.js";
import { absolutePath } from "../files/paths.js";
import { isDivisible, repeated } from "../make/request.js";
import type { Manifest } from "../manifest/manifest.js";
import { removeLeftovers } from "../output/choose-mode.js";
import { clearGathered, partFolder } from "../output/gather.js";
import { readJournal } from "../output/journal.js";
import type { AskedRun } from "../output/journal-text.js";
import { isBegun, partsIn } from "../output/part-names.js";
import { outputState, STAGING } from "../output/state.js";
import type { RunOptions } from "../run/run-plan.js";
import { type ConvertReport, convert } from "./convert.js";
import { type MakeDiffReport, makeDiff } from "./make-diff.js";
import type { RecoverReport } from "./recover/report.js";
import { recover } from "./recover.js";

export interface FinalizeOptions extends RunOptions {
  /** The output directory that all parts were given. */
  readonly path: string;
  /** Called with every sentence a user should read, as soon as it is known. */
  readonly onNote?: Say;
  /** Called with what may be wrong; the run goes on. */
  readonly onWarning?: Say;
}

/** What the command that was divided reports, or what is known of an output that was put together before. */
export type FinalizeReport =
  | { readonly command: "recover"; readonly report: RecoverReport }
  | { readonly command: "make-diff"; readonly report: MakeDiffReport }
  | { readonly command: "convert"; readonly report: ConvertReport }
  | { readonly command: null; readonly path: string; readonly tensors: Manifest["tensors"] };

/** Refuses options that are not what a function takes: what a journal says is only a claim. */
export type RefuseWrongOptions = (name: "recover" | "makeDiff" | "convert", options: unknown) => void;

/**
 * Puts parts together. @throws {WeightDiffError} OUTPUT_REFUSED naming the parts that are missing, or another run's; OUTPUT_LOCKED if
 * one is at work; and as the command that was divided.
 */
export async function finalize(
  { path: asked, ...options }: FinalizeOptions,
  refuseWrong: RefuseWrongOptions,
): Promise<FinalizeReport> {
  const path = absolutePath(asked);
  await clearGathered(path);
  const found = await firstPart(path);
  if (found === null) {
    return finished(path, options);
  }
  const { command } = found.asked;
  const call = isDivisible(command) ? { ...repeated(found.asked, command, path), ...options } : {};
  const checked = <O>(name: Parameters<RefuseWrongOptions>[0]): O => {
    refuseWrong(name, call);
    return call as O;
  };
  switch (command) {
    case "recover":
      return { command, report: await recover(checked("recover"), found) };
    case "make-diff":
      return { command, report: await makeDiff(checked("makeDiff"), found) };
    case "convert":
      return { command, report: await convert(checked("convert"), found) };
    default:
      throw damaged(path);
  }
}

/** What the first part that was begun says of the run; null if there is none. */
async function firstPart(path: string): Promise<{ readonly asked: AskedRun; readonly count: number } | null> {
  for (const part of await partsIn(path)) {
    if (await isBegun(path, part)) {
      const asked = (await readJournal(partFolder(path, part)))?.head.asked;
      if (asked === undefined) {
        throw damaged(partFolder(path, part));
      }
      return { asked, count: part.count };
    }
  }
  return null;
}

function damaged(file: string): WeightDiffError {
  return new WeightDiffError("OUTPUT_REFUSED", "its journal does not say what was asked for", "make this part again", {
    at: { file },
  });
}

/** Nothing is left to be put together: what is there is verified. */
async function finished(path: string, options: RunOptions): Promise<FinalizeReport> {
  if ((await outputState(path)) !== "finished") {
    throw new WeightDiffError("OUTPUT_REFUSED", "holds no part of a run", "make the parts first", {
      at: { file: path },
    });
  }
  await removeLeftovers(join(path, STAGING));
  const { tensors } = await verifyModel(path, {}, options);
  return { command: null, path, tensors };
}
