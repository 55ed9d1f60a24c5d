/** From the given flags to the options of the command's function: complete, valid and without contradictions. */

import { STREAM } from "../../files/pipe.js";
import type { Asked, CommandName, Flag } from "./flag.js";
import { type Given, type GivenValue, usage } from "./given.js";
import { barePaths, farmPaths } from "./paths.js";
import { OUTPUTS, refuseContradictions, type Setting } from "./rules.js";
import { flagsOf, shownName } from "./table.js";

export interface FlagReading<C extends CommandName> {
  readonly asked: Asked[C];
  /** Notes for the user about flags that have no effect here. */
  readonly notes: readonly string[];
  /** Does it name an output that can be continued or replaced? */
  readonly writes: boolean;
  /** Can this run be continued if it is interrupted? */
  readonly resumable: boolean;
  /** Does stdout carry the output itself, so that the result goes to stderr? */
  readonly streams: boolean;
  /** Does it read stdin, or write its output to stdout? Then a call to the system may never return. */
  readonly piped: boolean;
}

/**
 * @param words the words without a flag.
 * @param script flags of a script as the user wrote them: evidence for its scheme.
 * @throws {WeightDiffError} USAGE, naming every flag that is missing or wrong.
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

/** The evidence for "auto" in commands that apply a diff, and the line that batch divides. verify's only word belongs to this tool. */
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
  // If there are too few words, they are the required ones.
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

/** Sets fields, and fields in fields. Joins lists. */
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
