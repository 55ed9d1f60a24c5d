/**
 * xor: does what the codecs' own scripts do, with the same arguments: makes a model from a payload and a base, or a payload from a model
 * and a base.
 */
import { findFile, findFolder } from "../checkpoint/file-list.js";
import { WeightDiffError } from "../errors.js";
import { DEFAULTS } from "../plan/defaults.js";
import { withHub } from "../run/inputs.js";
import { xorFiles } from "./xor/files.js";
import type { XorOptions } from "./xor/options.js";
import { findXorPayload, payloadFolder } from "./xor/payload.js";
import type { XorReport } from "./xor/recipe.js";

export interface XorCommandOptions extends XorOptions {
  /** The payload, or the model to encode: a directory, a Hub cache folder, or a repository on the Hub. */
  readonly payload: string;
  /** "auto" (the default), or the script whose rules to follow. */
  readonly scheme?: string;
}

/**
 * Decodes or encodes.
 * @throws {WeightDiffError} as xorFiles; NOT_FOUND if payload or base does not exist; NOT_A_DIFF if nothing is XORed.
 */
export async function xor(options: XorCommandOptions): Promise<XorReport> {
  return withHub(options, async (opened) => {
    const { payload, scheme = DEFAULTS.scheme } = opened;
    const found = await findXorPayload({ ...opened, diff: payload, scheme });
    if (found === null) {
      // A path that does not exist gets its own error, before any other.
      await payloadFolder(payload, opened.hub);
      await ((await findFolder(opened.raw, opened.hub)) ?? findFile(opened.raw, opened.hub));
      throw new WeightDiffError(
        "NOT_A_DIFF",
        "nothing here is XORed: there are no weight files, or each is what its name says",
        undefined,
        {
          at: { file: payload },
          advice: [
            { to: "make a payload of a model", option: "direction", value: "encode" },
            { to: "decode all the same", option: "scheme", value: "oa-xor" },
          ],
        },
      );
    }
    return xorFiles(found, opened);
  });
}
