/** What a command's file has: its story, from what is asked to what is printed. */
import type { Say } from "../../advice.js";
import type { ProgressState } from "../../run/run-plan.js";
import type { Asked, CommandName } from "../flags/flag.js";

/** What the library's functions are given beside their options. */
export interface During {
  readonly signal: AbortSignal;
  readonly onNote: Say;
  readonly onWarning: Say;
  readonly onProgress: (state: ProgressState) => void;
}

/** @param print a result, on stdout. @returns the exit code. */
export type Story<C extends CommandName> = (
  asked: Asked[C],
  during: During,
  print: (text: string) => void,
) => Promise<number>;
