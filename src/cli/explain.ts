/** Explains an error to the user, on stderr: what is wrong, then what to do. With --json, also as a document on stdout. */
import { EXIT_CODES, listed, WeightDiffError } from "../errors.js";
import { machineError } from "../files/errno.js";
import { STREAM } from "../files/pipe.js";
import type { CommandName } from "./flags/flag.js";
import { OUTPUTS } from "./flags/rules.js";
import { commandOf } from "./line/argv.js";
import { hintText } from "./output/advice.js";
import { json } from "./output/json.js";
import { say, sayEvent } from "./output/stderr.js";
import type { ResultWriter } from "./output/stdout.js";

const BUG = 1;

/** The properties of the command line on which the words depend. */
export interface Explained {
  readonly command: CommandName | null;
  readonly asJson: boolean;
  /** Is stderr read by a program? */
  readonly events: boolean;
  /** Does the command write an output that can be continued or replaced? */
  readonly writes: boolean;
  /** Does stdout carry the output itself? */
  readonly streams: boolean;
}

/** Explains an error. @param out null if stdout is what failed. @returns the exit code. */
export function explain(error: unknown, about: Explained, out: ResultWriter | null): number {
  const told = tell(machineError(error), about);
  const { code, why, message, hint, at, problems } = told;
  const document = {
    code,
    ...(why === null ? {} : { why }),
    message,
    hint,
    at,
    ...(problems.length === 0 ? {} : { problems }),
  };
  if (about.events) {
    sayEvent("error", document);
  } else {
    sayError(told);
  }
  // A program that reads stderr already has the document as an event.
  if (out !== null && about.asJson && !(about.streams && about.events)) {
    out.write(json({ error: document }));
  }
  return told.exitCode;
}

function sayError(told: ReturnType<typeof tell>): void {
  const said = [`error: ${told.shown}`, ...(told.hint === null ? [] : [`hint: ${told.hint}`])];
  const list = listed(told.problems).map((line) => `\n  ${line}`);
  const last = said.pop() ?? "";
  said.forEach(say);
  say(last + list.join(""));
}

function tell(error: unknown, about: Explained) {
  if (error instanceof WeightDiffError) {
    const { code, why, message, fact, at, problems } = error;
    const place = at.file === undefined && at.tensor === undefined ? null : at;
    return {
      exitCode: EXIT_CODES[code],
      shown: at.file === undefined ? fact : `${at.file}: ${fact}`,
      code,
      why,
      message,
      hint: hintText(error, about.command, about.writes) ?? null,
      at: place,
      problems,
    };
  }
  const message = `this is a bug in weight-diff: ${error instanceof Error ? error.message : String(error)}`;
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const hint = "please report it with the command that you ran";
  return {
    exitCode: BUG,
    shown: `this is a bug in weight-diff: ${stack}`,
    code: "BUG",
    why: null,
    message,
    hint,
    at: null,
    problems: [],
  };
}

/** Looks at a command line that may itself be wrong, so it is not parsed again. */
export function glance(args: readonly string[]): Explained {
  const end = args.indexOf("--");
  const flags = end < 0 ? args : args.slice(0, end);
  const command = commandOf(args);
  const output = command === null ? undefined : OUTPUTS[command];
  return {
    command,
    asJson: wantsJson(flags),
    events: flags.includes("--events"),
    writes: false,
    streams: output !== undefined && flags.some((word) => word === STREAM || word.endsWith(`=${STREAM}`)),
  };
}

function wantsJson(flags: readonly string[]): boolean {
  return flags.some(
    (flag, index) =>
      flag === "--json" || flag === "--format=json" || (flag === "--format" && flags[index + 1] === "json"),
  );
}
