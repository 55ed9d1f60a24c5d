/** A machine that gives little: few open files, few addresses, small files, no working directory. None of it is "a bug". */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { withFolder } from "../support/checkpoints.js";
import { BASE, BIN, DIFF } from "./command.js";

const onlyLinux = { skip: process.platform === "linux" ? false : "the limits of other systems are not these" };

/** Runs the program after the shell's `before`, in `folder`. */
function limited(before: string, folder: string, args: readonly string[]) {
  const found = spawnSync("sh", ["-c", `${before}; exec "$@"`, "sh", process.execPath, BIN, ...args], {
    cwd: folder,
    encoding: "utf8",
  });
  const [error, hint] = ["error", "hint"].map(
    (what) => new RegExp(`^weight-diff: ${what}: (.*)$`, "m").exec(found.stderr)?.[1],
  );
  return { ...found, error, hint };
}

const recoverInto = (out: string): readonly string[] => [
  ...["recover", "--path_raw", BASE, "--path_diff", DIFF],
  ...["--path_tuned", out, "--quiet"],
];

test("with few open files the run is done, or says which limit to raise", onlyLinux, async () => {
  await withFolder(async (folder) => {
    const { status, error, hint, stderr } = limited("ulimit -n 64", folder, recoverInto(join(folder, "out")));
    if (status !== 0) {
      assert.equal(status, 5, stderr);
      assert.match(error ?? "", /: this process has too many files open$/);
      assert.match(hint ?? "", /^raise the limit: ulimit -n 4096, then run again$/);
    }
  });
});

test(
  "with few addresses the run is done, as by newer Nodes, or says what to set, and that helps",
  onlyLinux,
  async () => {
    await withFolder(async (folder) => {
      const few = "ulimit -v 4000000";
      const { status, error, hint, stderr } = limited(few, folder, recoverInto(join(folder, "out")));
      if (status === 0) {
        // Their V8 does with less, and checks bounds itself.
        assert.ok(Number(process.versions.node.split(".")[0]) > 20);
        return;
      }
      assert.equal(status, 4, stderr);
      assert.match(error ?? "", /WebAssembly reserves some 10 GB of addresses$/);
      const [, setting = ""] = /(NODE_OPTIONS=\S+)$/.exec(hint ?? "") ?? [];
      const helped = limited(`${few}; export ${setting}`, folder, [...recoverInto(join(folder, "out")), "--resume"]);
      assert.equal(helped.status, 0, helped.stderr);
    });
  },
);

test("a file that may not grow so large is named, and the remedy with it", onlyLinux, async () => {
  await withFolder(async (folder) => {
    // Blocks of 512 bytes: the journal fits, the shard does not.
    const { status, error, hint, stderr } = limited("ulimit -f 100", folder, recoverInto(join(folder, "out")));
    assert.equal(status, 5, stderr);
    assert.match(
      error ?? "",
      /out\/.*: cannot .*: the file would be larger than the file system, or a limit of the shell/,
    );
    assert.match(hint ?? "", /, or start over and make smaller files with --max-shard-size 2GB$/);
  });
});

test("a working directory that was deleted matters only to paths that count from it", onlyLinux, async () => {
  await withFolder(async (folder) => {
    const gone = 'mkdir gone; cd gone; rmdir "$PWD"';
    const { status, error, stderr } = limited(gone, folder, recoverInto("out"));
    assert.equal(status, 4, stderr);
    assert.equal(error, "out: the working directory, from which this path counts, was deleted");
    const whole = limited(gone, folder, recoverInto(join(folder, "out")));
    assert.equal(whole.status, 0, whole.stderr);
  });
});
