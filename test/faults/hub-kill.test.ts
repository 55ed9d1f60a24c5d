/** kill -9 in the middle of downloads, a dozen times: the cache ends byte for byte as it should, and hardly a byte comes twice. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { filesOf } from "../hub/repo.js";
import { startHub } from "../hub/server.js";
import { withFolder } from "../support/checkpoints.js";
import { hashed } from "../support/kernels.js";
import { writePair } from "../support/models.js";
import { start } from "./program.js";

const KILLS = 12;
/** What a file in flight may lose with its process: buffers of the sockets, and pieces not yet written. Eight come at a time. */
const LOST_PER_KILL = 8 * 262_144;

test(`after ${KILLS} kills at random bytes, the download is whole`, async (t) => {
  await withFolder(async (folder) => {
    const matrices = Array.from({ length: 8 }, (_, k) => ({
      name: `model.layers.${k}.mlp.up_proj.weight`,
      rows: 1000,
      columns: 512,
    }));
    const pair = await writePair(folder, [
      { name: "model.embed_tokens.weight", rows: 100, columns: 512, newRows: 1 },
      ...matrices,
    ]);
    const hub = await startHub();
    t.after(() => hub.close());
    const repos = [hub.add("org/base", filesOf(pair.raw)), hub.add("org/diff", filesOf(pair.diff))];
    const large = repos.flatMap(({ id, commits, branches }) =>
      [...(commits.get(branches.get("main") ?? "")?.files ?? [])].flatMap(([name, { lfs, bytes }]) =>
        lfs === null ? [] : [{ name, bytes, blob: `hub/models--${id.replace("/", "--")}/blobs/${lfs.oid}` }],
      ),
    );
    const total = large.reduce((sum, { bytes }) => sum + bytes.length, 0);
    hub.fault(/^GET cdn/, { kind: "slow", chunk: 65_536, ms: 15 }, 10_000);
    const sent = (): number =>
      hub.log.reduce((sum, { port, range, sent }) => sum + (port === "cdn" && !isHeader(range) ? sent : 0), 0);
    const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: folder };
    const args = ["recover", "--path_raw", "org/base", "--path_diff", "org/diff", "--no-progress", "--json"];
    for (let kill = 0; kill < KILLS; kill++) {
      // Each process lives for a random part of an equal share; the last one has the rest.
      const until = sent() + ((hashed(kill, 1)[0] ?? 0) / 2 ** 32) * 2 * (total / (KILLS + 4));
      const program = start(args, undefined, env);
      while (sent() <= until && program.child.exitCode === null) {
        await pause(2);
      }
      program.child.kill("SIGKILL");
      const { signal, stderr } = await program.ended;
      assert.equal(signal, "SIGKILL", `ended before kill ${kill}: ${stderr}`);
    }
    const last = await start(args, undefined, env).ended;
    assert.equal(last.code, 0, last.stderr);
    for (const { name, bytes, blob } of large) {
      assert.ok(bytes.equals(await readFile(join(folder, blob))), name);
    }
    const twice = sent() - total;
    assert.ok(twice <= KILLS * LOST_PER_KILL, `${twice} bytes came twice`);
    const local = await start(["recover", "--path_raw", pair.raw, "--path_diff", pair.diff, "--json"]).ended;
    assert.deepEqual(JSON.parse(last.stdout).tensors, JSON.parse(local.stdout).tensors);
    t.diagnostic(`${twice} of ${total} bytes came twice`);
  });
});

/** Headers are read by short ranges before anything is fetched. */
function isHeader(range: string | null): boolean {
  const [, from = "0", to = "Infinity"] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
  return range !== null && Number(to) - Number(from) < 20_000;
}
