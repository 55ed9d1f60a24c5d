/** What every part of the bench is given, and how it runs the program. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Cost, type Finished, type Rival, type RunOptions, run, warm } from "./measure.js";
import type { Model } from "./model.js";
import type { Print } from "./table.js";

export interface Bench {
  /** Models and outputs. */
  readonly dir: string;
  readonly rounds: number;
  /** The launcher, bin/weight-diff.js or that of another build. */
  readonly program: string;
  readonly print: Print;
  /** A copy of a weight_diff.py; null without. */
  readonly reference: string | null;
  readonly python: string;
  /** Of part 16, only lines whose names have this in them. */
  readonly lines: string;
  /** mergekit-yaml; null without. */
  readonly mergekit: string | null;
}

export function outputOf(bench: Bench): string {
  return join(bench.dir, "out");
}

/** The program with these arguments. */
export function weightDiff(bench: Bench, ...args: readonly string[]): readonly string[] {
  return [process.execPath, bench.program, ...args];
}

export function recoverCommand(bench: Bench, model: Model, ...args: readonly string[]): readonly string[] {
  return weightDiff(
    bench,
    "recover",
    "--path_raw",
    model.base,
    "--path_diff",
    model.diff,
    "--json",
    "--quiet",
    // Norm weights that scatter around 0, as all values here do, are a diff's.
    "--ignore",
    "not-a-model",
    ...args,
  );
}

/** Removes outputs and lets the disk come to rest. */
export async function clearOutput(bench: Bench): Promise<void> {
  await rm(outputOf(bench), { recursive: true, force: true });
  await run(["sync"]);
}

/** A command that runs with the model's files in the page cache, and with no output there. */
export function warmRival(
  bench: Bench,
  name: string,
  model: Model,
  command: readonly string[],
  options?: RunOptions,
): Rival {
  return {
    name,
    async prepare() {
      await clearOutput(bench);
      await warm(model.inputs);
    },
    run: (): Promise<Cost & Finished> => run(command, options),
  };
}
