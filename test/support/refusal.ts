/** Asserts that something is refused, and how. */

import assert from "node:assert/strict";
import { hintText } from "../../src/cli/output/advice.js";
import { type ErrorCode, EXIT_CODES, WeightDiffError } from "../../src/errors.js";

/** `run` must throw or reject with this code and a message that matches. */
export async function refuses(run: () => unknown, code: ErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(
    async () => run(),
    (error) => {
      assert.ok(error instanceof WeightDiffError, `not a WeightDiffError: ${error}`);
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    },
  );
}

/** The error of a run that must find its input unusable. */
export async function refusalOf(run: () => Promise<unknown>): Promise<WeightDiffError> {
  const error = await run().catch((thrown: unknown) => thrown);
  assert.ok(error instanceof WeightDiffError, String(error));
  assert.equal(EXIT_CODES[error.code], 4, error.message);
  return error;
}

/** The error of a run that must not choose a scheme. */
export function undecided(run: () => unknown): WeightDiffError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof WeightDiffError && error.code === "SCHEME_UNKNOWN", String(error));
    return error;
  }
  return assert.fail("a scheme was chosen");
}

/** What recover's user reads of it after the error: the hint, and the advice in flags. */
export function hintOf(error: WeightDiffError): string {
  return hintText(error, "recover") ?? "";
}
