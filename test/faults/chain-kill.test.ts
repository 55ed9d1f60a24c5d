/**
 * kill -9 at random moments of chain materialize and chain fold, and --resume: every file is that of an undisturbed run. A step must never meet
 * bytes that it has changed already. WEIGHT_DIFF_CHAIN_KILLS kills each command so often, WEIGHT_DIFF_CHAIN_SEED chooses the moments.
 */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { canEncode } from "../../src/formats/zstd/encoder.js";
import { writeStep } from "../support/chain-files.js";
import { safetensors, withFolder, writeFiles } from "../support/checkpoints.js";
import { hashed } from "../support/kernels.js";
import { treeOf } from "../support/models.js";
import { start } from "./program.js";

const KILLS = Number(process.env.WEIGHT_DIFF_CHAIN_KILLS ?? 4);
const SEED = Number(process.env.WEIGHT_DIFF_CHAIN_SEED ?? 1);
const TENSORS = 12;
const BYTES = 700_001;
const STEPS = 3;

/** A base of `shards` files, and a chain on it of both encodings. */
async function writeChain(folder: string, shards: number): Promise<{ readonly raw: string; readonly chain: string }> {
  const names = Array.from({ length: TENSORS }, (_, k) => `t${String(k).padStart(2, "0")}`);
  let state = names.map((_, k) => Uint8Array.from({ length: BYTES }, (__, i) => (i * 7 + k) & 255));
  const fileOf = (k: number): string => `model-${(k % shards) + 1}.safetensors`;
  const index = { metadata: {}, weight_map: Object.fromEntries(names.map((name, k) => [name, fileOf(k)])) };
  const files = Array.from({ length: shards }, (_, shard) => {
    const own = names.flatMap((name, k) =>
      k % shards === shard ? [[name, "U8" as const, [BYTES], state[k] ?? new Uint8Array()] as const] : [],
    );
    return [fileOf(shard), safetensors(...own)] as const;
  });
  const raw = await writeFiles(join(folder, `base-${shards}`), {
    ...Object.fromEntries(files),
    "model.safetensors.index.json": JSON.stringify(index),
    "config.json": "{}",
  });
  const chain = join(folder, "chain");
  for (let version = 1; version <= STEPS; version++) {
    const next = state.map((bytes, k) => {
      const changed = Uint8Array.from(bytes);
      for (const at of hashed(100 * version + k, 1000)) {
        changed[at % BYTES] = (changed[at % BYTES] ?? 0) ^ ((at >>> 24) | 1);
      }
      return changed;
    });
    const tensors = Object.fromEntries(
      names.map((name, k) => [name, [state[k] ?? new Uint8Array(), next[k] ?? new Uint8Array()] as const]),
    );
    await writeStep(chain, { version, encoding: version === 2 ? "overwrite" : "xor", tensors });
    state = next;
  }
  return { raw, chain };
}

/** Kills the command at KILLS moments; one run may be killed several times. */
async function storm(output: string, args: readonly string[], salt: number): Promise<number> {
  const began = performance.now();
  const whole = await start([...args, "--threads", "1"]).ended;
  const duration = performance.now() - began;
  assert.equal(whole.code, 0, whole.stderr);
  const expected = await treeOf(output);
  await rm(output, { recursive: true });
  let kills = 0;
  for (let attempt = 0; kills < KILLS; attempt++) {
    assert.ok(attempt < 4 * KILLS + 20, `only ${kills} of ${attempt} processes lived long enough to be killed`);
    const program = start([...args, "--resume", "--threads", String(1 + (attempt % 2))]);
    // Moments are spread over start-up, run and final sweep.
    const moment = ((hashed(SEED, 1, salt + attempt)[0] ?? 0) / 2 ** 32) * duration * 1.05;
    await Promise.race([pause(moment), program.ended]);
    program.child.kill("SIGKILL");
    const { code, signal, stderr } = await program.ended;
    kills += signal === "SIGKILL" ? 1 : 0;
    if (signal !== "SIGKILL" || attempt % 4 === 3) {
      assert.ok(signal === "SIGKILL" || code === 0, stderr);
      const last = await start([...args, "--resume"]).ended;
      assert.equal(last.code, 0, last.stderr);
      assert.deepEqual(await treeOf(output), expected, `after ${kills} kills`);
      await rm(output, { recursive: true });
    }
  }
  const last = await start([...args, "--resume"]).ended;
  assert.equal(last.code, 0, last.stderr);
  assert.deepEqual(await treeOf(output), expected);
  await rm(output, { recursive: true });
  return kills;
}

test(`after ${KILLS} kills of each, materialize and fold end as undisturbed runs, from a base in any shards`, (t) =>
  withFolder(async (folder) => {
    const { raw, chain } = await writeChain(folder, 1);
    const { raw: sharded } = await writeChain(folder, 3);
    const given = ["--path_diff", chain, "--no-progress", "--json"];
    const encoding = canEncode() ? "xor" : "exact-compressed";
    const digests: (readonly string[])[] = [];
    for (const [salt, base] of [raw, sharded].entries()) {
      const tuned = join(folder, "tuned");
      const materialize = [
        "chain",
        "materialize",
        "--path_raw",
        base,
        "--max-shard-size",
        "3MB",
        "--path_tuned",
        tuned,
      ];
      const once = await start([...materialize, ...given]).ended;
      assert.equal(once.code, 0, once.stderr);
      const { tensors } = JSON.parse(once.stdout) as { tensors: readonly { name: string; sha256: string }[] };
      digests.push(tensors.map(({ name, sha256 }) => `${name} ${sha256}`).sort());
      await rm(tuned, { recursive: true });
      if (salt === 0) {
        t.diagnostic(`${await storm(tuned, [...materialize, ...given], 0)} kills of materialize`);
      }
    }
    assert.deepEqual(digests[0], digests[1], "the shards of the base make no difference");
    const out = join(folder, "folded");
    const fold = ["chain", "fold", "--path_raw", raw, "--encoding", encoding, "--path_out", out];
    t.diagnostic(`${await storm(out, [...fold, ...given], 1000)} kills of fold into ${encoding}`);
  }));
