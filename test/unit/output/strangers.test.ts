/** What is not this tool's: links, pipes and other people's files in the output directory and in its staging folder. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { link, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { chooseMode } from "../../../src/output/choose-mode.js";
import { type OutputDirectory, openOutput } from "../../../src/output/directory.js";
import { resumeJournal } from "../../../src/output/journal.js";
import { MANIFEST, outputState, STAGING } from "../../../src/output/state.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { treeOf } from "../../support/models.js";
import { refuses } from "../../support/refusal.js";
import { watchDisk } from "../../support/watched-disk.js";

const disk = watchDisk();
const PLAN = { "--dtype": "F32" };
const SHARD = "model.safetensors";
const SHARDS = [{ file: SHARD, size: 10_000, header: Buffer.from("header") }];
const EXTRAS = [{ file: "config.json", text: "{}" }];

const open = (out: string, mode: "new" | "resume" | "force"): Promise<OutputDirectory> =>
  openOutput(out, mode, PLAN, SHARDS);

async function whole(out: string, mode: "new" | "resume" | "force", extras = EXTRAS): Promise<void> {
  const output = await open(out, mode);
  await output
    .finish(SHARDS, extras, () => ["manifest"])
    .catch(async (error: unknown) => {
      await output.suspend();
      throw error;
    });
}

/** A folder with somebody's files, and an output that a run has begun. */
async function withVictim(
  body: (places: { readonly out: string; readonly staging: string; readonly victim: string }) => Promise<void>,
  begun = true,
): Promise<void> {
  await withFolder(async (folder) => {
    const out = join(folder, "out");
    const victim = await writeFiles(join(folder, "victim"), {
      "precious.txt": "precious",
      "sub/y": "x",
      [SHARD]: "old",
    });
    const before = await treeOf(victim);
    if (begun) {
      await (await open(out, "new")).suspend();
    } else {
      await mkdir(out);
    }
    await body({ out, staging: join(out, STAGING), victim });
    assert.deepEqual(await treeOf(victim), before);
  });
}

