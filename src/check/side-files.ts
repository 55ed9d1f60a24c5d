/** How verify checks the small files beside the weights: do they hold what their names promise, and does the tokenizer fit the model? */
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import { modelFiles, refusePlaceholder } from "../checkpoint/side-files.js";
import type { Tokenizer } from "../checkpoint/tokenizer.js";
import { modelShape } from "../evidence/model-shape.js";
import { readText, sizeOf } from "../files/small-files.js";
import type { AddFinding, Level } from "../finding.js";
import { checkJson } from "../formats/json.js";
import { isOwnFileName, parseWeightIndex, writeWeightIndex } from "../formats/weight-index.js";
import { sha256Of } from "../hub/source.js";
import type { Manifest } from "../manifest/manifest.js";
import { MANIFEST, outputState, SIGNATURE } from "../output/state.js";
import { DIFFERS, EXTRA, MISSING, NOT_BARE, otherSize } from "./listed.js";
import { type Survey, unusable } from "./survey.js";

/** No loader reads these files, so a fault in them is only a warning. */
const HARMLESS = new Set([SIGNATURE, "README.md", "report.html", "change-map.svg", ".gitattributes", ".gitignore"]);
/** A larger JSON file is a tokenizer, which is checked elsewhere. */
const MAX_JSON_BYTES = 10_000_000;
const levelOf = (file: string): Level => (HARMLESS.has(file) ? "warning" : "error");

/** Reports placeholders and broken JSON. Files of other kinds may hold anything. @throws {WeightDiffError} IO. */
export async function checkSideFiles(
  directory: string,
  weights: ReadonlySet<string>,
  report: AddFinding,
): Promise<void> {
  const { files, inner } = await modelFiles(directory);
  for (const file of [...files, ...inner]) {
    if (weights.has(file) || file === MANIFEST) {
      continue;
    }
    const path = join(directory, file);
    try {
      await refusePlaceholder(path, file);
      const size = (await sizeOf(path)) ?? 0;
      // The config is checked elsewhere.
      if (file.endsWith(".json") && file !== "config.json" && file !== "tokenizer.json" && size <= MAX_JSON_BYTES) {
        checkJson(await readText(path, MAX_JSON_BYTES), path, "python");
      }
    } catch (error) {
      report(levelOf(file), unusable(error, path), { file });
    }
  }
}

/** Reports token ids past the last row of the embedding: they crash the model. */
export function checkTokenizer(
  tokenizer: Tokenizer,
  { stateDict }: Checkpoint,
  config: ModelConfig | null,
  report: AddFinding,
): void {
  for (const { file, message } of tokenizer.broken) {
    report("error", message, { file });
  }
  const { vocabulary } = modelShape(stateDict, config);
  for (const { file, highestId } of tokenizer.files) {
    if (vocabulary !== null && highestId >= vocabulary) {
      report("error", `has the token id ${highestId}, but the input embedding has only ${vocabulary} rows`, { file });
    }
  }
}

/** Compares the files beside the weights, including config.json, with the manifest. @throws {WeightDiffError} IO. */
export async function checkListedFiles(
  directory: string,
  manifest: Manifest,
  survey: Survey,
  report: AddFinding,
): Promise<void> {
  const listed = manifest.operation === "make-diff" ? manifest.side_files : [];
  const known = new Set([...listed, ...manifest.files].map(({ file }) => file));
  for (const { file, size, sha256 } of listed) {
    if (!isOwnFileName(file)) {
      report("error", NOT_BARE, { file });
      continue;
    }
    const path = join(directory, file);
    const found = await sizeOf(path);
    if (found === null) {
      report(levelOf(file), MISSING, { file });
    } else if (found !== size) {
      report(levelOf(file), otherSize(found, size), { file });
    } else if ((await sha256Of(path)) !== sha256) {
      report(levelOf(file), DIFFERS, { file });
    }
  }
  checkIndexText(survey, manifest, known, report);
  if (manifest.operation === "make-diff") {
    const { files, inner } = await modelFiles(directory);
    const extra = [...files, ...inner].filter(
      (file) => !known.has(file) && file !== MANIFEST && file !== survey.index?.file && !HARMLESS.has(file),
    );
    for (const file of extra) {
      report("warning", EXTRA, { file });
    }
  }
}

/** Where no digest covers the index, its text must be the text that this tool writes for these files. */
function checkIndexText(
  { index, checkpoint }: Survey,
  manifest: Manifest,
  known: ReadonlySet<string>,
  report: AddFinding,
): void {
  if (index === null || index.text === null || known.has(index.file)) {
    return;
  }
  const { totalSize } = parseWeightIndex(index.text, index.file);
  const map = new Map([...checkpoint.stateDict].map(([name, { shard }]) => [name, shard.file] as const));
  const complete = manifest.tensors.every(({ name }) => map.has(name));
  if (complete && index.text !== writeWeightIndex(map, totalSize ?? 0)) {
    report("error", "is not the text that this tool wrote with the weights", { file: index.file });
  }
}

/** Warns of an unfinished run of this tool. */
export async function checkUnfinished(directory: string, report: AddFinding): Promise<void> {
  if ((await outputState(directory)) === "partial") {
    report("warning", "an unfinished run is in this directory: let the command that began it continue it");
  }
}
