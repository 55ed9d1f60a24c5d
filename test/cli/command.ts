/** Runs the built program as a user does: bin/weight-diff.js in a process of its own. */
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { FIXTURES, ROOT } from "../support/fixtures.js";

export const BIN = join(ROOT, "bin/weight-diff.js");
export const BASE = join(FIXTURES, "demo/base");
export const DIFF = join(FIXTURES, "demo/diff");

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  /** Lines of stderr, without those that only come where a run takes longer than eight seconds. */
  readonly said: readonly string[];
}

/** @param env added to this process's own. */
export function weightDiff(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [out, err] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, out, said: linesOf(err) }));
  });
}

const PROGRESS = /^weight-diff: \d+ % of [\d.]+ \w+, [\d.]+ \w+\/s, /;

function linesOf(err: string): readonly string[] {
  return err
    .split("\n")
    .slice(0, -1)
    .filter((line) => !PROGRESS.test(line));
}

/** A recover of the demo. */
export function recoverDemo(...more: readonly string[]): Promise<Outcome> {
  return weightDiff(["recover", "--path_raw", BASE, "--path_diff", DIFF, ...more]);
}

/** Runs a shell line; `"$@"` in it is the program with `args`. */
export function shell(line: string, args: readonly string[]): { readonly code: number | null; readonly text: string } {
  const { status, stdout, stderr } = spawnSync("bash", ["-c", line, "bash", process.execPath, BIN, ...args], {
    encoding: "utf8",
  });
  return { code: status, text: stdout + stderr };
}
