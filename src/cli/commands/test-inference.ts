/** recover --test_inference True: runs the recovered model as `try` does. The output stays, whatever the test gives. */
import type { RecoverReport } from "../../commands/recover/report.js";
import type { TryReport, tryModel } from "../../commands/try.js";
import { WeightDiffError } from "../../errors.js";
import { STREAM } from "../../files/pipe.js";
import { scriptText } from "../../inference/prompts.js";
import type { Asked } from "../flags/flag.js";
import type { During } from "./story.js";
import { tellAsItComes } from "./try.js";

/** @param print null shows nothing. @returns null if there is nothing to run, or if it cannot be run: a warning says why. */
export async function testRecovered(
  { outcome, output, part, scheme }: RecoverReport,
  options: Omit<Asked["recover"], "look" | "testInference">,
  during: During,
  print: ((text: string) => void) | null,
  library: { readonly tryModel: typeof tryModel },
): Promise<TryReport | null> {
  const why =
    outcome === "planned"
      ? "a dry run makes no model"
      : part !== undefined
        ? "a part is not a model: try the result of finalize"
        : output === null
          ? "nothing was written that could be run: name an output with --path_tuned"
          : output === STREAM
            ? "a stream on stdout cannot be read again"
            : null;
  if (why !== null || output === null) {
    during.onWarning(`--test_inference: not run: ${why}`);
    return null;
  }
  const text = scriptText(scheme);
  const asked = {
    path: output,
    base: options.raw,
    hub: options.hub,
    scheme,
    ...(text === null ? {} : { text }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  };
  try {
    return print === null
      ? await library.tryModel({ ...asked, ...during })
      : await tellAsItComes(asked, during, print, library);
  } catch (error) {
    if (!(error instanceof WeightDiffError) || error.kind === "stopped") {
      throw error;
    }
    during.onWarning(`--test_inference: the model is recovered, but was not run: ${error.message}`);
    return null;
  }
}