for (const mode of ["new", "resume", "force"] as const) {
  test(`${mode}: a staging folder that is a link is refused, and nothing it leads to is touched`, async () => {
    await withVictim(async ({ out, staging, victim }) => {
      await symlink(victim, staging);
      await refuses(() => chooseMode(out, mode), "OUTPUT_REFUSED", /\.weight-diff: is a symbolic link, where a folder/);
      await refuses(() => open(out, mode), "OUTPUT_REFUSED", /\.weight-diff: is a symbolic link, where a folder/);
      assert.deepEqual(await readdir(out), [STAGING]);
    }, false);
  });

  test(`${mode}: a file that nobody put into the staging folder is refused, and stays`, async () => {
    await withVictim(async ({ out, staging }) => {
      await (mode === "new" ? rm(join(staging, "journal")).then(() => rm(join(staging, SHARD))) : null);
      await writeFiles(staging, { "thesis.tex": "mine" });
      await refuses(() => open(out, mode), "OUTPUT_REFUSED", /thesis\.tex: is in this tool's folder, and was not put/);
      assert.equal(await readFile(join(staging, "thesis.tex"), "utf8"), "mine");
      assert.equal(await outputState(out), mode === "new" ? "empty" : "partial");
    });
  });
}

for (const [what, put, words] of [
  ["a link", (path: string, victim: string) => symlink(join(victim, SHARD), path), /is a symbolic link, where a file/],
  ["a hard link", (path: string, victim: string) => link(join(victim, SHARD), path), /is known under another name too/],
  ["a folder", (path: string) => mkdir(path), /is a directory, where a file/],
  ["a named pipe", async (path: string) => assert.equal(spawnSync("mkfifo", [path]).status, 0), /is a named pipe/],
] as const) {
  for (const name of [SHARD, "journal"]) {
    test(`${what} in place of the staged ${name} is neither written to nor removed`, async () => {
      await withVictim(async ({ out, staging, victim }) => {
        const path = join(staging, name);
        await rm(path);
        await put(path, victim);
        await refuses(() => open(out, "resume"), "OUTPUT_REFUSED", words);
        await refuses(() => open(out, "force"), "OUTPUT_REFUSED", words);
        await stat(path);
      });
    });
  }
}

test("a shard that becomes a link while the run is under way is not written through", async () => {
  await withVictim(async ({ out, staging, victim }) => {
    const output = await open(out, "resume");
    await rm(join(staging, SHARD));
    await symlink(join(victim, SHARD), join(staging, SHARD));
    await refuses(() => output.seal(SHARD), "OUTPUT_REFUSED", /is a symbolic link/);
    await refuses(() => output.discard(), "OUTPUT_REFUSED", /is a symbolic link/);
    await output.suspend();
  });
});

test("if a journal lists files outside its folder, nothing is removed or moved", async () => {
  await withVictim(async ({ out, staging, victim }) => {
    await symlink(victim, join(out, "linked"));
    for (const name of ["../victim/precious.txt", "..", "linked/../../victim/precious.txt", "lock", "journal", "."]) {
      const journal = await resumeJournal(staging, PLAN);
      await journal.addFiles([name]);
      await journal.beginSweep();
      await journal.close();
      await refuses(() => open(out, "force"), "OUTPUT_REFUSED", /a file of the output cannot be called/);
      await refuses(() => open(out, "resume"), "OUTPUT_REFUSED", /a file of the output cannot be called/);
      await rm(staging, { recursive: true });
      await (await open(out, "force")).suspend();
    }
    const journal = await resumeJournal(staging, PLAN);
    await journal.addFiles(["linked/precious.txt"]);
    await journal.beginSweep();
    await journal.close();
    await refuses(() => open(out, "resume"), "OUTPUT_REFUSED", /linked: is a symbolic link, where a folder/);
  });
});

test("a file of the output that would lead out of it is refused before anything is made", async () => {
  await withFolder(async (folder) => {
    for (const file of ["../x", "/x", "a//b", "a/../b", "lock", "journal", ".weight-diff/x", "a\\b", ""]) {
      const shards = [{ file, size: 1, header: Buffer.from("") }];
      await refuses(() => openOutput(join(folder, "out"), "new", PLAN, shards), "OUTPUT_REFUSED", /cannot be called/);
    }
    assert.deepEqual(await readdir(folder), []);
  });
});

test("files in folders of the output get their places, and are taken back like others", async () => {
  await withFolder(async (folder) => {
    const extras = [...EXTRAS, { file: "templates/a.jinja", text: "a" }, { file: "templates/b%2Fc.jinja", text: "b" }];
    const out = join(folder, "out");
    const calls = await disk.watch(() => whole(out, "new", extras));
    const expected = await treeOf(out);
    assert.equal(await readFile(join(out, "templates/a.jinja"), "utf8"), "a");
    const first = calls.findIndex(({ to }) => to === join(out, "templates/a.jinja"));
    for (let crashAt = first; crashAt < calls.length; crashAt++) {
      const other = join(folder, `out-${crashAt}`);
      await assert.rejects(disk.watch(() => whole(other, "new", extras), crashAt));
      await writeFiles(join(other, STAGING), { "lock/holder": "" });
      if ((await chooseMode(other, "resume")) === "resume") {
        await whole(other, "resume", extras);
      }
      assert.deepEqual(await treeOf(other), expected, `crash at call ${crashAt}`);
    }
  });
});

test("a link in place of a folder of the output is refused, with all names taken back by --resume", async () => {
  await withVictim(async ({ out, victim }) => {
    await symlink(victim, join(out, "templates"));
    const extras = [{ file: "templates/precious.txt", text: "a" }];
    await refuses(
      () => whole(out, "resume", extras),
      "OUTPUT_REFUSED",
      /templates: is a symbolic link, where a folder/,
    );
    await rm(join(out, "templates"));
    await whole(out, "resume", extras);
    assert.equal(await readFile(join(out, "templates/precious.txt"), "utf8"), "a");
  });
});

// --- what has a name of the output ------------------------------------------------------------------------------------------

for (const name of [SHARD, MANIFEST]) {
  test(`--force: a directory called ${name} is refused before anything is made, and the old model stands`, async () => {
    await withFolder(async (out) => {
      await writeFiles(out, { "pytorch_model.bin": "old", [`${name}/mine`]: "" });
      const before = await treeOf(out);
      await refuses(
        () => open(out, "force"),
        "OUTPUT_REFUSED",
        new RegExp(`/${name}: is a directory, and a file of the`),
      );
      assert.deepEqual(await treeOf(out), before);
    });
  });
}

test("--force: a directory called like a small file ends the run with the old model whole, and it can be resumed", async () => {
  await withFolder(async (out) => {
    await writeFiles(out, { "pytorch_model.bin": "old", "config.json/mine": "" });
    await refuses(
      () => whole(out, "force"),
      "OUTPUT_REFUSED",
      /config\.json: is a directory, and a file of the output/,
    );
    assert.equal(await readFile(join(out, "pytorch_model.bin"), "utf8"), "old");
    await rename(join(out, "config.json"), join(out, "mine"));
    await whole(out, "resume");
    assert.deepEqual((await readdir(out)).sort(), ["config.json", "mine", SHARD, MANIFEST].sort());
  });
});

test("a file that was put there since the run began is not replaced", async () => {
  await withFolder(async (out) => {
    const output = await open(out, "new");
    await writeFile(join(out, "config.json"), "mine");
    await refuses(
      () => output.finish(SHARDS, EXTRAS, () => ["manifest"]),
      "OUTPUT_REFUSED",
      /config\.json: was put here since/,
    );
    await output.suspend();
    assert.equal(await readFile(join(out, "config.json"), "utf8"), "mine");
    await rename(join(out, "config.json"), join(out, "mine.json"));
    await whole(out, "resume");
    assert.equal(await outputState(out), "finished");
  });
});

test("--force starts over after another version's journal, and stops at files that it does not know", async () => {
  await withFolder(async (out) => {
    const old = { journal: '{"plan":{},"replace":false}\n', [SHARD]: "old" };
    await writeFiles(join(out, STAGING), { ...old, "other.bin": "old" });
    await refuses(() => open(out, "resume"), "OUTPUT_REFUSED", /another version of weight-diff wrote it$/);
    await refuses(() => open(out, "force"), "OUTPUT_REFUSED", /other\.bin: is in this tool's folder, and was not put/);
    assert.equal(await readFile(join(out, STAGING, SHARD), "utf8"), "old");
    await rm(join(out, STAGING, "other.bin"));
    await whole(out, "force");
    assert.equal(await outputState(out), "finished");
  });
});

// --- what is no model --------------------------------------------------------------------------------------------------------

for (const [what, names] of [
  ["a fresh clone", [".git/HEAD", ".gitattributes", "README.md"]],
  ["a folder that a desktop has looked into", [".DS_Store", "._x", "Thumbs.db", "desktop.ini"]],
  ["a volume of its own", ["lost+found/x"]],
] as const) {
  test(`${what} is an empty output, and what is in it stays`, async () => {
    await withFolder(async (out) => {
      await writeFiles(out, Object.fromEntries(names.map((name) => [name, "theirs"])));
      assert.equal(await chooseMode(out, "new"), "new");
      await whole(out, "new");
      for (const name of names) {
        assert.equal(await readFile(join(out, name), "utf8"), "theirs");
      }
    });
  });
}

test("files that a desktop leaves in the staging folder do no harm", async () => {
  await withFolder(async (out) => {
    await (await open(out, "new")).suspend();
    await writeFiles(join(out, STAGING), { ".DS_Store": "", ".nfs00000000012345": "" });
    await whole(out, "resume");
    assert.equal(await outputState(out), "finished");
    assert.equal(await chooseMode(out, "resume"), "verify");
  });
});

test("a model's files, or anything else, are no empty output", async () => {
  for (const name of ["config.json", "model.safetensors", "notes.txt", ".env", "README.txt"]) {
    await withFolder(async (out) => {
      await writeFiles(out, { [name]: "" });
      await refuses(() => chooseMode(out, "new"), "OUTPUT_REFUSED", /is not empty$/);
    });
  }
});

// --- other runs and other disks -----------------------------------------------------------------------------------------------

test("an unfinished run that is live is not called one to be forced", async () => {
  await withFolder(async (out) => {
    const output = await open(out, "new");
    for (const mode of ["new", "resume", "force"] as const) {
      await refuses(() => chooseMode(out, mode), "OUTPUT_LOCKED", /another run is writing here \(process \d+ on /);
    }
    await output.suspend();
    await refuses(() => chooseMode(out, "new"), "OUTPUT_REFUSED", /holds an unfinished run$/);
  });
});

test("the folders above a new output are made to last too", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "a", "b", "out");
    const calls = await disk.watch(async () => (await open(out, "new")).suspend());
    for (const path of [folder, join(folder, "a"), join(folder, "a", "b"), out]) {
      const synced = calls.findIndex((found) => found.call === "sync" && found.path === path);
      assert.ok(synced > calls.findIndex(({ call }) => call === "mkdir"), `${path} is not synced`);
    }
    await (await open(out, "resume")).discard();
    const other = join(folder, "c", "d");
    await (await open(other, "new")).discard();
    assert.deepEqual(await readdir(folder), ["a"], "what was made is removed");
  });
});

