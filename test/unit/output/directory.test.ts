/** The output directory: what it takes for what, in which order names and syncs come, and what it never touches. */
import assert from "node:assert/strict";
import { access, mkdir, open, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { chooseMode } from "../../../src/output/choose-mode.js";
import { openOutput } from "../../../src/output/directory.js";
import type { ExtraFile } from "../../../src/output/staging.js";
import { MANIFEST, outputState, STAGING } from "../../../src/output/state.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { treeOf } from "../../support/models.js";
import { refuses } from "../../support/refusal.js";
import { type DiskCall, watchDisk } from "../../support/watched-disk.js";

const disk = watchDisk();
const PLAN = { "--dtype": "F32" };
const HEADER = Buffer.from("header");
const TENSOR = Buffer.from("tensor");
const SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"].map((file) => ({
  file,
  size: 10_000,
  header: HEADER,
}));
const EXTRAS: readonly ExtraFile[] = [
  { file: "model.safetensors.index.json", text: "{}" },
  { file: "config.json", text: '{"a": 1}' },
];

/** A whole run, with one tensor a shard: what the journal has is not written again. */
async function run(out: string, mode: "new" | "resume" | "force", extras = EXTRAS): Promise<void> {
  const output = await openOutput(out, mode, PLAN, SHARDS);
  try {
    for (const [id, { file }] of SHARDS.entries()) {
      if (!output.journal.finished.some((result) => result.id === id)) {
        await writeTensor(output.staged(file));
        output.journal.add({ id, sha256: "", sum: 0, overflow: 0 });
      }
      await output.seal(file);
    }
    await output.finish(SHARDS, extras, () => ["manifest"]);
  } catch (error) {
    await output.suspend().catch(() => {}); // as recover does
    throw error;
  }
}

async function writeTensor(path: string): Promise<void> {
  const handle = await open(path, "r+");
  try {
    await handle.write(TENSOR, 0, TENSOR.length, 4096);
  } finally {
    await handle.close();
  }
}

async function partial(out: string, mode: "new" | "force" = "new"): Promise<void> {
  await (await openOutput(out, mode, PLAN, SHARDS)).suspend();
}

test("tells absent, empty, partial, finished and other", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "out");
    assert.equal(await outputState(out), "absent");
    await mkdir(out);
    assert.equal(await outputState(out), "empty");
    // A run that was killed before it had a journal.
    await mkdir(join(out, STAGING));
    assert.equal(await outputState(out), "empty");
    await partial(out);
    assert.equal(await outputState(out), "partial");
    await run(out, "resume");
    assert.equal(await outputState(out), "finished");
    // A run that was killed while it tidied up.
    await writeFiles(join(out, STAGING), { "lock/holder": "", "journal.new": "" });
    assert.equal(await outputState(out), "finished");
    const other = await writeFiles(join(folder, "other"), { "notes.txt": "" });
    assert.equal(await outputState(other), "other");
  });
});

test("chooses the mode by the content of the directory", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "out");
    for (const wanted of ["new", "resume", "force"] as const) {
      assert.equal(await chooseMode(out, wanted), "new");
    }
    await partial(out);
    await refuses(() => chooseMode(out, "new"), "OUTPUT_REFUSED", /holds an unfinished run/);
    assert.equal(await chooseMode(out, "resume"), "resume");
    assert.equal(await chooseMode(out, "force"), "force");
    await run(out, "resume");
    await refuses(() => chooseMode(out, "new"), "OUTPUT_REFUSED", /is not empty/);
    assert.equal(await chooseMode(out, "resume"), "verify");
    const other = await writeFiles(join(folder, "other"), { "notes.txt": "" });
    await refuses(() => chooseMode(other, "resume"), "OUTPUT_REFUSED", /is not empty/);
  });
});

test("files of a run that was killed while it cleaned up are removed before a finished model is verified", async () => {
  await withFolder(async (out) => {
    await run(out, "new");
    const finished = await treeOf(out);
    await writeFiles(join(out, STAGING), { "lock/holder": "", "lock.1.ab/holder": "", "journal.new": "" });
    assert.equal(await chooseMode(out, "resume"), "verify");
    assert.deepEqual(await treeOf(out), finished);
  });
});

