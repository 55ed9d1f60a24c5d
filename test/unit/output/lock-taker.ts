/**
 * A process of its own that takes locks: told a folder and a moment, it tries, answers, and gives back when told "release".
 * Started with a folder, it tries once and prints what came of it.
 */

import { WeightDiffError } from "../../../src/errors.js";
import { lockOutput } from "../../../src/output/lock.js";

let unlock: (() => Promise<void>) | null = null;

async function take(folder: string): Promise<string> {
  try {
    unlock = await lockOutput(folder);
    return "won";
  } catch (error) {
    return error instanceof WeightDiffError ? error.code : String(error);
  }
}

process.on("message", async (message: { readonly folder: string; readonly at: number } | "release") => {
  if (message === "release") {
    await unlock?.();
    unlock = null;
    process.send?.("released");
    return;
  }
  while (Date.now() < message.at) {
    // all begin in the same millisecond
  }
  process.send?.(await take(message.folder));
});
process.on("disconnect", () => process.exit());

const [, , folder] = process.argv;
if (folder !== undefined) {
  process.stdout.write(await take(folder));
}
