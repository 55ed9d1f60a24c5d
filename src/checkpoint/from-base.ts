/**
 * The small files that a model lacks and its base has: a tokenizer, if both have the same vocabulary rows; processors; and the code that
 * the model's configs name.
 */
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { isVocabulary, sideKind } from "../files/side-names.js";
import { regularFiles } from "../files/small-files.js";
import { customCode, type MissingCode } from "./custom-code.js";
import { refuseStandIn, type SideFile, type SideFiles } from "./side-files.js";

export interface FromBase {
  readonly files: readonly SideFile[];
  /**
   * Whose tokenizer the result has. "other-rows": none, since the base's does not know all rows of the result. "none": neither side has
   * one.
   */
  readonly tokenizer: "own" | "base" | "other-rows" | "none";
  /** Code that neither side has. */
  readonly missing: readonly MissingCode[];
  /** Files of the base that are needed but cannot be used. */
  readonly refused: readonly WeightDiffError[];
}

export interface BaseFiles {
  /** The folder of the base; null if there is none. */
  readonly directory: string | null;
  /** Makes the base's tokenizer, if it is not simply a file in the folder. Called only if one is needed. */
  readonly tokenizer: (() => Promise<readonly SideFile[]>) | null;
  /** Does the result's embedding have exactly the rows of the base's? */
  readonly sameRows: boolean;
}

/** @param side the small files of the model itself. @throws {WeightDiffError} IO. */
export async function fromBase(
  side: SideFiles,
  { directory: base, tokenizer: made, sameRows }: BaseFiles,
): Promise<FromBase> {
  const has = new Set(side.copied.map(({ file }) => file));
  const names = base === null ? [] : await regularFiles(base);
  const refused: WeightDiffError[] = [];
  /** Reports a file that cannot be used, and goes on without it. */
  const orRefused = async <T>(taking: Promise<T>): Promise<T | null> =>
    taking.catch((error: unknown) => {
      if (!(error instanceof WeightDiffError) || error.kind !== "input") {
        throw error;
      }
      refused.push(error);
      return null;
    });
  const ready = made === null || side.tokenizer ? [] : ((await orRefused(made())) ?? []);
  const offered = ready.length > 0 || (made === null && names.some(isVocabulary));
  const takesTokenizer = !side.tokenizer && offered && sameRows;
  const takesProcessor = ![...has].some((name) => sideKind(name) === "processor");
  const code = base === null ? null : await customCode(base, new Set([...names, ...has]), side.missing);
  const wanted = names.filter(
    (name) =>
      !has.has(name) &&
      ((takesTokenizer && made === null && sideKind(name) === "tokenizer") ||
        (takesProcessor && sideKind(name) === "processor") ||
        code?.found.includes(name) === true),
  );
  const files = takesTokenizer ? ready.filter(({ file }) => !has.has(file)) : [];
  for (const file of wanted) {
    const place = { path: join(base ?? "", file), within: base ?? "" };
    if ((await orRefused(refuseStandIn({ ...place, name: place.path }, file).then(() => true))) === true) {
      files.push({ file, ...place });
    }
  }
  const taken = files.some(({ file }) => isVocabulary(file));
  const tokenizer = side.tokenizer ? "own" : taken ? "base" : offered && !sameRows ? "other-rows" : "none";
  return { files, tokenizer, missing: code?.missing ?? side.missing, refused };
}
