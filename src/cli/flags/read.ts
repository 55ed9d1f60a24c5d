/** From what was given to what is asked of the command's function: all that it needs, valid, without contradictions. */

import { STREAM } from "../../files/pipe.js";
import type { Asked, CommandName, Flag } from "./flag.js";
import { type Given, type GivenValue, usage } from "./given.js";
import { barePaths, farmPaths } from "./paths.js";
import { OUTPUTS, refuseContradictions, type Setting } from "./rules.js";
import { flagsOf, shownName } from "./table.js";

export interface FlagReading<C extends CommandName> {
  readonly asked: Asked[C];
  /** What the user should hear about flags that mean nothing here. */
  readonly notes: readonly string[];
  /** Is an output named, which can be continued or replaced? */
  readonly writes: boolean;
  /** Can this very run be continued, if it is interrupted? */
  readonly resumable: boolean;
  /** Does stdout carry the output itself, so that the result goes to stderr? */
  readonly streams: boolean;
  /** Does it read stdin, or write its output to stdout? Then a call to the system may never return. */
  readonly piped: boolean;
}

/**
 * @param words those without a flag. @param script flags that are a script's own, as they were written: evidence for its scheme.
 * @throws {WeightDiffError} USAGE naming every flag that is missing, or wrong.
 */
export function readFlags<C extends CommandName>(
  command: C,
  words: readonly string[],
  flags: Given,
  script: readonly string[] = [],
): FlagReading<C> {
  const rows = flagsOf(command);
  const given =
    command === "recover" ? barePaths(words, farmPaths(flags)) : new Map([...flags, ...argumentsOf(rows, words)]);
  refuseMissing(command, rows, given);
  const settings = settingsOf(command, rows, given);
  refuseContradictions(command, given, settings);
  const output = given.get(OUTPUTS[command] ?? "");
  const planned = given.has("dry-run") || given.has("plan");
  const streams = output === STREAM && !planned;
  const writes = output !== undefined && output !== STREAM;
  return {
    streams,
    piped: streams || (words.includes(STREAM) && output === undefined),
    asked: { ...optionsOf(settings), ...lineOf(command, words, script) } as unknown as Asked[C],
    writes,
    resumable: writes && !planned,
    notes: rows.flatMap(({ name, note }) => (note === undefined || !given.has(name) ? [] : [note])),
  };
}

/** What "auto" goes by, in the commands that apply a diff; verify's one word is this tool's own. And the line that batch divides. */
function lineOf(command: CommandName, words: readonly string[], script: readonly string[]): object {
  if (command === "batch") {
    return { words: words.slice(1) };
  }
  const count = { recover: words.length, verify: 0 };
  return script.length > 0 && (command === "recover" || command === "verify")
    ? { line: { flags: script, words: count[command] } }
    : {};
}

function argumentsOf(rows: readonly Flag[], words: readonly string[]): Given {
  const all = rows.filter(({ argument }) => argument);
  // Where there are too few words, those that must be given come first.
  const places = words.length < all.length ? all.filter(({ required }) => required !== undefined) : all;
  return new Map(words.map((word, index) => [places[index]?.name ?? "", word]));
}

function refuseMissing(command: CommandName, rows: readonly Flag[], given: Given): void {
  const missing = rows.filter(({ name, required }) => required !== undefined && !given.has(name));
  const [first] = missing;
  if (first === undefined) {
    return;
  }
  if (first.argument === true) {
    const names = missing.map(({ name }) => `'${name}'`).join(", ");
    throw usage(`missing required argument${missing.length === 1 ? "" : "s"} ${names}`, command);
  }
  throw usage(missing.map((flag) => `${shownName(flag)}: is missing: ${flag.required}`).join("; "), command);
}

function settingsOf(command: CommandName, rows: readonly Flag[], given: Given): readonly Setting[] {
  const settings: Setting[] = [];
  const wrong: string[] = [];
  for (const flag of rows) {
    const text = given.get(flag.name);
    if (text === undefined || flag.option === null) {
      continue;
    }
    const texts: readonly GivenValue[] = Array.isArray(text) ? text : [text];
    for (const one of texts) {
      const parsed = flag.schema?.safeParse(one);
      const [issue] = parsed?.error?.issues ?? [];
      if (issue !== undefined) {
        wrong.push(`${shownName(flag)}: ${issue.message}`);
        continue;
      }
      const value = parsed === undefined ? flag.sets : parsed.data;
      if (value !== undefined) {
        settings.push({ flag, text: one === true ? shownName(flag) : `${shownName(flag)} ${one}`, value });
      }
    }
  }
  if (wrong.length > 0) {
    throw usage(wrong.join("; "), command);
  }
  return settings;
}

/** Fields within fields; lists add up. */
function optionsOf(settings: readonly Setting[]): object {
  const options: Record<string, unknown> = { look: {}, hub: {} };
  for (const { flag, value } of settings) {
    const path = (flag.option ?? "").split(".");
    const last = path.pop() ?? "";
    const owner = path.reduce((outer, field) => {
      outer[field] ??= {};
      return outer[field] as Record<string, unknown>;
    }, options);
    const before = owner[last];
    owner[last] = Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value;
  }
  return options;
}
