/** A process of its own that takes locks: told a folder and a moment, it tries, answers, and gives back when told "release". */

import { WeightDiffError } from "../../../src/errors.js";
import { lockOutput } from "../../../src/output/lock.js";

let unlock: (() => Promise<void>) | null = null;

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
  try {
    unlock = await lockOutput(message.folder);
    process.send?.("won");
  } catch (error) {
    process.send?.(error instanceof WeightDiffError ? error.code : String(error));
  }
});
process.on("disconnect", () => process.exit());