test("a finished run leaves shards of full length, the extras and the manifest, and nothing else", async () => {
  await withFolder(async (out) => {
    await run(out, "new");
    assert.deepEqual(
      (await readdir(out)).sort(),
      [...SHARDS, ...EXTRAS]
        .map(({ file }) => file)
        .concat(MANIFEST)
        .sort(),
    );
    for (const { file } of SHARDS) {
      const bytes = await readFile(join(out, file));
      assert.equal(bytes.length, 10_000);
      assert.deepEqual(bytes.subarray(0, HEADER.length), HEADER);
    }
    assert.equal(await readFile(join(out, MANIFEST), "utf8"), "manifest");
  });
});

/** Index of the first such call at or after `from`; -1 if there is none. */
function find(calls: readonly DiskCall[], wanted: Partial<DiskCall>, from = 0): number {
  return calls.findIndex(
    (call, k) => k >= from && Object.entries(wanted).every(([key, value]) => call[key as keyof DiskCall] === value),
  );
}

for (const mode of ["new", "force"] as const) {
  test(`${mode}: every file is synced before its name, every directory after, the manifest last`, async () => {
    await withFolder(async (out) => {
      if (mode === "force") {
        await run(out, "new");
      }
      const staging = join(out, STAGING);
      const calls = await disk.watch(() => run(out, mode));
      const at = (wanted: Partial<DiskCall>, from = 0): number => {
        const found = find(calls, wanted, from);
        assert.notEqual(found, -1, `no ${JSON.stringify(wanted)} after call ${from}`);
        return found;
      };
      const names = [...SHARDS, ...EXTRAS].map(({ file }) => file);
      const renames = names.map((file) => at({ call: "rename", path: join(staging, file), to: join(out, file) }));
      const manifest = at({ call: "rename", path: join(staging, MANIFEST), to: join(out, MANIFEST) });
      const firstName = Math.min(...renames);
      for (const file of [...names, MANIFEST]) {
        assert.ok(at({ call: "sync", path: join(staging, file) }) < firstName, `${file} is not synced in time`);
      }
      const lastExtra = at({ call: "sync", path: join(staging, MANIFEST) });
      assert.ok(at({ call: "sync", path: staging }, lastExtra) < firstName);
      const betweenNames = at({ call: "sync", path: out }, Math.max(...renames));
      assert.ok(betweenNames < manifest, "the directory is synced before the manifest appears");
      const afterManifest = at({ call: "sync", path: out }, manifest);
      const tidy = at({ call: "unlink", path: join(staging, "journal") });
      assert.ok(afterManifest < tidy, "the directory is synced before the journal goes");
      const unlocked = at({ call: "rmdir", path: join(staging, "lock") }, tidy);
      assert.ok(unlocked < at({ call: "rmdir", path: staging }));
      if (mode === "force") {
        // Once the new files are complete: the old manifest, a sync, the old weights, the new names.
        const oldManifest = at({ call: "unlink", path: join(out, MANIFEST) });
        const oldWeights = at({ call: "unlink", path: join(out, SHARDS[0]?.file ?? "") });
        assert.ok(lastExtra < oldManifest && at({ call: "sync", path: out }, oldManifest) < oldWeights);
        assert.ok(oldWeights < firstName);
      }
    });
  });
}

test("the journal and the staged names are with the disk before a tensor is written", async () => {
  await withFolder(async (out) => {
    const staging = join(out, STAGING);
    const calls = await disk.watch(() => partial(out));
    const rename = find(calls, { call: "rename", to: join(staging, "journal") });
    assert.ok(find(calls, { call: "sync", path: join(staging, "journal.new") }) < rename);
    const lastLength = calls.findLastIndex(({ call }) => call === "truncate");
    assert.ok(rename < find(calls, { call: "sync", path: staging }, lastLength));
    assert.notEqual(find(calls, { call: "sync", path: out }, lastLength), -1);
  });
});

