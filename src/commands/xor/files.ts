/**
 * The XOR codecs work on whole files, not tensors. A payload and the base give the model (decode); a model and the base give a payload
 * (encode). This file recognises them and refuses what it can; the run does the rest.
 */
import { WeightDiffError } from "../../errors.js";
import { STREAM } from "../../files/pipe.js";
import { printable } from "../../formats/quote.js";
import { make } from "../../make/make.js";
import { withHub } from "../../run/inputs.js";
import type { XorOptions } from "./options.js";
import type { FoundPayload } from "./payload.js";
import { planXor } from "./plan.js";
import { type XorReport, xorRecipe } from "./recipe.js";

/**
 * Decodes or encodes the files of a payload.
 * @throws {WeightDiffError} with any code of errors.ts except those about tensors; CHECK_FAILED if a file is not what the payload states.
 */
export async function xorFiles(found: FoundPayload, options: XorOptions): Promise<XorReport> {
  return withHub(options, async (opened) => {
    const started = performance.now();
    if (opened.output === STREAM) {
      throw new WeightDiffError(
        "USAGE",
        "this payload gives whole files, but a stream is one file of tensors",
        "give a directory for them",
      );
    }
    const { raw, hub, compress = false, direction = "decode" } = opened;
    const trustBase = opened.ignore?.includes("wrong-base") === true;
    const plan = await planXor(found, { raw, hub, direction, compress, trustBase });
    opened.onNote?.(`scheme ${plan.scheme}: ${plan.reason}`);
    for (const note of plan.notes) {
      opened.onNote?.(note);
    }
    if (plan.left.length > 0) {
      opened.onNote?.(`not copied from the payload: ${plan.left.map(printable).join(", ")}`);
    }
    return make(xorRecipe({ started, plan }, opened), opened);
  });
}
