/** sign: signs every file of a folder with the publisher's key, so that others can check where the files come from. */

import { readPrivateKey } from "../check/signature/keys.js";
import { type Signed, signFolder } from "../check/signature.js";
import type { RunOptions } from "../run/run-plan.js";

export interface SignOptions extends Omit<RunOptions, "hub" | "windowBytes" | "disk"> {
  /** The folder that make-diff or recover wrote, or any other folder. */
  readonly path: string;
  /** A file with the private key (PEM): EC P-256, P-384 or P-521. */
  readonly signKey: string;
}

export interface SignReport extends Signed {
  readonly seconds: number;
}

/**
 * Signs the folder.
 * @throws {WeightDiffError} for a key or a folder that cannot be read; OUTPUT_REFUSED for an unfinished output; INTERRUPTED.
 */
export async function sign({ path, signKey, ...options }: SignOptions): Promise<SignReport> {
  const started = performance.now();
  const signed = await signFolder(path, await readPrivateKey(signKey), options);
  return { ...signed, seconds: (performance.now() - started) / 1000 };
}
