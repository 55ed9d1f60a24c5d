/**
 * argv -> exit code. stdout carries results only. Notes, progress, warnings and errors go to stderr, in lower case and without a full stop:
 * `weight-diff: error: …`, then `weight-diff: hint: …`. No code here or below ends the process; it returns a number.
 */
import { VERSION } from "../version.js";
import { openStdout } from "./output/stdout.js";

/** Runs one command line. @param argv like process.argv. @returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const out = openStdout();
  // A log that nobody reads any more, or whose disk is full, must not end a run of an hour.
  process.stderr.on("error", () => {});
  // Without a listener, a file beyond `ulimit -f` ends the process without a word. With one, the write fails.
  process.on("SIGXFSZ", () => {});
  const args = argv.slice(2);
  let exitCode = 0;
  if (args[0] === "--version") {
    out.write(`${VERSION}\n`);
  } else {
    // Loading the flags takes longer than printing the version.
    exitCode = await (await import("./command-line.js")).obey(args, out);
  }
  const failure = await out.finish();
  return failure === null ? exitCode : (await import("./command-line.js")).explainStdout(failure, args);
}
