/** try: from its flags' options to the model's answer, shown as it comes, with figures and verdict; or JSON. */
import { type TryReport, tryModel } from "../../commands/try.js";
import { EXIT_CODES } from "../../errors.js";
import type { Asked } from "../flags/flag.js";
import { firstText, tryJson, verdictText } from "../output/try-text.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["try"],
  during: During,
  print: (text: string) => void,
  library = { tryModel },
): Promise<number> {
  if (look.format === "json") {
    const report = await library.tryModel({ ...options, ...during });
    print(tryJson(report));
    return report.verdict.failed ? EXIT_CODES.CHECK_FAILED : 0;
  }
  const { verdict } = await tellAsItComes(options, during, print, library);
  return verdict.failed ? EXIT_CODES.CHECK_FAILED : 0;
}

/** First the header after the first pass, then the text as it comes, then figures and verdict. */
export async function tellAsItComes(
  options: Omit<Asked["try"], "look">,
  during: During,
  print: (text: string) => void,
  library: { readonly tryModel: typeof tryModel },
): Promise<TryReport> {
  let begun = false;
  try {
    const report = await library.tryModel({
      ...options,
      ...during,
      onFirst: (first) => {
        print(firstText(first));
        begun = true;
      },
      onText: print,
    });
    print(verdictText(report));
    return report;
  } catch (error) {
    if (begun) {
      print("\n");
    }
    throw error;
  }
}
