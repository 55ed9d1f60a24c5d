/** The built program as a process of its own, to be killed, signalled and slowed down. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { STAGING } from "../../src/output/state.js";
import { ROOT } from "../support/fixtures.js";
import type { Pair } from "../support/models.js";

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Program {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** `preload`: a module of this folder that is loaded before the program, in all its threads. `env` is added to this process's own. */
export function start(args: readonly string[], preload?: string, env: Readonly<Record<string, string>> = {}): Program {
  const url = preload === undefined ? null : new URL(`./${preload}.js`, import.meta.url).href;
  const child = spawn(
    process.execPath,
    [...(url === null ? [] : ["--import", url]), join(ROOT, "bin", "weight-diff.js"), ...args],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } },
  );
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, ended };
}

/** The command line that recovers into `tuned`: several shards, for a sweep with several steps. */
export function recoverArgs({ raw, diff }: Pair, tuned: string, ...more: readonly string[]): readonly string[] {
  const shards = ["--max-shard-size", "9MB", "--no-progress", "--json"];
  return ["recover", "--path_raw", raw, "--path_diff", diff, "--path_tuned", tuned, ...shards, ...more];
}

/** Waits until the run in `tuned` has noted `tensors` finished tensors, or has ended. @returns whether it got there. */
export async function reaches(program: Program, tuned: string, tensors: number): Promise<boolean> {
  const deadline = Date.now() + 60_000;
  while (program.child.exitCode === null && program.child.signalCode === null && Date.now() < deadline) {
    const text = await readFile(join(tuned, STAGING, "journal"), "utf8").catch(() => "");
    if (text.split("\n").length - 2 >= tensors) {
      return true;
    }
    await pause(2);
  }
  return false;
}
