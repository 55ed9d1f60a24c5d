/** finalize: from the parts of a run to the output. The result is shown as the divided command shows it. */
import { type FinalizeReport, finalize } from "../../commands/finalize.js";
import { EXIT_CODES } from "../../errors.js";
import { refuseWrongOptions } from "../../library/options.js";
import type { Asked } from "../flags/flag.js";
import { json } from "../output/json.js";
import { convertJson, convertText } from "./convert.js";
import { makeDiffJson, makeDiffText } from "./make-diff.js";
import { recoverJson, recoverText } from "./recover.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["finalize"],
  during: During,
  print: (text: string) => void,
  library = { finalize },
): Promise<number> {
  const found = await library.finalize({ ...options, ...during }, refuseWrongOptions);
  print((look.format === "json" ? finalizeJson : finalizeText)(found));
  return found.command === "recover" && found.report.sumCheck?.verdict === "fail" ? EXIT_CODES.CHECK_FAILED : 0;
}

function finalizeText(found: FinalizeReport): string {
  switch (found.command) {
    case "recover":
      return recoverText(found.report);
    case "make-diff":
      return makeDiffText(found.report);
    case "convert":
      return convertText(found.report);
    case null:
      return `${found.path} is finished already: ${found.tensors.length} tensors verified against weight-diff.json\n`;
  }
}

function finalizeJson(found: FinalizeReport): string {
  switch (found.command) {
    case "recover":
      return recoverJson(found.report);
    case "make-diff":
      return makeDiffJson(found.report);
    case "convert":
      return convertJson(found.report);
    case null:
      return json({ command: "finalize", outcome: "verified", output: found.path, tensors: found.tensors });
  }
}
