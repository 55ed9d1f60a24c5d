/**
 * recover: base + diff -> the fine-tuned model. This file opens both, refuses what it can, and plans; `make` does the rest. The result
 * equals that of the reference scripts' own `recover`, bit for bit (scheme/families/ names the scripts).
 */
import { requireSignature } from "../check/signature.js";
import { askAhead } from "../checkpoint/ahead.js";
import { layoutNamed } from "../checkpoint/layouts/registry.js";
import { metaTokenizer } from "../checkpoint/meta-tokenizer.js";
import { type EarlyThreads, withEarlyThreads } from "../engine/early.js";
import { missingPath } from "../files/missing-path.js";
import type { Hub } from "../hub/place.js";
import { make } from "../make/make.js";
import type { Gathering } from "../make/recipe.js";
import { optionsFor } from "../make/stream-options.js";
import { hasSameRows } from "../make/tensors.js";
import { DEFAULTS } from "../plan/defaults.js";
import { withHub } from "../run/inputs.js";
import { statedSum } from "../sums/stated.js";
import { isChain, recoverChain } from "./recover/chain.js";
import { recoverFiles } from "./recover/files.js";
import type { OpenRecoverOptions, RecoverOptions } from "./recover/options.js";
import { prepareRecover } from "./recover/prepare.js";
import { recoverRecipe } from "./recover/recipe.js";
import type { RecoverReport } from "./recover/report.js";
import { findXorPayload } from "./xor/payload.js";

export type { RecoverOptions } from "./recover/options.js";

/**
 * Recovers the model from a base and a diff.
 * @throws {WeightDiffError} with any code of errors.ts; CHECK_FAILED if the result is not what the diff's own manifest states. A naive sum
 * that does not match is no error: the output stays, and the report has the verdict.
 */
export async function recover(options: RecoverOptions, gathering: Gathering | null = null): Promise<RecoverReport> {
  return withHub(options, (opened) => withEarlyThreads((early) => recoverWith(opened, gathering, early)));
}

async function recoverWith(
  asked: OpenRecoverOptions,
  gathering: Gathering | null,
  early: EarlyThreads,
): Promise<RecoverReport> {
  const started = performance.now();
  const options = optionsFor(asked, asked.tuned);
  for (const path of [options.raw, options.diff]) {
    // Both at the same time, as they may be at the Hub.
    askAhead(path, options.hub).catch(() => {}); // told where it is needed
  }
  if (options.verifyKey != null) {
    const { key, files } = await requireSignature(options.diff, options.verifyKey, options);
    options.onNote?.(`the diff is as it was signed: ${files} files by the key ${key.slice(0, 16)}…`);
  }
  if (await isChain(options)) {
    return recoverChain(options);
  }
  await refuseMissing(options.raw, options.hub);
  await refuseMissing(options.diff, options.hub);
  const payload = await findXorPayload({ ...options, scheme: options.scheme ?? DEFAULTS.scheme });
  if (payload !== null) {
    return recoverFiles(payload, options);
  }
  const { inputs, choice, scheme, plan, published } = await prepareRecover(options, early);
  const { raw, diff } = inputs;
  const stated = await statedSum(diff, scheme);
  const elseBase = {
    directory: raw.directory,
    tokenizer:
      layoutNamed(raw.layout).tokenizer === "above"
        ? async () => (await metaTokenizer(raw, options.hub))?.files ?? []
        : null,
    sameRows: hasSameRows(plan, raw),
  };
  return make(
    recoverRecipe({ started, inputs, choice, plan, stated, elseBase, published: published.manifest }, options),
    { ...options, early },
    gathering,
  );
}

/** A path at which nothing is: it is told before what is wrong with the other input. @throws {WeightDiffError} NOT_FOUND. */
async function refuseMissing(path: string, hub: Hub): Promise<void> {
  const place = await hub.find(path).catch(() => undefined); // whoever opens it tells what is wrong
  const missing = place === null ? await missingPath(path) : null;
  if (missing !== null) {
    throw missing;
  }
}
