/** What the operating system's refusals become: code, words, remedy. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { hintText } from "../../../src/cli/output/advice.js";
import { WeightDiffError } from "../../../src/errors.js";
import { errnoOf, fileError, machineError, runError } from "../../../src/files/errno.js";
import { errno } from "../../support/faulty-disk.js";

for (const [code, before, during] of [
  ["ENOENT", "NOT_FOUND f: no such file; check the path", "IO f: cannot write: no such file; check the path"],
  ["EACCES", "IO f: cannot write: permission denied; check the permissions", "IO f: cannot write: permission denied"],
  ["EROFS", "IO f: cannot write: the file system is read-only", "IO f: cannot write: the file system is read-only"],
  ["ENOSPC", "DISK_FULL f: cannot write: no room left on the disk; free some space, then run again", "DISK_FULL f: "],
  ["EDQUOT", "DISK_FULL f: cannot write: your quota", "DISK_FULL f: cannot write: your quota"],
  ["EMFILE", "IO f: cannot write: this process has too many files open; raise the limit: ulimit -n", "IO f: cannot "],
  ["ENAMETOOLONG", "NOT_FOUND f: the name is too long", "OUTPUT_REFUSED f: cannot write: the name is too long"],
  ["EWHATEVER", "IO f: cannot write: EWHATEVER: made up, by a test; check the disk, then run again", "IO f: cannot "],
] as const) {
  test(`${code} before a run and during one`, () => {
    for (const [found, expected] of [
      [fileError("f", "write", errno(code)), before],
      [runError("f", "write", errno(code)), during],
    ] as const) {
      const text = `${found.code} ${found.message}; ${hintText(found)}`;
      assert.ok(text.startsWith(expected), text);
      assert.equal(errnoOf(found.cause), code);
      assert.deepEqual(found.at, { file: "f" });
    }
  });
}

test("a run that failed can be continued, unless its files are too large for the file system", () => {
  assert.equal(hintText(runError("f", "write", errno("EIO"), 7)), "check the disk, then continue with --resume");
  assert.equal(runError("f", "write", errno("EIO"), 7).fact, "cannot write at byte 7: the disk reports an error (EIO)");
  assert.match(hintText(runError("f", "truncate", errno("EFBIG"))) ?? "", /smaller files with --max-shard-size 2GB$/);
});

test("a WeightDiffError is passed on unchanged", () => {
  const ours = new WeightDiffError("LIMIT", "x");
  assert.equal(fileError("f", "read", ours), ours);
  assert.equal(runError("f", "read", ours), ours);
});

test("a mistake of the program's own is no fault of the disk", () => {
  const mistake = new TypeError("x is not a function");
  assert.throws(() => fileError("f", "read", mistake), mistake);
  assert.throws(() => runError("f", "read", mistake), mistake);
});

test("a fault of the machine is no bug, wherever it shows; an unforeseen missing file is one", async () => {
  const full = Object.assign(errno("EMFILE"), { path: "/some/module.js", syscall: "open" });
  const found = machineError(full);
  assert.ok(found instanceof WeightDiffError && found.code === "IO", String(found));
  assert.equal(found.message, "/some/module.js: cannot open: this process has too many files open");
  const missing = await readFile(join("no", "such", "file")).catch((error: unknown) => error);
  assert.equal(machineError(missing), missing);
  assert.equal(machineError("text"), "text");
});
