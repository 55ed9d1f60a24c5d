/** Compares a finished output with its manifest: is it complete, and is it what a resumed run was asked to make? */
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { type Finding, reporter } from "../finding.js";
import { quote } from "../formats/quote.js";
import type { Manifest } from "../manifest/manifest.js";
import { readManifest } from "../manifest/read.js";
import { digestOf } from "../manifest/write.js";
import { MANIFEST } from "../output/state.js";
import { readTensors } from "../run/digest.js";
import type { EarlyOption, RunOptions } from "../run/run-plan.js";
import { checkManifest, checkRecords } from "./contents.js";
import { surveyCheckpoint } from "./survey.js";

const AGAIN = [{ to: "make it again", option: "mode", value: "force" }] as const;
const SHOWN = 20;

/**
 * @param made keys of the manifest that state what the output is made from, and how.
 * @throws {WeightDiffError} OUTPUT_REFUSED if it was made from something else or in another way; CHECK_FAILED, naming every file and tensor
 * that differs, is missing, cannot be read, or does not belong there.
 */
export async function verifyModel(
  path: string,
  made: Readonly<Record<string, unknown>>,
  options: RunOptions & EarlyOption,
): Promise<Pick<Manifest, "tensors">> {
  const manifest = await readManifest(join(path, MANIFEST));
  refuseOtherwiseMade(manifest, made, path);
  const findings: Finding[] = [];
  const survey = await surveyCheckpoint(path, manifest, reporter(findings, "structure"));
  const reading = await readTensors(survey.checkpoint, options);
  checkRecords(reading, reporter(findings, "digests"));
  checkManifest(survey, manifest, reading, reporter(findings, "digests"));
  const errors = findings.filter(({ level }) => level === "error");
  if (errors.length > 0) {
    throw new WeightDiffError("CHECK_FAILED", `${toldShortly(errors, manifest.tensors.length)}`, undefined, {
      at: { file: path },
      advice: AGAIN,
    });
  }
  return { tensors: manifest.tensors };
}

/**
 * Refuses a finished output that was made from other inputs, or in another way.
 * @param manifest the output's manifest; null if the output is of another kind.
 * @throws {WeightDiffError} OUTPUT_REFUSED, naming what differs.
 */
export function refuseOtherwiseMade<M extends object>(
  manifest: M | null,
  made: Readonly<Record<string, unknown>>,
  path: string,
): asserts manifest is M {
  const parts = new Map<string, unknown>(Object.entries(manifest ?? {}));
  const other = Object.keys(made).filter((part) => digestOf(parts.get(part)) !== digestOf(made[part]));
  if (manifest === null || other.length > 0) {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      `holds a finished model that was made otherwise: ${other.map((part) => `another ${part === "raw" ? "base" : part}`).join(", ")}`,
      "give another output directory",
      { at: { file: path }, advice: [{ to: "replace the model in it", option: "mode", value: "force" }] },
    );
  }
}

/** The damaged files, each with the reason, and the names of the damaged tensors. */
function toldShortly(errors: readonly Finding[], count: number): string {
  const files = errors.flatMap(({ file, tensor, message }) =>
    tensor === null ? [`${file ?? "all"}: ${message}`] : [],
  );
  const tensors = [...new Set(errors.flatMap(({ tensor }) => tensor ?? []))];
  const names = `${tensors.slice(0, SHOWN).map(quote).join(", ")}${tensors.length > SHOWN ? ", …" : ""}`;
  const some =
    tensors.length === 0 ? [] : [`${tensors.length} of ${count} tensors are not what ${MANIFEST} says: ${names}`];
  return [...files, ...some].join("; ");
}
