/**
 * argv -> exit code. stdout carries results only; notes, progress, warnings and errors go to stderr: lower case, no full
 * stop, `weight-diff: error: …` then `weight-diff: hint: …`. Nothing here or below ends the process: a number is returned.
 */
import { VERSION } from "../version.js";
import { openStdout } from "./output/stdout.js";

/** Runs one command line. @param argv as process.argv. @returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const out = openStdout();
  // A log that nobody reads any more, or that fills its disk, must not end a run of an hour.
  process.stderr.on("error", () => {});
  // Where nobody listens, a file that passes `ulimit -f` ends the process without a word; a listener leaves it to the write to fail.
  process.on("SIGXFSZ", () => {});
  const args = argv.slice(2);
  let exitCode = 0;
  if (args[0] === "--version") {
    out.write(`${VERSION}\n`);
  } else {
    // What the flags are made of takes longer to load than the version to print.
    exitCode = await (await import("./command-line.js")).obey(args, out);
  }
  const failure = await out.finish();
  return failure === null ? exitCode : (await import("./command-line.js")).explainStdout(failure, args);
}
