/**
 * Completion scripts, made from the tables of commands and flags. They hold all words themselves, so nothing runs while somebody types.
 * (The completion libraries for commander call the program at each Tab, and do not complete files in bash.)
 */
import { choicesOf, kindOf } from "../flags/choices.js";
import { COMMAND_NAMES, COMMANDS, firstWords, outerCommands, typed } from "../flags/commands.js";
import type { CommandName, Flag, Shell } from "../flags/flag.js";
import { flagsOf } from "../flags/table.js";

export function completionScript(shell: Shell): string {
  return { bash, zsh, fish, powershell }[shell]();
}

interface Words {
  readonly command: CommandName;
  readonly flags: readonly Flag[];
  readonly args: readonly Flag[];
}

function words(): readonly Words[] {
  return COMMAND_NAMES.map((command) => {
    const shown = flagsOf(command).filter(({ hidden }) => hidden !== true);
    const args = shown.filter(({ argument }) => argument === true);
    // Recover's paths may stand without flags.
    const bare = command === "recover" ? shown.filter(({ name }) => /^path_/.test(name)) : [];
    return { command, flags: shown.filter(({ argument }) => argument !== true), args: [...args, ...bare] };
  });
}

/** For Bash 3.2 and later, without the package bash-completion. If nothing is offered, readline completes file names. */
function bash(): string {
  const all = words();
  const cases = all.flatMap(({ command, flags }) =>
    flags
      .filter(({ takes }) => takes !== undefined)
      .map((flag) => {
        const kind = kindOf(flag);
        const offered =
          kind === "choice"
            ? `_weight_diff_offer "${choicesOf(flag).join(" ")}" "$cur"; `
            : kind === "path"
              ? ""
              : "_weight_diff_none; ";
        return `    "${command} ${dashed(flag)}") ${offered}return ;;`;
      }),
  );
  const lists = all.map(({ command, flags, args }) => {
    const choices = args.flatMap((flag) => choicesOf(flag));
    return `    ${command}) flags="${[...flags.map(({ name }) => `--${name}`), "--help"].join(" ")}"; words="${choices.join(" ")}" ;;`;
  });
  return `# bash completion for weight-diff
# Of the words of $1, those that begin with $2.
_weight_diff_offer() { COMPREPLY=($(compgen -W "$1" -- "$2")); _weight_diff_none; }
_weight_diff_none() { compopt +o default 2>/dev/null; }
_weight_diff() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="" command="" flags="" words=""
  [ "$COMP_CWORD" -gt 0 ] && prev="\${COMP_WORDS[COMP_CWORD-1]}"
  # Readline breaks --dtype=float32 into three words.
  if [ "$cur" = "=" ]; then
    cur=""
  elif [ "$prev" = "=" ] && [ "$COMP_CWORD" -gt 1 ]; then
    prev="\${COMP_WORDS[COMP_CWORD-2]}"
  fi
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    _weight_diff_offer "${firstWords().join(" ")} --help --version" "$cur"
    return
  fi
  command="\${COMP_WORDS[1]//_/-}"
${[...outerCommands()]
  .map(
    ([outer, inner]) => `  if [ "$command" = "${outer}" ]; then
    if [ "$COMP_CWORD" -eq 2 ]; then
      _weight_diff_offer "${inner.join(" ")} --help" "$cur"
      return
    fi
    command="${outer}-\${COMP_WORDS[2]}"
  fi`,
  )
  .join("\n")}
  case "$command \${prev//_/-}" in
${cases.join("\n")}
  esac
  case "$command" in
${lists.join("\n")}
  esac
  if [ "\${cur:0:1}" = "-" ]; then
    _weight_diff_offer "$flags" "$cur"
  elif [ -n "$words" ]; then
    _weight_diff_offer "$words" "$cur"
  fi
}
complete -o default -F _weight_diff weight-diff
`;
}

function zsh(): string {
  const functions = words().map(({ command, flags, args }) => {
    const specs = [
      ...flags.map((flag) => `'${repeat(flag)}--${flag.name}[${zshText(flag.help)}]${zshValue(flag)}'`),
      "'--help[how to use it]'",
      ...args.map((flag) => `'::${flag.takes ?? flag.name}:${zshAction(flag)}'`),
    ];
    return `    ${command})\n      _arguments -s ${specs.join(" \\\n        ")} ;;`;
  });
  const does = (word: string): string =>
    COMMAND_NAMES.filter((name) => typed(name).split(" ")[0] === word).map((name) => COMMANDS[name].does)[0] ?? "";
  const commands = firstWords().map((word) => `    '${word}:${zshText(does(word))}'`);
  return `#compdef weight-diff
# zsh completion for weight-diff
_weight_diff() {
  local -a commands
  commands=(
${commands.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe 'command' commands
    return
  fi
  local command="\${words[2]//_/-}"
  shift words
  (( CURRENT-- ))
${[...outerCommands()]
  .map(
    ([outer, inner]) => `  if [[ "$command" == "${outer}" ]]; then
    if (( CURRENT == 2 )); then
      _values 'command' ${inner.join(" ")}
      return
    fi
    command="${outer}-\${words[2]}"
    shift words
    (( CURRENT-- ))
  fi`,
  )
  .join("\n")}
  case "$command" in
${functions.join("\n")}
  esac
}
if [ "$funcstack[1]" = "_weight_diff" ]; then
  _weight_diff "$@"
else
  compdef _weight_diff weight-diff
fi
`;
}

