/**
 * argv -> exit code. stdout carries results only; notes, progress, warnings and errors go to stderr: lower case, no full
 * stop, `weight-diff: error: …` then `weight-diff: hint: …`. Nothing here or below ends the process: a number is returned.
 */
import { Command, CommanderError } from "commander";
import { EXIT_CODES, WeightDiffError } from "../errors.js";
import { machineError } from "../files/errno.js";
import { VERSION } from "../version.js";
import { normaliseArgv } from "./argv.js";
import { errorText } from "./error-text.js";
import { openStdout } from "./stdout.js";

const EXAMPLES = `
examples:
  weight-diff recover --path_raw llama-7b --path_diff tulu-7b-diff --path_tuned tulu-7b
  weight-diff recover --path_raw llama-7b --path_diff tulu-7b-diff --path_tuned tulu-7b --dtype bfloat16
  weight-diff recover --path_raw llama-7b --path_diff tulu-7b-diff --path_tuned tulu-7b --resume
  weight-diff recover --path_raw llama-7b --path_diff tulu-7b-diff --dry-run
  weight-diff schemes
  weight-diff recover --path_raw llama-7b --path_diff vicuna-7b-delta --path_tuned vicuna-7b --scheme fastchat
  weight-diff convert LLaMA/7B llama-7b
  weight-diff recover --path_raw huggyllama/llama-7b --path_diff allenai/tulu-7b --path_tuned tulu-7b
  weight-diff verify tulu-7b --require digests
  weight-diff verify tulu-7b --against tulu-7b-float16
  weight-diff inspect tulu-7b-diff
  weight-diff inspect tulu-7b --digest --json

exit codes:
  0 done   2 wrong usage   3 a check failed   4 an input or the output directory cannot be used
  5 disk or network   1 a bug   130 interrupted   143 terminated`;

/** Runs one command line. @param argv as process.argv. @returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const out = openStdout();
  // A log that nobody reads any more, or that fills its disk, must not end a run of an hour.
  process.stderr.on("error", () => {});
  const stop = new AbortController();
  const signals = { SIGINT: "INTERRUPTED", SIGTERM: "TERMINATED" } as const;
  for (const [signal, code] of Object.entries(signals)) {
    // Once: a second Ctrl-C ends the process without further ado.
    process.once(signal, () =>
      stop.abort(new WeightDiffError(code, "interrupted: what is finished stays", "continue with --resume")),
    );
  }
  // Where nobody listens, a file that passes `ulimit -f` ends the process without a word; a listener leaves it to the write to fail.
  process.on("SIGXFSZ", () => {});
  let exitCode = 0;
  const program = new Command("weight-diff")
    .description(
      "Recovers a fine-tuned model from a published weight diff: the same bits as the Python scripts, in constant memory.",
    )
    .version(VERSION, "--version", "print the version")
    .addHelpText("after", EXAMPLES)
    .exitOverride()
    .configureOutput({ writeOut: (text) => out.write(text), writeErr: () => {} })
    .showSuggestionAfterError(true);
  const args = normaliseArgv(argv.slice(2));
  try {
    if (args.length === 0) {
      throw new WeightDiffError("USAGE", "no command", "try weight-diff --help");
    }
    // What the flags are made of takes longer to load than the version to print.
    if (args[0] !== "--version") {
      const { declareCommands } = await import("./commands.js");
      declareCommands(program, { out, signal: stop.signal, setExitCode: (code) => (exitCode = code) });
    }
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    exitCode = explain(error);
  }
  try {
    await out.finish();
  } catch (error) {
    exitCode = explain(error);
  }
  return exitCode;
}

/** Prints the error. @returns its exit code. */
function explain(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) {
      return 0; // --help and --version come this way
    }
    const text = error.message.replace(/^error: /, "").replaceAll("\n", " ");
    process.stderr.write(errorText(new WeightDiffError("USAGE", text, "see weight-diff --help")));
    return EXIT_CODES.USAGE;
  }
  const known = machineError(error);
  process.stderr.write(errorText(known));
  return known instanceof WeightDiffError ? EXIT_CODES[known.code] : 1;
}
