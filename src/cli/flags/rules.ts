/** Which flags go together, and which contradict each other. Contradictions end the command here, before any input or output. */

import { STREAM } from "../../files/pipe.js";
import { MANIFEST_OF_A_STREAM, NOT_IN_A_STREAM } from "../../make/stream-options.js";
import { DEFAULTS } from "../../plan/defaults.js";
import type { CommandName, Flag } from "./flag.js";
import { type Given, usage } from "./given.js";
import { flagsOf, shownName } from "./table.js";

/** A flag that was given, and the value that it sets. */
export interface Setting {
  readonly flag: Flag;
  /** The text as the user gave it. */
  readonly text: string;
  readonly value: unknown;
}

interface Rule {
  /** Any of these … */
  readonly flags: readonly string[];
  readonly commands?: readonly CommandName[];
  /** … without this flag, or together with it. */
  readonly without?: string;
  readonly with?: string;
  /** The reason, to follow "--a without --b: " or "--a and --b contradict each other: ". */
  readonly because?: string;
  readonly hint: string;
}

/** The flag that names the output, for each command whose run can be resumed. */
export const OUTPUTS: Readonly<Partial<Record<CommandName, string>>> = {
  recover: "path_tuned",
  "make-diff": "path_diff",
  convert: "out",
  xor: "dest",
  "chain-materialize": "path_tuned",
  "chain-fold": "path_out",
  "chain-make": "path_diff",
};

const RULES: readonly Rule[] = [
  {
    flags: ["offline"],
    with: "no-cache",
    because: "nothing could be read from the Hub",
    hint: "leave out one of them",
  },
  { flags: ["known"], with: "expect-sum", hint: "give one of them" },
  {
    flags: ["push"],
    without: "path_diff",
    because: "there is nothing to publish",
    hint: "give --path_diff",
  },
  {
    flags: ["sign-key"],
    commands: ["make-diff"],
    without: "path_diff",
    because: "there is nothing to sign",
    hint: "give --path_diff",
  },
  {
    flags: ["report"],
    commands: ["make-diff"],
    without: "path_diff",
    because: "there is nothing to put it beside",
    hint: "give --path_diff",
  },
  { flags: ["push"], with: "part", because: "nothing is whole before finalize", hint: "push after finalize" },
  {
    flags: ["part"],
    commands: ["recover"],
    without: "path_tuned",
    because: "nothing would be left",
    hint: "give --path_tuned",
  },
  {
    flags: ["part"],
    commands: ["make-diff"],
    without: "path_diff",
    because: "nothing would be left",
    hint: "give --path_diff",
  },
  { flags: ["private"], commands: ["make-diff"], without: "push", hint: "give --push org/name, or leave it out" },
];

/** Flags that do not go with a stream on stdout, and why. */
const NOT_OF_A_STREAM: Readonly<Record<string, string>> = {
  resume: "what has gone out cannot be continued",
  force: "nothing is there to be replaced",
  "max-shard-size": NOT_IN_A_STREAM.part,
  part: NOT_IN_A_STREAM.part,
  compress: NOT_IN_A_STREAM.compress,
  "sign-key": NOT_IN_A_STREAM.signKey,
  report: NOT_IN_A_STREAM.report,
  push: "there is nothing to publish",
};

/** Two flags that set one option to different values, and what to do then. */
const CONTRADICTIONS: Readonly<Record<string, string>> = {
  mode: "--resume continues an unfinished run, --force starts over",
  expectSum: "give the number you trust",
};

/** The axes of a custom scheme. */
const CUSTOM = /^custom\./;

/** @throws {WeightDiffError} USAGE, naming the two flags. */
export function refuseContradictions(command: CommandName, given: Given, settings: readonly Setting[]): void {
  const output = OUTPUTS[command];
  const rewrite = ["force", "resume"].find((name) => given.has(name));
  if (output !== undefined && rewrite !== undefined && !given.has(output)) {
    throw usage(`--${rewrite} without --${output}: there is no output`, command, `give --${output}, or leave it out`);
  }
  const streamed = output !== undefined && given.get(output) === STREAM;
  const notHere = Object.keys(NOT_OF_A_STREAM).find((flag) => given.has(flag));
  if (streamed && notHere !== undefined) {
    throw usage(
      `--${notHere} and ${shownOutput(command, output)} ${STREAM} contradict each other: ${NOT_OF_A_STREAM[notHere]}`,
      command,
      `leave out --${notHere}, or give a directory`,
    );
  }
  if (!streamed && given.has("manifest-out")) {
    throw usage(`--manifest-out: ${MANIFEST_OF_A_STREAM}`, command, `leave it out, or write to ${STREAM}`);
  }
  for (const rule of RULES) {
    const name = rule.flags.find((flag) => given.has(flag));
    if (name === undefined || rule.commands?.includes(command) === false) {
      continue;
    }
    const because = rule.because === undefined ? "" : `: ${rule.because}`;
    if (rule.without !== undefined && !given.has(rule.without)) {
      throw usage(`--${name} without --${rule.without}${because}`, command, rule.hint);
    }
    if (rule.with !== undefined && given.has(rule.with)) {
      throw usage(`--${name} and --${rule.with} contradict each other${because}`, command, rule.hint);
    }
  }
  for (const [index, first] of settings.entries()) {
    const second = settings.slice(index + 1).find(({ flag, value }) => contradicts(first, flag, value));
    if (second !== undefined) {
      throw usage(
        `${first.text} and ${second.text} contradict each other`,
        command,
        CONTRADICTIONS[first.flag.option ?? ""] ?? "give one of them",
      );
    }
  }
  const scheme = settings.find(({ flag }) => flag.option === "scheme")?.value ?? DEFAULTS.scheme;
  const axis = settings.find(({ flag }) => CUSTOM.test(flag.option ?? ""));
  if (axis !== undefined && scheme !== "custom") {
    throw usage(
      `--${axis.flag.name} and --scheme ${scheme} contradict each other: a scheme is what it is`,
      command,
      "--scheme custom takes --op, --arith, --rows, --verbatim and --driver",
    );
  }
}

function shownOutput(command: CommandName, output: string): string {
  const row = flagsOf(command).find(({ name }) => name === output);
  return row === undefined ? output : shownName(row);
}

/** Lists are joined. Any other option can have only one value. */
function contradicts(first: Setting, flag: Flag, value: unknown): boolean {
  return first.flag.option === flag.option && first.value !== value && !Array.isArray(value);
}
