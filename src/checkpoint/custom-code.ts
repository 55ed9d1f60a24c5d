/**
 * Python files that belong to a model: those that its configs name in `auto_map`, and what these import from beside themselves, as
 * transformers finds them (5.23, dynamic_module_utils.py: get_class_from_dynamic_module, get_relative_imports). They are text here:
 * nothing is run.
 */
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { readText } from "../files/small-files.js";
import { stringsUnder } from "../formats/json.js";

/** A file that is named and is not there, and who names it. Bare names. */
export interface MissingCode {
  readonly file: string;
  readonly by: string;
}

export interface CustomCode {
  /** Bare names, in the order in which they were found. */
  readonly found: readonly string[];
  readonly missing: readonly MissingCode[];
}

/** Configs that may name classes of the repository's own. */
const CONFIGS = [
  "config.json",
  "generation_config.json",
  "tokenizer_config.json",
  "processor_config.json",
  "preprocessor_config.json",
  "video_preprocessor_config.json",
];
/** A tokenizer_config.json with 100,000 added tokens has 20 MB, and none of those is known with code of its own. */
const MAX_CONFIG_BYTES = 10_000_000;
/** The longest modeling file in transformers itself has 250 kB. */
const MAX_CODE_BYTES = 2_000_000;
/** Real repositories have some five. */
const MAX_FILES = 200;

/**
 * "module.Class" of a file beside the config; "org/name--module.Class" is another repository's, whose code stays there.
 * What is no plain module name could lead elsewhere, and is passed over.
 */
const CLASS = /^([A-Za-z_][\w-]*)\.\w+$/;
const IMPORT = /^[ \t]*from[ \t]+\.([A-Za-z_]\w*)[ \t]+import\b/gm;

/**
 * @param names bare names of the folder's files. @param wanted what is looked for; by default what the folder's configs name.
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

/** Null for what is no text of that size in this folder: it names nothing. @throws {WeightDiffError} IO. */
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

/** None where the text is no JSON: whoever reads it for itself says so. */
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
