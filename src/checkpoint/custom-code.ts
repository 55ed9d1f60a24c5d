/**
 * Python files that belong to a model: those that its configs name in `auto_map`, and the files beside them that they import, as
 * transformers finds them (5.23, dynamic_module_utils.py: get_class_from_dynamic_module, get_relative_imports). They are handled as text;
 * nothing is run.
 */
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { readText } from "../files/small-files.js";
import { stringsUnder } from "../formats/json.js";

/** A file that is named but missing, and the file that names it. Bare names. */
export interface MissingCode {
  readonly file: string;
  readonly by: string;
}

interface CustomCode {
  /** Bare names, in the order in which they were found. */
  readonly found: readonly string[];
  readonly missing: readonly MissingCode[];
}

/** Configs that may name classes of the repository. */
const CONFIGS = [
  "config.json",
  "generation_config.json",
  "tokenizer_config.json",
  "processor_config.json",
  "preprocessor_config.json",
  "video_preprocessor_config.json",
];
/** A tokenizer_config.json with 100,000 added tokens has 20 MB, but no such tokenizer is known to have its own code. */
const MAX_CONFIG_BYTES = 10_000_000;
/** The longest modeling file in transformers itself has 250 kB. */
const MAX_CODE_BYTES = 2_000_000;
/** Real repositories have about five. */
const MAX_FILES = 200;

/**
 * "module.Class" is in a file beside the config. "org/name--module.Class" belongs to another repository and stays there. Anything but a
 * plain module name could lead elsewhere, so it is skipped.
 */
const CLASS = /^([A-Za-z_][\w-]*)\.\w+$/;
const IMPORT = /^[ \t]*from[ \t]+\.([A-Za-z_]\w*)[ \t]+import\b/gm;

/**
 * @param names bare names of the folder's files.
 * @param wanted the references to follow; by default those in the folder's configs.
 * @throws {WeightDiffError} IO.
 */
export async function customCode(
  directory: string,
  names: ReadonlySet<string>,
  wanted?: readonly MissingCode[],
): Promise<CustomCode> {
  const found = new Set<string>();
  const missing = new Map<string, string>();
  const queue = [...(wanted ?? (await namedInConfigs(directory, names)))];
  for (const { file, by } of queue) {
    if (found.has(file) || missing.has(file) || found.size + missing.size >= MAX_FILES) {
      continue;
    }
    if (!names.has(file)) {
      missing.set(file, by);
      continue;
    }
    found.add(file);
    const text = (await textOf(join(directory, file), MAX_CODE_BYTES, directory)) ?? "";
    for (const [, module = ""] of text.matchAll(IMPORT)) {
      queue.push({ file: `${module}.py`, by: file });
    }
  }
  return { found: [...found], missing: [...missing].map(([file, by]) => ({ file, by })) };
}

async function namedInConfigs(directory: string, names: ReadonlySet<string>): Promise<readonly MissingCode[]> {
  const named: MissingCode[] = [];
  for (const by of CONFIGS.filter((name) => names.has(name))) {
    const text = await textOf(join(directory, by), MAX_CONFIG_BYTES, null);
    for (const reference of text === null ? [] : referencesIn(text, by)) {
      const [, module] = CLASS.exec(reference) ?? [];
      if (module !== undefined) {
        named.push({ file: `${module}.py`, by });
      }
    }
  }
  return named;
}

/** The text of a file in this folder. Null if it is too large, or not text: then it names nothing. @throws {WeightDiffError} IO. */
async function textOf(path: string, most: number, within: string | null): Promise<string | null> {
  try {
    return await readText(path, most, within);
  } catch (error) {
    if (
      error instanceof WeightDiffError &&
      ["LIMIT", "FORMAT_INVALID", "NOT_FOUND", "LINK_OUTSIDE"].includes(error.code)
    ) {
      return null;
    }
    throw error;
  }
}

/** Empty if the text is not JSON: the reader of that file reports it. */
function referencesIn(text: string, where: string): readonly string[] {
  try {
    return stringsUnder(text.replace(/^\ufeff/, ""), "auto_map", where, "python");
  } catch (error) {
    if (error instanceof WeightDiffError) {
      return [];
    }
    throw error;
  }
}
