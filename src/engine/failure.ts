/** Carries an error from one thread to another. An error loses its class on the way, so its fields are sent. */
import { WeightDiffError } from "../errors.js";

/** Plain data. */
export type Failure =
  | ({ readonly type: "failed" } & Pick<
      WeightDiffError,
      "code" | "fact" | "hint" | "at" | "why" | "advice" | "problems"
    >)
  | { readonly type: "crashed"; readonly reason: string };

export function failureOf(error: unknown): Failure {
  if (error instanceof WeightDiffError) {
    const { code, fact, hint, at, why, advice, problems } = error;
    return { type: "failed", code, fact, hint, at, why, advice, problems };
  }
  return { type: "crashed", reason: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

/** Makes the error again; for a crash, one that shows where it came from. @param who crashed: "a worker". */
export function errorOf(failure: Failure, who: string): Error {
  if (failure.type === "crashed") {
    return new Error(`${who} failed: ${failure.reason}`);
  }
  const { code, fact, hint, at, why, advice, problems } = failure;
  return new WeightDiffError(code, fact, hint, { at, why, advice, problems });
}
