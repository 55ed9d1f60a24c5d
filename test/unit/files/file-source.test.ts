/** What is opened is a regular file, and what is copied lies where it should, whatever its path leads to by then. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openFileSource } from "../../../src/files/file-source.js";
import { openRegular, placeOf } from "../../../src/files/regular-file.js";
import { readText } from "../../../src/files/small-files.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

test("a pipe, a folder and a device are refused as irregular files, without waiting", {
  timeout: 10_000,
}, async () => {
  await withFolder(async (folder) => {
    execFileSync("mkfifo", [join(folder, "pipe")]);
    await mkdir(join(folder, "directory"));
    for (const path of [join(folder, "pipe"), join(folder, "directory"), "/dev/null"]) {
      assert.equal(await openRegular(path), null);
      await refuses(() => openFileSource(path), "NOT_FOUND", /: not a regular file$/);
      await refuses(() => readText(path, 100), "NOT_FOUND", /: not a regular file$/);
    }
  });
});

test("an opened file lies where it was opened, though its path leads elsewhere by then", {
  skip: process.platform !== "linux",
}, async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "model/a": "ours", "home/token": "secret" });
    await symlink("../home/token", join(folder, "model", "link"));
    const opened = await openRegular(join(folder, "model", "link"));
    assert.ok(opened !== null);
    assert.equal(await placeOf(opened, join(folder, "model", "a")), join(folder, "home", "token"));
    await opened.handle.close();
  });
});

test("a source within a folder refuses a link that leads outside", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "model/a": "ours", "model-2/token": "secret" });
    await symlink("../model-2/token", join(folder, "model", "LICENSE"));
    const model = join(folder, "model");
    await refuses(() => openFileSource(join(model, "LICENSE"), model), "LINK_OUTSIDE", /model-2\/token/);
    const source = await openFileSource(join(model, "a"), model);
    assert.equal(Buffer.from(await source.readAt(0, 4)).toString(), "ours");
    await source.close();
    await writeFile(join(model, "a"), "");
  });
});
