/** Memory is that of a local run, whether the weights come through the cache or in a stream, and however large the model is. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { BIN } from "../cli/command.js";
import { filesOf } from "../hub/repo.js";
import { startHub } from "../hub/server.js";
import { withFolder } from "../support/checkpoints.js";
import { type Matrix, writePair } from "../support/models.js";

/** What a run may take, wherever its inputs are. */
const LIMIT = 200e6;

/** Some 12 MB of base and diff for each. */
function layers(count: number): readonly Matrix[] {
  return Array.from({ length: count }, (_, k) => ({
    name: `model.layers.${k}.mlp.up_proj.weight`,
    rows: 1000,
    columns: 2048,
  }));
}

/** A process begins with the peak of the one that it was forked from, and this one holds the Hub: a shell stands between. */
async function peakOf(args: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const run = ["-c", '"$@"; exit $?', "sh", process.execPath, BIN, ...args, "--json", "--no-progress"];
  const child = spawn("sh", run, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.equal(code, 0);
  return (JSON.parse(out) as { peak_memory_bytes: number }).peak_memory_bytes;
}

test("a streamed and a cached run stay below the limit of a local one, and do not grow with the model", async (t) => {
  await withFolder(async (folder) => {
    const hub = await startHub();
    t.after(() => hub.close());
    const peaks: Record<string, number> = {};
    for (const [name, count] of [
      ["small", 2],
      ["large", 16],
    ] as const) {
      const pair = await writePair(join(folder, name), layers(count));
      hub.add(`${name}/base`, filesOf(pair.raw));
      hub.add(`${name}/diff`, filesOf(pair.diff));
      const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: join(folder, "home") };
      const ofHub = ["recover", "--path_raw", `${name}/base`, "--path_diff", `${name}/diff`];
      peaks[`${name} local`] = await peakOf(["recover", "--path_raw", pair.raw, "--path_diff", pair.diff], env);
      peaks[`${name} cached`] = await peakOf(ofHub, env);
      peaks[`${name} streamed`] = await peakOf([...ofHub, "--no-cache"], env);
    }
    t.diagnostic(JSON.stringify(peaks));
    for (const [run, peak] of Object.entries(peaks)) {
      assert.ok(peak < LIMIT, `${run}: ${peak}`);
    }
  });
});
