/** Places for the output: file systems that do not tell their size, that may not be written to, and runs that meet in one. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { withFolder, writeFiles } from "../support/checkpoints.js";
import { treeOf } from "../support/models.js";
import { BASE, BIN, DIFF, recoverDemo } from "./command.js";

/** As root, runs the program in a mount namespace of its own, after `prepare`. @returns null, with the reason said, where that is not possible. */
function mounted(prepare: string, place: string, args: readonly string[], t: { skip(why: string): void }) {
  const script = `${prepare} "${place}" || exit 77; exec "$@"`;
  const found = spawnSync("unshare", ["-m", "sh", "-c", script, "sh", process.execPath, BIN, ...args], {
    encoding: "utf8",
  });
  if (found.error !== undefined || found.status === 77 || /unshare/.test(found.stderr)) {
    t.skip(`may not mount: ${found.error?.message ?? found.stderr}`);
    return null;
  }
  return found;
}

const into = (out: string): readonly string[] => [
  ...["recover", "--path_raw", BASE, "--path_diff", DIFF],
  ...["--path_tuned", out, "--quiet"],
];

test("ramfs, which says that it has no size, is written to", async (t) => {
  await withFolder(async (folder) => {
    const found = mounted("mount -t ramfs none", folder, into(join(folder, "out")), t);
    assert.equal(found?.status ?? 0, 0, found?.stderr);
  });
});

test("a read-only file system is called that, with exit 5", async (t) => {
  await withFolder(async (folder) => {
    const found = mounted("mount -t tmpfs -o ro none", folder, into(join(folder, "a", "out")), t);
    if (found !== null) {
      assert.equal(found.status, 5, found.stderr);
      assert.match(found.stderr, /^weight-diff: error: .*: cannot make the directory: the file system is read-only$/m);
      assert.match(found.stderr, /^weight-diff: hint: choose a place that can be written to, then run again$/m);
    }
  });
});

test("a folder that may not be written to is called that, with exit 5, and nothing of disks", async (t) => {
  await withFolder(async (folder) => {
    await chmod(folder, 0o755);
    await mkdir(join(folder, "closed"), { mode: 0o555 });
    const user = process.getuid?.() === 0 ? ["--reuid", "65534", "--regid", "65534", "--clear-groups"] : null;
    const args = [process.execPath, BIN, ...into(join(folder, "closed", "out"))];
    const found =
      user === null
        ? spawnSync(args[0] ?? "", args.slice(1), { encoding: "utf8" })
        : spawnSync("setpriv", [...user, ...args], { encoding: "utf8", env: { ...process.env, HOME: folder } });
    if (found.error !== undefined || /EACCES.*(bin|dist)|Cannot find module/.test(found.stderr)) {
      t.skip(`cannot run as another user: ${found.error?.message ?? found.stderr.split("\n", 1)[0]}`);
      return;
    }
    assert.equal(found.status, 5, found.stderr);
    assert.match(found.stderr, /closed\/out: cannot make the directory: permission denied$/m);
    const [hint = ""] = /^weight-diff: hint: .*$/m.exec(found.stderr) ?? [];
    assert.match(hint, /check the permissions of it and of the folder that it is in/);
    assert.doesNotMatch(hint, /disk|space/);
  });
});

for (const [what, files] of [
  ["a fresh git clone", { ".git/HEAD": "ref: refs/heads/main\n", ".gitattributes": "", "README.md": "# mine\n" }],
  ["a folder that a desktop has looked into", { ".DS_Store": "" }],
  ["a volume of its own", { "lost+found/x": "" }],
] as const) {
  test(`${what} takes the output`, async () => {
    await withFolder(async (folder) => {
      const out = await writeFiles(join(folder, "out"), files);
      const before = await treeOf(out);
      const { code, said } = await recoverDemo("--path_tuned", out, "--quiet");
      assert.equal(code, 0, said.join("\n"));
      const after = await treeOf(out);
      for (const [name, digest] of Object.entries(before)) {
        assert.equal(after[name], digest, name);
      }
    });
  });
}

test("a name that is too long is called that; spaces and other letters are names like any", async () => {
  await withFolder(async (folder) => {
    const long = await recoverDemo("--path_tuned", join(folder, "n".repeat(300)), "--quiet");
    assert.equal(long.code, 4, long.said.join("\n"));
    assert.ok(
      long.said.some((line) => /: the name is too long for the file system$/.test(line)),
      long.said.join("\n"),
    );
    const { code, said } = await recoverDemo("--path_tuned", join(folder, "sp ace", "模型"), "--quiet");
    assert.equal(code, 0, said.join("\n"));
  });
});

const ROUNDS = 4;
const RUNS = 8;

test(`of ${RUNS} runs on one output one makes it, and the others say why not, each of ${ROUNDS} times`, async () => {
  await withFolder(async (folder) => {
    assert.equal((await recoverDemo("--path_tuned", join(folder, "whole"), "--quiet")).code, 0);
    const expected = await treeOf(join(folder, "whole"));
    for (let round = 0; round < ROUNDS; round++) {
      const out = join(folder, `out-${round}`);
      const runs = await Promise.all(Array.from({ length: RUNS }, () => recoverDemo("--path_tuned", out, "--quiet")));
      const what = runs.map(({ code, said }) => `${code} ${said.join(" ")}`).join("\n");
      assert.equal(runs.filter(({ code }) => code === 0).length, 1, what);
      for (const { code, said } of runs) {
        assert.ok(code === 0 || code === 4, what);
        assert.ok(
          code === 0 ||
            said.some((line) => /another run is writing here|is not empty|holds an unfinished run/.test(line)),
          what,
        );
      }
      assert.deepEqual(await treeOf(out), expected);
    }
    assert.equal((await readdir(folder)).length, ROUNDS + 1);
  });
});
