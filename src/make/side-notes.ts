/** The notes about small files: which are not copied, which come from the base, and which the result lacks. */
import { printable } from "../formats/quote.js";
import type { SmallFiles } from "./destination.js";
import type { RunRequest } from "./recipe.js";

/**
 * @param whose the checkpoint whose small files are copied, for example "the diff".
 * @param rows how many rows of its embedding the base lacks.
 */
export function tellSmallFiles(
  { side, base }: SmallFiles,
  whose: string,
  rows: number,
  { onNote, onWarning }: Pick<RunRequest, "onNote" | "onWarning">,
): void {
  const taken = base?.files.map(({ file }) => printable(file)).join(", ") ?? "";
  if (taken !== "") {
    const what = base?.tokenizer === "base" ? `${whose} has no tokenizer: taken` : `what ${whose} lacks is taken`;
    onNote?.(`${what} from the base: ${taken}`);
  }
  if (side.left.length > 0) {
    onNote?.(`not copied from ${whose}: ${side.left.map(printable).join(", ")}`);
  }
  for (const { message } of base?.refused ?? []) {
    onWarning?.(`not taken from the base: ${message}`);
  }
  for (const { file, by } of (base?.missing ?? side.missing).slice(0, MISSING_SHOWN)) {
    onWarning?.(`${printable(by)} names ${printable(file)}, which is missing: loaders that need it will fail`);
  }
  if (base?.tokenizer === "other-rows") {
    onWarning?.(
      `the result has no tokenizer: ${whose} brings none, and the base's does not know ${rows === 0 ? "its vocabulary" : `the ${rows} new ${rows === 1 ? "row" : "rows"}`}: copy the fine-tuned model's tokenizer into the output`,
    );
  } else if (base?.tokenizer === "none") {
    onWarning?.(
      `the result has no tokenizer: neither ${whose} nor the base has one: copy the model's tokenizer into the output`,
    );
  } else if (base === null && !side.tokenizer && rows > 0) {
    onWarning?.(
      `${whose} has no tokenizer, and the base's does not know the ${rows} new ${rows === 1 ? "row" : "rows"}: nobody who recovers it will have one`,
    );
  }
}

const MISSING_SHOWN = 5;