for (const code of ["EROFS", "EACCES", "ENOSPC"]) {
  test(`a place that fails with ${code} gets its own message`, async () => {
    await withFolder(async (folder) => {
      disk.fail = (call) => (call === "mkdir" ? code : null);
      try {
        const words = { EROFS: /read-only/, EACCES: /permission denied/, ENOSPC: /no room left/ }[code] ?? /./;
        const expected = code === "ENOSPC" ? "DISK_FULL" : "IO";
        await refuses(() => open(join(folder, "a", "out"), "new"), expected, words);
      } finally {
        disk.fail = null;
      }
    });
  });
}

test("a file system with a limit on file sizes is reported at once, and nothing is left", async () => {
  await withFolder(async (folder) => {
    disk.fail = (call) => (call === "truncate" ? "EFBIG" : null);
    try {
      await refuses(
        () => open(join(folder, "out"), "new"),
        "IO",
        /model\.safetensors: cannot write: the file would be l/,
      );
    } finally {
      disk.fail = null;
    }
    assert.deepEqual(await readdir(folder), []);
  });
});

test("a file system that cannot sync directories is used without; one whose disk fails is not", async () => {
  await withFolder(async (folder) => {
    for (const code of ["EINVAL", "ENOTSUP", "ENOSYS"]) {
      const out = join(folder, code);
      disk.fail = (call, path) => (call === "sync" && !path.includes(STAGING) ? code : null);
      await whole(out, "new");
      assert.equal(await outputState(out), "finished");
    }
    disk.fail = (call, path) => (call === "sync" && path.endsWith("failing") ? "EIO" : null);
    await refuses(() => whole(join(folder, "failing"), "new"), "IO", /failing: cannot sync: the disk reports an error/);
    disk.fail = null;
  });
});
