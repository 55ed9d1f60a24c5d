/** Asserts that something is refused, and how. */
import assert from "node:assert/strict";
import { type ErrorCode, WeightDiffError } from "../src/errors.js";

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
