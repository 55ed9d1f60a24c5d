/** What can be said for certain about a choice that depends on the machine's memory. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { chooseDirect } from "../../../../src/engine/io/page-cache.js";
import { withFolder } from "../../../support/checkpoints.js";

test("a file that was just written is in memory, and read from there", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "warm");
    await writeFile(path, new Uint8Array(1 << 20));
    assert.deepEqual(chooseDirect([{ path, size: 1 << 20 }]), [false]);
  });
});

test("more than fits into memory is read past it", { skip: process.platform !== "linux" && "only Linux tells" }, () => {
  assert.deepEqual(chooseDirect([{ path: "nowhere", size: 2 ** 52 }]), [true]);
});

test("a missing or empty file is left to those who read it", async () => {
  await withFolder(async (folder) => {
    await writeFile(join(folder, "empty"), "");
    const files = ["missing", "empty"].map((name) => ({ path: join(folder, name), size: 0 }));
    assert.deepEqual(chooseDirect(files), [false, false]);
  });
});
