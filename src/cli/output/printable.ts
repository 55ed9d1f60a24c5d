/**
 * The one place where text leaves the program, and so where text out of files is made harmless: to a terminal, to whoever tells
 * messages by their beginning, and to a runner that reads its log for commands (actions/runner, src/Runner.Common/ActionCommand.cs:
 * a line that begins with "::", or has "##[" anywhere).
 */
import { escapeUnsafe } from "../../formats/quote.js";
import { blot } from "../../secrets.js";

/** What is printed as it is. JSON keeps its meaning: only its strings can hold what is spelled out here. */
export function printableText(text: string): string {
  return escapeUnsafe(blot(text)).replaceAll("##[", "##\\u005b");
}

/** A message of one line or several: no line but the first begins like a message, none like a command. */
export function printableMessage(text: string): string {
  return printableText(text)
    .replace(/\n(?! )/g, "\n  ")
    .replace(/^(\s*):(?=:)/gm, "$1: ");
}