test("--force deletes old weights and indexes of every format, and nothing else", async () => {
  await withFolder(async (out) => {
    const old = [
      "pytorch_model.bin",
      "pytorch_model-00001-of-00002.bin",
      "pytorch_model.bin.index.json",
      "model.safetensors",
      "model-00001-of-00009.safetensors",
      "adapter_model.safetensors",
      "tf_model.h5",
      "flax_model.msgpack",
      "consolidated.00.pth",
      "model.gguf",
    ];
    const kept = {
      "README.md": "mine",
      "training_args.bin": "mine",
      "optimizer.pt": "mine",
      "notes/model.safetensors": "mine",
      "tokenizer.json": "mine",
      "model.py": "mine",
    };
    await writeFiles(out, { ...Object.fromEntries(old.map((file) => [file, "old"])), ...kept, "config.json": "old" });
    await mkdir(join(out, "pytorch_model-old.bin"));
    const output = await openOutput(out, "force", PLAN, SHARDS);
    // Until the new files are complete, nothing is gone.
    for (const file of [...old, "config.json"]) {
      assert.equal(await readFile(join(out, file), "utf8"), "old");
    }
    await output.finish(SHARDS, EXTRAS, () => ["manifest"]);
    for (const [file, text] of Object.entries(kept)) {
      assert.equal(await readFile(join(out, file), "utf8"), text);
    }
    assert.ok((await stat(join(out, "pytorch_model-old.bin"))).isDirectory());
    for (const file of old) {
      await assert.rejects(access(join(out, file)), `${file} is still there`);
    }
    assert.equal(await readFile(join(out, "config.json"), "utf8"), '{"a": 1}');
  });
});

test("--force deletes a link to weights, not the weights", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "out");
    await writeFiles(folder, { "elsewhere.safetensors": "somebody else's", "out/x": "" });
    await symlink(join(folder, "elsewhere.safetensors"), join(out, "model.safetensors"));
    await run(out, "force");
    assert.equal(await readFile(join(folder, "elsewhere.safetensors"), "utf8"), "somebody else's");
    await assert.rejects(access(join(out, "model.safetensors")));
  });
});

test("a --force run that ended early and is resumed takes no shard of the old model", async () => {
  await withFolder(async (out) => {
    await run(out, "new");
    const before = await treeOf(out);
    const [first = { file: "" }] = SHARDS;
    // Ends when the journal is there and the shards are not.
    const calls = await withFolder((other) => disk.watch(() => partial(other, "force")));
    const crashAt = calls.findIndex(({ call, path }) => call === "open" && path.endsWith(first.file));
    await assert.rejects(disk.watch(() => partial(out, "force"), crashAt));
    assert.equal(await outputState(out), "partial");
    await (await openLike(out)).suspend();
    for (const [file, digest] of Object.entries(before)) {
      assert.equal((await treeOf(out))[file], digest, `${file} of the old model`);
    }
  });
});

/** The crashed run is this very process, which is alive. */
async function forgetHolder(out: string): Promise<void> {
  const names = await readdir(join(out, STAGING)).catch((): string[] => []);
  for (const name of ["lock", ...names.filter((found) => found.startsWith("lock."))]) {
    await writeFiles(join(out, STAGING), { [`${name}/holder`]: "" });
  }
}

/** Resumes although the crashed run is still alive. */
async function openLike(out: string): ReturnType<typeof openOutput> {
  await forgetHolder(out);
  return openOutput(out, "resume", PLAN, SHARDS);
}

test("a crash before any name, and after each name of the sweep, ends as an undisturbed run does when resumed", async () => {
  await withFolder(async (folder) => {
    const whole = join(folder, "whole");
    const calls = await disk.watch(() => run(whole, "new"));
    const expected = await treeOf(whole);
    for (let crashAt = 0; crashAt < calls.length; crashAt++) {
      const out = join(folder, `out-${crashAt}`);
      await assert.rejects(disk.watch(() => run(out, "new"), crashAt));
      const names = await readdir(out).catch((): string[] => []);
      assert.ok(!names.includes(MANIFEST) || [...SHARDS, ...EXTRAS].every(({ file }) => names.includes(file)));
      const state = await outputState(out);
      if (state === "finished") {
        await forgetHolder(out);
        assert.equal(await chooseMode(out, "resume"), "verify");
      } else {
        await forgetHolder(out);
        const mode = await chooseMode(out, "resume");
        assert.equal(mode, state === "partial" ? "resume" : "new");
        await run(out, mode === "resume" ? "resume" : "new");
      }
      assert.deepEqual(await treeOf(out), expected, `crash at call ${crashAt}: ${JSON.stringify(calls[crashAt])}`);
    }
  });
});

