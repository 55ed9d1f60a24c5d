/**
 * Several processes and one cold cache: of ours, and the real Python client's where WEIGHT_DIFF_PYTHON names a Python that has it.
 * All end well, with the bytes of a local run, and the cache holds every file once, whole, and nothing else.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { startPython } from "../hub/python.js";
import { filesOf } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";
import { withFolder } from "../support/checkpoints.js";
import { type Pair, writePair } from "../support/models.js";
import { start } from "./program.js";

const PYTHON = process.env.WEIGHT_DIFF_PYTHON;
const ROUNDS = 3;
const OURS = 5;
const REPOS = ["org/base", "org/diff"] as const;

async function withHub(body: (hub: TestHub, pair: Pair, folder: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const matrices = Array.from({ length: 4 }, (_, k) => ({
      name: `model.layers.${k}.mlp.up_proj.weight`,
      rows: 500,
      columns: 512,
    }));
    const pair = await writePair(folder, [
      { name: "model.embed_tokens.weight", rows: 100, columns: 512, newRows: 1 },
      ...matrices,
    ]);
    const hub = await startHub();
    try {
      hub.add("org/base", filesOf(pair.raw));
      hub.add("org/diff", filesOf(pair.diff));
      await body(hub, pair, folder);
    } finally {
      await hub.close();
    }
  });
}

/** Every blob is what its name says, every pointer leads to one; nothing half done is left. */
async function assertSound(cache: string, hub: TestHub, symlinks: boolean): Promise<void> {
  for (const id of REPOS) {
    const folder = join(cache, `models--${id.replace("/", "--")}`);
    const repo = hub.repos.get(id);
    const commit = repo?.branches.get("main") ?? "";
    const listed = repo?.commits.get(commit)?.files ?? new Map();
    const names = await readdir(folder, { recursive: true });
    assert.deepEqual(
      names.filter((name) => /\.(tmp|incomplete)$/.test(name)),
      [],
    );
    for (const name of await readdir(join(folder, "snapshots", commit))) {
      const path = join(folder, "snapshots", commit, name);
      assert.ok(listed.get(name)?.bytes.equals(await readFile(path)), `${id}: ${name}`);
      assert.equal((await lstat(path)).isSymbolicLink(), symlinks, name);
      assert.ok(!symlinks || (await readlink(path)).startsWith("../../blobs/"), name);
    }
    for (const name of symlinks ? await readdir(join(folder, "blobs")) : []) {
      const bytes = await readFile(join(folder, "blobs", name));
      const git = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
      const sha = name.length === 40 ? git : createHash("sha256").update(bytes).digest("hex");
      assert.equal(sha, name);
    }
  }
}

/** Of large files; headers are read by short ranges before anything is fetched. */
function sentBy(hub: TestHub): number {
  return hub.log.reduce((sum, { port, sent }) => sum + (port === "cdn" && sent > 20_000 ? sent : 0), 0);
}

test("of several processes that want the same files at the same time, one fetches each", async (t) => {
  await withHub(async (hub, _, folder) => {
    hub.fault(/^GET cdn/, { kind: "slow", chunk: 65_536, ms: 20 }, 10_000);
    const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: folder };
    const args = ["recover", "--path_raw", "org/base", "--path_diff", "org/diff", "--no-progress", "--json"];
    const ended = await Promise.all(Array.from({ length: OURS }, () => start(args, undefined, env).ended));
    assert.deepEqual(
      ended.map(({ code }) => code),
      Array.from({ length: OURS }, () => 0),
    );
    const large = REPOS.flatMap((id) => {
      const repo = hub.repos.get(id);
      return [...(repo?.commits.get(repo.branches.get("main") ?? "")?.files.values() ?? [])];
    }).reduce((sum, { lfs, bytes }) => sum + (lfs === null ? 0 : bytes.length), 0);
    t.diagnostic(`${sentBy(hub)} bytes were sent of ${large}`);
    assert.ok(sentBy(hub) < 1.5 * large);
  });
});

for (const [what, more] of [
  ["symlinks", {}],
  ["no symlinks", { HF_HUB_DISABLE_SYMLINKS: "1" }],
] as const) {
  test(`${OURS} processes and ${PYTHON === undefined ? "no" : "two"} Python clients, one cold cache with ${what}`, async () => {
    await withHub(async (hub, pair, folder) => {
      const local = await start(["recover", "--path_raw", pair.raw, "--path_diff", pair.diff, "--json"]).ended;
      const args = ["recover", "--path_raw", "org/base", "--path_diff", "org/diff", "--no-progress", "--json"];
      for (let round = 0; round < ROUNDS; round++) {
        const home = join(folder, `home-${round}`);
        const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_TOKEN_PATH: join(home, "none"), ...more };
        hub.fault(/^GET cdn/, { kind: "slow", chunk: 65_536, ms: 3 }, 10_000);
        const ours = Array.from({ length: OURS }, () => start(args, undefined, env).ended);
        const theirs =
          PYTHON === undefined
            ? []
            : [0, 1].map(async () => {
                const python = startPython(PYTHON, env);
                try {
                  const answers = [];
                  for (const repo_id of REPOS) {
                    answers.push(await python.call("snapshot_download", { repo_id }));
                  }
                  return answers;
                } finally {
                  await python.close();
                }
              });
        for (const { code, stdout, stderr } of await Promise.all(ours)) {
          assert.equal(code, 0, stderr);
          assert.deepEqual(JSON.parse(stdout).tensors, JSON.parse(local.stdout).tensors);
        }
        for (const { error, message } of (await Promise.all(theirs)).flat()) {
          assert.equal(error, undefined, message);
        }
        await assertSound(join(home, "hub"), hub, what === "symlinks");
      }
    });
  });
}
