/** The options of the call that made a part. The part keeps them, so finalize need not be told them again. */
import { absoluteIfThere } from "../files/paths.js";
import type { AskedRun } from "../output/journal-text.js";

/**
 * The commands whose work can be divided. Each with the option that names its output, and the options that may name a place on this disk.
 */
const DIVISIBLE = {
  recover: { output: "tuned", paths: ["raw", "diff", "verifyKey"] },
  "make-diff": { output: "diff", paths: ["raw", "tuned", "signKey"] },
  convert: { output: "output", paths: ["source"] },
} as const satisfies Record<string, { readonly output: string; readonly paths: readonly string[] }>;

export type Divisible = keyof typeof DIVISIBLE;

export function isDivisible(command: string): command is Divisible {
  return Object.hasOwn(DIVISIBLE, command);
}

/** Options that are not kept: they do not change the result, or must not be written down (a token). */
const OWN = new Set([
  ...["hub", "signal", "disk", "threads", "directIo", "windowBytes", "mode", "dryRun", "part", "parts", "manifestOut"],
  ...["onNote", "onWarning", "onProgress"],
]);

/** @param options those of the command, as they were given. */
export async function askedRun(command: Divisible, options: object): Promise<AskedRun> {
  const { output, paths } = DIVISIBLE[command];
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (!OWN.has(name) && name !== output && value !== undefined && value !== null && typeof value !== "function") {
      kept[name] = (paths as readonly string[]).includes(name) ? await placed(value) : value;
    }
  }
  return { command, options: kept };
}

/** Paths are made absolute, since the next command may run in another directory. */
async function placed(value: unknown): Promise<unknown> {
  return Array.isArray(value)
    ? Promise.all(value.map(placed))
    : typeof value === "string"
      ? absoluteIfThere(value)
      : value;
}

/** The options to make the same call again. @param path the output directory. */
export function repeated({ options }: AskedRun, command: Divisible, path: string): Record<string, unknown> {
  return { ...options, [DIVISIBLE[command].output]: path };
}

/** The options that do not name a place. On another machine, the same base may lie elsewhere. */
export function otherOptions({ options }: AskedRun, command: Divisible): Record<string, unknown> {
  const paths: readonly string[] = DIVISIBLE[command].paths;
  return Object.fromEntries(Object.entries(options).filter(([name]) => !paths.includes(name)));
}
