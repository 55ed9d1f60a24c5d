/**
 * What a model lacks beside its weights and its base has: a tokenizer, as long as both have the same vocabulary rows; processors; the
 * code that its own configs name.
 */
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { isVocabulary, sideKind } from "../files/side-names.js";
import { readText, regularFiles } from "../files/small-files.js";
import { customCode, type MissingCode } from "./custom-code.js";
import { refuseStandIn, type SideFile, type SideFiles } from "./side-files.js";

export interface FromBase {
  readonly files: readonly SideFile[];
  /** Whose tokenizer the result has. "other-rows": nobody's, since the base's does not know all of its rows; "none": neither has one. */
  readonly tokenizer: "own" | "base" | "other-rows" | "none";
  /** Code that neither has. */
  readonly missing: readonly MissingCode[];
  /** The base's files that would be taken, and cannot be. */
  readonly refused: readonly WeightDiffError[];
}

/** Tokenizers of transformers 5.23 that need no vocabulary: they count bytes or code points. */
const WITHOUT_VOCABULARY = /"tokenizer_class"\s*:\s*"(ByT5|Canine|Dia|Perceiver)Tokenizer"/;
const MAX_CONFIG_BYTES = 10_000_000;

/**
 * @param side the model's own. @param own its folder, @param base the base's; null where there is none.
 * @param sameRows do both have the same rows of the embedding? @throws {WeightDiffError} IO.
 */
export async function fromBase(
  side: SideFiles,
  own: string | null,
  base: string | null,
  sameRows: boolean,
): Promise<FromBase> {
  const has = new Set(side.copied.map(({ file }) => file));
  const names = base === null ? [] : await regularFiles(base);
  const lacksTokenizer = ![...has].some(isVocabulary) && !(await needsNoVocabulary(own, has));
  const offered = names.some(isVocabulary);
  const takesTokenizer = lacksTokenizer && offered && sameRows;
  const takesProcessor = ![...has].some((name) => sideKind(name) === "processor");
  const code = base === null ? null : await customCode(base, new Set(names), side.missing);
  const wanted = names.filter(
    (name) =>
      !has.has(name) &&
      ((takesTokenizer && sideKind(name) === "tokenizer") ||
        (takesProcessor && sideKind(name) === "processor") ||
        code?.found.includes(name) === true),
  );
  const files: SideFile[] = [];
  const refused: WeightDiffError[] = [];
  for (const file of wanted) {
    const place = { path: join(base ?? "", file), within: base ?? "" };
    try {
      await refuseStandIn({ ...place, name: place.path }, file);
      files.push({ file, ...place });
    } catch (error) {
      if (!(error instanceof WeightDiffError) || error.kind !== "input") {
        throw error;
      }
      refused.push(error);
    }
  }
  const taken = files.some(({ file }) => isVocabulary(file));
  const tokenizer = !lacksTokenizer ? "own" : taken ? "base" : offered && !sameRows ? "other-rows" : "none";
  return { files, tokenizer, missing: code?.missing ?? side.missing, refused };
}

async function needsNoVocabulary(directory: string | null, names: ReadonlySet<string>): Promise<boolean> {
  const file = "tokenizer_config.json";
  if (directory === null || !names.has(file)) {
    return false;
  }
  return WITHOUT_VOCABULARY.test(await readText(join(directory, file), MAX_CONFIG_BYTES).catch(() => ""));
}
