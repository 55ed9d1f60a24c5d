/** The type of a command's function, from its options to what it prints. */
import type { Say } from "../../advice.js";
import type { ProgressState } from "../../run/run-plan.js";
import type { Asked, CommandName } from "../flags/flag.js";

/** What the library's functions get besides their options. */
export interface During {
  readonly signal: AbortSignal;
  readonly onNote: Say;
  readonly onWarning: Say;
  readonly onProgress: (state: ProgressState) => void;
}

/** @param print prints a result on stdout. @returns the exit code. */
export type Story<C extends CommandName> = (
  asked: Asked[C],
  during: During,
  print: (text: string) => void,
) => Promise<number>;
