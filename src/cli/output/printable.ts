/**
 * Text leaves the program only here, so text from files is made harmless here: to a terminal, to programs that recognise messages by their
 * beginning, and to a runner that searches its log for commands (actions/runner, src/Runner.Common/ActionCommand.cs: a line that begins
 * with "::", or has "##[" anywhere).
 */
import { escapeUnsafe } from "../../formats/quote.js";
import { blot } from "../../secrets.js";

/** Text to print. JSON keeps its meaning, since only its strings can hold the characters that are escaped here. */
export function printableText(text: string): string {
  return escapeUnsafe(blot(text)).replaceAll("##[", "##\\u005b");
}

/** A message of one or several lines. Only the first line may begin like a message, and none like a command. */
export function printableMessage(text: string): string {
  return printableText(text)
    .replace(/\n(?! )/g, "\n  ")
    .replace(/^(\s*):(?=:)/gm, "$1: ");
}
