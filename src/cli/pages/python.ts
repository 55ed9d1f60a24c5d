/** The commands as Python functions, made from the tables of commands and flags. `npm run wheel` puts them into the package. */
import { choicesOf, kindOf } from "../flags/choices.js";
import { COMMAND_NAMES, COMMANDS } from "../flags/commands.js";
import type { CommandName, Flag } from "../flags/flag.js";
import { flagsOf } from "../flags/table.js";

/** Flags without a use in a function that returns a result: how to show it, and pages for people. */
const forPeople = ({ hidden, option }: Flag): boolean => hidden === true || option?.startsWith("look.") === true;
const COMMANDS_OF_THE_SHELL: ReadonlySet<CommandName> = new Set(["status", "batch", "schemes", "completion"]);

/** The module `weight_diff._commands`. */
export function pythonCommands(): string {
  const names = COMMAND_NAMES.filter((name) => !COMMANDS_OF_THE_SHELL.has(name));
  const results = names.map(resultName).sort();
  return `"""The commands as functions. Written from the table of flags of the command line: change it there."""

from __future__ import annotations

from typing import Callable, Literal, Optional, Sequence, Union

from ._process import PathLike, Progress, run
from ._results import ${results.join(", ")}

${names.map(functionText).join("\n\n")}`;
}

function functionText(command: CommandName): string {
  const flags = flagsOf(command).filter((flag) => !forPeople(flag));
  const words = flags.filter(({ argument }) => argument === true);
  const named = flags.filter(({ argument }) => argument !== true);
  const parameters = [
    ...words.map((flag, index) => wordParameter(flag, index >= firstLeftOut(words))),
    "*",
    ...[...named].sort((a, b) => Number(b.required !== undefined) - Number(a.required !== undefined)).map(parameter),
    "progress: Optional[Callable[[Progress], None]] = None",
  ];
  const described = [...words, ...named].map((flag) => `    ${pythonName(flag)}: ${describe(flag)}`);
  return `
def ${pythonWord(command)}(
${parameters.map((text) => `    ${text},`).join("\n")}
) -> ${resultName(command)}:
    """${COMMANDS[command].does}

${described.join("\n")}
    progress: called with figures, some four times a second

    Raises WeightDiffError.
    """
    return run(
        "${command}",
        [${words.map(pythonName).join(", ")}],
        {
${named.map((flag) => `            "--${flag.name}": ${pythonName(flag)},`).join("\n")}
        },
        ${resultName(command)},
        progress,
    )
`;
}

/** From the first optional argument on, all arguments need a default in Python. All can be given by name. */
function firstLeftOut(words: readonly Flag[]): number {
  const first = words.findIndex(({ required }) => required === undefined);
  return first < 0 ? words.length : first;
}

function wordParameter(flag: Flag, leftOut: boolean): string {
  return `${pythonName(flag)}: ${leftOut ? "Optional[PathLike] = None" : "PathLike"}`;
}

function parameter(flag: Flag): string {
  return flag.required === undefined
    ? `${pythonName(flag)}: ${typeOf(flag) === "bool" ? "bool = False" : `Optional[${typeOf(flag)}] = None`}`
    : `${pythonName(flag)}: ${typeOf(flag)}`;
}

function typeOf(flag: Flag): string {
  const one = {
    switch: "bool",
    choice: flag.takes?.includes(",")
      ? "str"
      : `Literal[${choicesOf(flag)
          .map((word) => `"${word}"`)
          .join(", ")}]`,
    number: flag.takes === "N" ? "int" : "float",
    path: "PathLike",
    text: "str",
  }[kindOf(flag)];
  return flag.repeated === true ? "Union[str, Sequence[str]]" : flag.bare === true ? "bool" : one;
}

function describe({ help, default: otherwise }: Flag): string {
  return `${help}${otherwise === undefined ? "" : ` (default: ${otherwise})`}`.replaceAll("\\", "\\\\");
}

function resultName(command: CommandName): string {
  return `${command.replaceAll(/(^|-)([a-z])/g, (_, __, letter: string) => letter.toUpperCase())}Result`;
}

const pythonName = ({ name }: Flag): string => pythonWord(name);
/** Keywords of Python that are names of flags or commands get an underscore (PEP 8). */
const KEYWORDS: ReadonlySet<string> = new Set(["from", "try"]);
const pythonWord = (name: string): string => {
  const word = name.replaceAll("-", "_");
  return KEYWORDS.has(word) ? `${word}_` : word;
};
