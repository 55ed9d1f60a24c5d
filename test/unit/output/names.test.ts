/** Names that an output cannot have, on this system or another. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { refuseName, refuseTwins } from "../../../src/output/names.js";
import { withFolder } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

for (const [name, where] of [
  ["con.json", "Windows"],
  ["a/nul", "Windows"],
  ["what?.model", "Windows"],
  ["../a", "everywhere"],
  [".weight-diff/x", "everywhere"],
  ["lock", "everywhere"],
] as const) {
  test(`${name} is refused on ${where}`, async () => {
    await refuses(async () => refuseName(name, "win32"), "OUTPUT_REFUSED", /cannot be called/);
    if (where === "everywhere") {
      await refuses(async () => refuseName(name, "linux"), "OUTPUT_REFUSED", /cannot be called/);
    } else {
      refuseName(name, "linux");
      refuseName(name, "darwin");
    }
  });
}

/** A disk that takes upper case for lower case. */
const folding = async (): Promise<boolean> => true;

test("two files that a disk would take for one are refused before either is written", async () => {
  await refuses(
    () => refuseTwins("/out/.weight-diff", ["a", "LICENSE", "license"], folding),
    "OUTPUT_REFUSED",
    /"LICENSE" and "license" would be one file: this file system does not tell upper case from lower case/,
  );
  await refuseTwins("/out/.weight-diff", ["a", "LICENSE"], folding);
});

test("a file system that distinguishes case gets both files", async () => {
  await withFolder(async (folder) => {
    const staging = join(folder, ".weight-diff");
    mkdirSync(staging);
    await refuseTwins(staging, ["LICENSE", "license"]);
    // As if the disk answered to the other name, too.
    mkdirSync(join(folder, ".WEIGHT-DIFF"));
    await refuses(() => refuseTwins(staging, ["LICENSE", "license"]), "OUTPUT_REFUSED", /would be one file/);
  });
});