const repeat = ({ repeated }: Flag): string => (repeated === true ? "*" : "");

function zshValue(flag: Flag): string {
  return flag.takes === undefined ? "" : `:${zshText(flag.takes)}:${zshAction(flag)}`;
}

function zshAction(flag: Flag): string {
  return { choice: `(${choicesOf(flag).join(" ")})`, path: "_files", switch: "", number: "", text: "" }[kindOf(flag)];
}

function fish(): string {
  const lines = words().flatMap(({ command, flags, args }) => [
    `complete -c weight-diff -n ${offeredAt(command)} -f -a ${typed(command).split(" ").at(-1)} -d ${fishText(COMMANDS[command].does)}`,
    ...flags.map((flag) => {
      const value = { choice: `-x -a ${fishText(choicesOf(flag).join(" "))}`, path: "-r -F", number: "-x", text: "-x" };
      const kind = kindOf(flag);
      const takes = kind === "switch" ? "" : ` ${value[kind]}`;
      return `complete -c weight-diff -n '${seen(command)}' -l ${flag.name}${takes} -d ${fishText(flag.help)}`;
    }),
    ...args.flatMap((flag) =>
      kindOf(flag) === "choice"
        ? [`complete -c weight-diff -n '${seen(command)}' -f -a ${fishText(choicesOf(flag).join(" "))}`]
        : [],
    ),
  ]);
  const outer = [...outerCommands().keys()].map(
    (word) => `complete -c weight-diff -n __fish_use_subcommand -f -a ${word}`,
  );
  return `# fish completion for weight-diff\n${[...outer, ...lines].join("\n")}\n`;
}

/** The condition under which fish offers the last word of the command. */
function offeredAt(command: CommandName): string {
  const [outer, inner] = typed(command).split(" ");
  return inner === undefined ? "__fish_use_subcommand" : `'__fish_seen_subcommand_from ${outer}'`;
}

/** The condition that all words of the command are typed. If two commands share a word, only the right one matches. */
function seen(command: CommandName): string {
  const [first, inner] = typed(command).split(" ");
  const others = [...outerCommands()]
    .filter(([, words]) => words.includes(first ?? ""))
    .map(([outer]) => `; and not __fish_seen_subcommand_from ${outer}`);
  return inner === undefined
    ? `__fish_seen_subcommand_from ${first}${others.join("")}`
    : `__fish_seen_subcommand_from ${first}; and __fish_seen_subcommand_from ${inner}`;
}

function powershell(): string {
  const commands = words().map(({ command, flags, args }) => {
    const names = [...flags.map(({ name }) => `--${name}`), "--help"].map(psText).join(", ");
    const values = flags
      .filter((flag) => kindOf(flag) === "choice")
      .map((flag) => `${psText(dashed(flag))} = @(${choicesOf(flag).map(psText).join(", ")})`);
    const own = args.flatMap((flag) => choicesOf(flag)).map(psText);
    return `    ${psText(command)} = @{ flags = @(${names}); words = @(${own.join(", ")}); values = @{ ${values.join("; ")} } }`;
  });
  return `# PowerShell completion for weight-diff
Register-ArgumentCompleter -Native -CommandName weight-diff -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $commands = [ordered]@{
${commands.join("\n")}
  }
  $words = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { "$_" })
  $name = if ($words.Count -gt 1) { $words[1].Replace('_', '-') } else { '' }
  $inner = @{ ${[...outerCommands()].map(([outer, inner]) => `${psText(outer)} = @(${inner.map(psText).join(", ")})`).join("; ")} }
  if ($inner.ContainsKey($name) -and $words.Count -gt 2) { $name = "$name-$($words[2])" }
  $command = $commands[$name]
  $previous = $words[-1].Replace('_', '-')
  $offered = if ($words.Count -le 1) { @(${firstWords().map(psText).join(", ")}) }
    elseif ($inner.ContainsKey($name)) { $inner[$name] }
    elseif ($null -eq $command) { @() }
    elseif ($command.values.ContainsKey($previous)) { $command.values[$previous] }
    elseif ($wordToComplete.StartsWith('-')) { $command.flags }
    else { $command.words }
  $offered | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
  }
}
`;
}

/** As the scripts compare flags: "_" and "-" are the same. */
const dashed = ({ name }: Flag): string => `--${name.replaceAll("_", "-")}`;
const zshText = (text: string): string => text.replaceAll("'", "'\\''").replaceAll(/[[\]:]/g, "\\$&");
const fishText = (text: string): string => `'${text.replaceAll(/['\\]/g, "\\$&")}'`;
const psText = (text: string): string => `'${text.replaceAll("'", "''")}'`;