test("a resumed run that is killed in its turn never shows a manifest without the files it speaks of", async () => {
  await withFolder(async (folder) => {
    const whole = join(folder, "whole");
    const calls = await disk.watch(() => run(whole, "new"));
    const expected = await treeOf(whole);
    // All names are given, and the journal is still there.
    const named = find(calls, { call: "unlink", path: join(whole, STAGING, "journal") });
    for (let crashAt = 0; ; crashAt++) {
      const out = join(folder, `out-${crashAt}`);
      await assert.rejects(disk.watch(() => run(out, "new"), named));
      await forgetHolder(out);
      const ended = await disk.watch(() => run(out, "resume"), crashAt).catch(() => null);
      const found = await treeOf(out);
      if (ended !== null) {
        assert.deepEqual(found, expected);
        break;
      }
      for (const [name, digest] of MANIFEST in found ? Object.entries(expected) : []) {
        assert.equal(found[name], digest, `crash at call ${crashAt}: ${name}`);
      }
    }
  });
});

test("a crash at any call of --force keeps the old model whole, or shows no manifest, and can be made good", async () => {
  await withFolder(async (folder) => {
    const old = { [MANIFEST]: "old", "model.safetensors": "old", [SHARDS[0]?.file ?? ""]: "x".repeat(10_000) };
    const mine = { "README.md": "mine" };
    const whole = await writeFiles(join(folder, "whole"), { ...old, ...mine });
    const before = await treeOf(whole);
    const calls = await disk.watch(() => run(whole, "force"));
    const expected = await treeOf(whole);
    for (let crashAt = 0; crashAt < calls.length; crashAt++) {
      const what = `crash at call ${crashAt}: ${JSON.stringify(calls[crashAt])}`;
      const out = await writeFiles(join(folder, `out-${crashAt}`), { ...old, ...mine });
      await assert.rejects(disk.watch(() => run(out, "force"), crashAt));
      const manifest = await readFile(join(out, MANIFEST), "utf8").catch(() => null);
      const found = await treeOf(out);
      const standing = manifest === "manifest" ? expected : before;
      for (const name of manifest === null ? Object.keys(mine) : Object.keys(standing)) {
        assert.equal(found[name], standing[name], `${what}: ${name}`);
      }
      await forgetHolder(out);
      // Before the journal there is nothing to resume: the old model stands, and --force begins anew.
      await run(out, (await outputState(out)) === "partial" ? "resume" : "force");
      assert.deepEqual(await treeOf(out), expected, what);
    }
  });
});

test("a new run is refused when another one finished after the directory was looked at", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "out");
    assert.equal(await chooseMode(out, "new"), "new");
    await run(out, "new");
    const finished = await treeOf(out);
    await refuses(() => openOutput(out, "new", PLAN, SHARDS), "OUTPUT_REFUSED", /is not empty/);
    assert.deepEqual(await treeOf(out), finished);
  });
});

test("discard removes what the run made and nothing else", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "out");
    await (await openOutput(out, "new", PLAN, SHARDS)).discard();
    assert.deepEqual(await readdir(folder), []);

    await writeFiles(out, { "model.safetensors": "old", "README.md": "mine" });
    const before = await treeOf(out);
    await (await openOutput(out, "force", PLAN, SHARDS)).discard();
    assert.deepEqual(await treeOf(out), before);

    const empty = join(folder, "empty");
    await mkdir(empty);
    await (await openOutput(empty, "new", PLAN, SHARDS)).discard();
    assert.deepEqual(await readdir(empty), []);
  });
});

test("resuming under another plan is refused and changes nothing", async () => {
  await withFolder(async (out) => {
    await partial(out);
    const before = await treeOf(out);
    await refuses(() => openOutput(out, "resume", { "--dtype": "F16" }, SHARDS), "OUTPUT_REFUSED", /--dtype/);
    assert.deepEqual(await treeOf(out), before);
  });
});

test("a side file is copied byte for byte, without its read-only mode", async () => {
  await withFolder(async (folder) => {
    const from = join(folder, "LICENSE");
    const bytes = new Uint8Array(100_000).map((_, k) => k * 7);
    await writeFile(from, bytes, { mode: 0o444 });
    await run(join(folder, "out"), "new", [{ file: "LICENSE", path: from, within: folder }]);
    assert.ok((await readFile(join(folder, "out", "LICENSE"))).equals(bytes));
    assert.notEqual((await stat(join(folder, "out", "LICENSE"))).mode & 0o200, 0);
  });
});

test("a side file that is gone by the end is named", async () => {
  await withFolder(async (folder) => {
    const extras = [{ file: "LICENSE", path: join(folder, "gone"), within: folder }];
    await refuses(() => run(join(folder, "out"), "new", extras), "INPUT_CHANGED", /gone: the input changed/);
    assert.deepEqual(await readdir(join(folder, "out")), [STAGING]);
  });
});
