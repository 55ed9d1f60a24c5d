/** finalize: puts the parts that several machines made into one output, which equals that of a single run. */

import { join } from "node:path";
import type { Say } from "../advice.js";
import { verifyModel } from "../check/model.js";
import { WeightDiffError } from "../errors.js";
import { isDivisible, repeated } from "../make/request.js";
import type { Manifest } from "../manifest/manifest.js";
import { removeLeftovers } from "../output/choose-mode.js";
import { clearGathered, partFolder } from "../output/gather.js";
import { readJournal } from "../output/journal.js";
import type { AskedRun } from "../output/journal-text.js";
import { isBegun, partsIn } from "../output/part-names.js";
import { directoryOfParts, outputState, STAGING } from "../output/state.js";
import type { RunOptions } from "../run/run-plan.js";
import { type ConvertReport, convert } from "./convert.js";
import { type MakeDiffReport, makeDiff } from "./make-diff.js";
import type { RecoverReport } from "./recover/report.js";
import { recover } from "./recover.js";

export interface FinalizeOptions extends RunOptions {
  /** The output directory that was given to all parts. */
  readonly path: string;
  /** Called with every note for the user, as soon as it is known. */
  readonly onNote?: Say;
  /** Called with every warning. The run goes on. */
  readonly onWarning?: Say;
}

/** The report of the command that was divided, or what is known of an output that was already put together. */
export type FinalizeReport =
  | { readonly command: "recover"; readonly report: RecoverReport }
  | { readonly command: "make-diff"; readonly report: MakeDiffReport }
  | { readonly command: "convert"; readonly report: ConvertReport }
  | { readonly command: null; readonly path: string; readonly tensors: Manifest["tensors"] };

/** Refuses options that the function does not take: the options in a journal are only a claim. */
type RefuseWrongOptions = (name: "recover" | "makeDiff" | "convert", options: unknown) => void;

/**
 * Puts parts together.
 * @throws {WeightDiffError} NOT_FOUND; OUTPUT_REFUSED, naming the parts that are missing or belong to another run; OUTPUT_LOCKED if one is running;
 * otherwise as the command that was divided.
 */
export async function finalize(
  { path: asked, ...options }: FinalizeOptions,
  refuseWrong: RefuseWrongOptions,
): Promise<FinalizeReport> {
  const path = await directoryOfParts(asked);
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

/** What the first part that was begun knows about the run; null if none was begun. */
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

/** Verifies an output whose parts were already put together. */
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
