/**
 * Parts of one run: started at random, some twice at once, killed with -9 at random moments, resumed, put together, and that killed too.
 * In the end every file is that of one run. What does not go together is refused by name.
 */
import assert from "node:assert/strict";
import { cp, mkdir, readdir, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { finalize } from "../../src/commands/finalize.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import { status } from "../../src/commands/status.js";
import { refuseWrongOptions } from "../../src/library/options.js";
import { rangesText } from "../../src/make/gather.js";
import { STAGING } from "../../src/output/state.js";
import { withFolder } from "../support/checkpoints.js";
import { hashed } from "../support/kernels.js";
import { type Matrix, midSize, type Pair, treeOf, writePair } from "../support/models.js";
import { refuses } from "../support/refusal.js";
import { start } from "./program.js";

/** WEIGHT_DIFF_PARTS_ROUNDS=200 is the storm in full; WEIGHT_DIFF_PARTS_SEED another one. */
const ROUNDS = Number(process.env.WEIGHT_DIFF_PARTS_ROUNDS ?? 3);
const SEED = Number(process.env.WEIGHT_DIFF_PARTS_SEED ?? 1);

/** Numbers from 0 to 1, the same for the same seed. */
function dice(seed: number): () => number {
  let at = 0;
  return () => (hashed(seed, 1, at++)[0] ?? 0) / 2 ** 32;
}

const commands: Readonly<Record<string, (pair: Pair, out: string) => readonly string[]>> = {
  recover: ({ raw, diff }, out) => ["recover", "--path_raw", raw, "--path_diff", diff, "--path_tuned", out],
  "make-diff": ({ raw, diff }, out) => [
    ...["make-diff", "--path_raw", raw, "--path_tuned", diff, "--path_diff", out],
    ...["--encoding", "additive"],
  ],
  "make-diff --compress": ({ raw, diff }, out) => [
    ...["make-diff", "--path_raw", raw, "--path_tuned", diff, "--path_diff", out, "--compress"],
  ],
};

test(`${ROUNDS} rounds of parts that are killed, doubled, resumed and put together`, async (t) => {
  await withFolder(async (folder) => {
    const pair = await writePair(folder, midSize());
    const wholes = new Map<string, { readonly tree: Awaited<ReturnType<typeof treeOf>>; readonly ms: number }>();
    const tally = { kills: 0, refusals: 0, locked: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const roll = dice(SEED * 1000 + round);
      const names = Object.keys(commands);
      const name = names[(round + SEED) % names.length] ?? "";
      const line = commands[name] ?? assert.fail();
      const shards = ["--max-shard-size", "5MB", "--quiet"];
      if (!wholes.has(name)) {
        const whole = join(folder, `whole ${name}`);
        const began = performance.now();
        const { code, stderr } = await start([...line(pair, whole), ...shards]).ended;
        assert.equal(code, 0, stderr);
        wholes.set(name, { tree: await treeOf(whole), ms: performance.now() - began });
      }
      const { tree: expected, ms } = wholes.get(name) ?? assert.fail();
      const out = join(folder, "out");
      const count = 1 + Math.floor(roll() * 5);
      const part = async (index: number, killedAfter: number | null): Promise<void> => {
        const program = start([...line(pair, out), ...shards, "--part", `${index}/${count}`, "--resume"]);
        if (killedAfter !== null) {
          await Promise.race([pause(killedAfter), program.ended]);
          program.child.kill("SIGKILL");
        }
        const { code, signal, stderr } = await program.ended;
        if (signal === "SIGKILL") {
          tally.kills++;
        } else if (code === 4) {
          assert.match(stderr, /another run is writing here|its parts are being put together/, stderr);
          tally.locked++;
        } else {
          assert.equal(code, 0, stderr);
        }
      };
      const put = async (killedAfter: number | null): Promise<number | null> => {
        const program = start(["finalize", out, "--quiet"]);
        if (killedAfter !== null) {
          await Promise.race([pause(killedAfter), program.ended]);
          program.child.kill("SIGKILL");
        }
        const { code, signal, stderr } = await program.ended;
        if (signal === "SIGKILL") {
          tally.kills++;
        } else if (code !== 0) {
          assert.equal(code, 4, stderr);
          assert.match(
            stderr,
            /part \d+\/\d+ |parts are missing|holds no part of a run|no such file or directory|another run is writing/,
            stderr,
          );
          tally.refusals++;
        }
        return code;
      };
      for (let step = 0; step < 4; step++) {
        const index = Math.floor(roll() * count);
        const moment = roll() * ms * 1.1;
        const twice = roll() < 0.3;
        await Promise.all([part(index, moment), ...(twice ? [part(index, roll() * ms)] : [])]);
        if (roll() < 0.2) {
          await put(null);
        }
      }
      if (Object.keys(await treeOf(out).catch(() => ({}))).includes("weight-diff.json")) {
        assert.deepEqual(await treeOf(out), expected, `round ${round}: it was finished early`);
      }
      for (let index = 0; index < count; index++) {
        await part(index, null);
      }
      for (let attempt = 0; attempt < 3; attempt++) {
        await put(roll() * 600);
      }
      const code = await put(null);
      assert.equal(code, 0, `round ${round}`);
      assert.deepEqual(await treeOf(out), expected, `round ${round}: ${name} in ${count} parts`);
      await rm(out, { recursive: true });
    }
    assert.ok(tally.kills > 0, "nothing was killed");
    t.diagnostic(JSON.stringify(tally));
  });
});

const MATRICES: readonly Matrix[] = [
  { name: "model.embed_tokens.weight", rows: 33, columns: 64, newRows: 1 },
  { name: "model.layers.0.mlp.up_proj.weight", rows: 32, columns: 64 },
  { name: "model.layers.1.mlp.up_proj.weight", rows: 64, columns: 48 },
];
const SMALL = { threads: 0, windowBytes: 1 << 16, maxShardSize: 16_000 } as const;

interface Place {
  readonly pair: Pair;
  readonly out: string;
  readonly part: (index: number, count?: number, more?: Partial<RecoverOptions>) => Promise<unknown>;
  readonly put: () => Promise<unknown>;
}

async function withParts(body: (place: Place) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const pair = await writePair(folder, MATRICES);
    const out = join(folder, "out");
    await body({
      pair,
      out,
      part: (index, count = 2, more = {}) =>
        recover({ ...SMALL, ...pair, tuned: out, part: { index, count }, mode: "resume", ...more }),
      put: () => finalize({ path: out, threads: 0 }, refuseWrongOptions),
    });
  });
}

test("finalize names the parts that are missing, with the command that makes one", () =>
  withParts(async ({ out, pair, part, put }) => {
    await part(1, 3);
    await refuses(
      put,
      "OUTPUT_REFUSED",
      /2 of 3 parts are missing: 0,2\n {2}part 0\/3 was not made\n {2}part 2\/3 was not made$/,
    );
    const program = await start(["finalize", out]).ended;
    assert.equal(program.code, 4);
    assert.match(
      program.stderr,
      new RegExp(`make it: weight-diff recover --max-shard-size 16000B --path_raw ${pair.raw} .* --part 0/3 --resume`),
    );
  }));

test("what a finalize left that was killed at its very end is removed by the next one", () =>
  withParts(async ({ out, part, put }) => {
    await part(0);
    await part(1);
    await put();
    const whole = await treeOf(out);
    const lock = join(out, STAGING, "lock");
    await mkdir(lock, { recursive: true });
    // Of nobody: no process has written its name.
    await writeFile(join(lock, "holder"), "");
    await put();
    assert.deepEqual(await treeOf(out), whole);
  }));

test("many that are missing are told in ranges, as Slurm takes them", () => {
  assert.equal(rangesText([]), "");
  assert.equal(rangesText([3]), "3");
  assert.equal(rangesText([0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
});

test("an input that changed since is named, by finalize and by a part", () =>
  withParts(async ({ pair, part, put }) => {
    await part(0);
    await utimes(join(pair.raw, "model-00002-of-00002.safetensors"), 1, 1);
    await refuses(() => part(0), "OUTPUT_REFUSED", /what differs is raw model-00002-of-00002\.safetensors$/);
    await part(1);
    await refuses(put, "OUTPUT_REFUSED", /part 0\/2: what differs is raw model-00002-of-00002\.safetensors$/);
    // Started over, it goes with the other.
    await part(0, 2, { mode: "force" });
    await put();
  }));

test("parts of a run with another number of parts are refused by name, and --force starts over", () =>
  withParts(async ({ out, pair, part, put }) => {
    await part(0, 3);
    await refuses(() => part(1, 2), "OUTPUT_REFUSED", /parts of another number: part 0\/3, and this is part 1\/2/);
    await part(1, 2, { mode: "force" });
    await part(0, 2);
    await put();
    await rm(out, { recursive: true });
    // Both are there where they were made without knowing of each other.
    await part(0, 2);
    await part(1, 2);
    const apart = `${out}-apart`;
    await recover({ ...SMALL, ...pair, tuned: apart, part: { index: 0, count: 3 } });
    await rename(join(apart, STAGING, "part-00000-of-00003"), join(out, STAGING, "part-00000-of-00003"));
    await refuses(put, "OUTPUT_REFUSED", /part 0\/3: what differs is the number of parts|parts are another run's/);
  }));

test("other options, and another version, are refused by name", () =>
  withParts(async ({ out, part, put }) => {
    await part(0);
    await part(1, 2, { dtype: "F16" });
    await refuses(
      put,
      "OUTPUT_REFUSED",
      /part 1\/2: what differs is the dtype, the layout of the output, the option dtype/,
    );
    await part(1, 2, { mode: "force" });
    await forge(join(out, STAGING, "part-00001-of-00002"), (head) => {
      head.plan["the version of weight-diff"] = "0.0.1";
    });
    await refuses(put, "OUTPUT_REFUSED", /part 1\/2: what differs is the version of weight-diff/);
  }));

interface Head {
  readonly plan: Record<string, string>;
  readonly asked: { readonly options: Record<string, unknown> };
}

/** Writes a journal's first line anew, as whoever forges one can: a checksum is no signature. */
async function forge(folder: string, change: (head: Head) => void): Promise<void> {
  const { createHash } = await import("node:crypto");
  const path = join(folder, "journal");
  const lines = (await readFile(path, "utf8")).split("\n").filter((line) => line !== "");
  const sum = (salt: string, json: string): string =>
    createHash("sha256").update(salt).update(json).digest("hex").slice(0, 32);
  const [first = "", ...rest] = lines.map((line) => line.slice(line.indexOf(" ") + 1));
  const head = JSON.parse(first) as Head;
  change(head);
  const text = JSON.stringify(head);
  const salt = sum("", text);
  await writeFile(path, `${[`${salt} ${text}`, ...rest.map((json) => `${sum(salt, json)} ${json}`)].join("\n")}\n`);
}

test("options that a forged journal claims are refused like anybody's", () =>
  withParts(async ({ out, part, put }) => {
    for (const [options, message] of [
      [{ raw: 5 }, /recover\(\): raw: 5 is not a path/],
      [{ nonsense: 1 }, /no such option: "nonsense"/],
    ] as const) {
      await part(0, 1);
      await forge(join(out, STAGING, "part-00000-of-00001"), ({ asked }) => {
        Object.assign(asked.options, options);
      });
      await refuses(put, "USAGE", message);
      await rm(out, { recursive: true });
    }
  }));

test("a file that was touched since its part closed it is read again, and made again where it differs", () =>
  withParts(async ({ out, pair, part, put }) => {
    const whole = `${out}-whole`;
    await recover({ ...SMALL, ...pair, tuned: whole });
    const expected = await treeOf(whole);
    for (const place of [20, -5]) {
      await part(0);
      await part(1);
      const folder = join(out, STAGING, "part-00000-of-00002");
      const [file = ""] = (await readdir(folder)).filter((name) => name.endsWith(".safetensors"));
      const bytes = await readFile(join(folder, file));
      bytes[place < 0 ? bytes.length + place : place] = 7;
      await writeFile(join(folder, file), bytes);
      await put();
      assert.deepEqual(await treeOf(out), expected);
      await rm(out, { recursive: true });
    }
  }));

test("a compressed diff's file that was damaged since is made again", () =>
  withFolder(async (folder) => {
    const { raw, diff: tuned } = await writePair(folder, MATRICES);
    const [out, whole] = [join(folder, "out"), join(folder, "whole")];
    const making = { ...SMALL, raw, tuned, compress: true } as const;
    await makeDiff({ ...making, diff: whole });
    const part = (index: number): Promise<unknown> =>
      makeDiff({ ...making, diff: out, part: { index, count: 2 }, mode: "resume" });
    for (const again of [() => finalize({ path: out, threads: 0 }, refuseWrongOptions), () => part(0)]) {
      await part(0);
      await part(1);
      const staged = join(out, STAGING, "part-00000-of-00002");
      const [file = ""] = (await readdir(staged)).filter((name) => name.endsWith(".safetensors"));
      const bytes = await readFile(join(staged, file));
      bytes[bytes.length - 3] = (bytes.at(-3) ?? 0) ^ 1;
      await writeFile(join(staged, file), bytes);
      await again();
      await finalize({ path: out, threads: 0 }, refuseWrongOptions);
      assert.deepEqual(await treeOf(out), await treeOf(whole));
      await rm(out, { recursive: true });
    }
  }));

test("a run in parts cannot continue the output of a single run, nor the other way round", () =>
  withParts(async ({ out, pair, part, put }) => {
    await part(0);
    const whole = (mode: "new" | "resume" | "force") => (): Promise<unknown> =>
      recover({ ...SMALL, ...pair, tuned: out, mode });
    await refuses(whole("new"), "OUTPUT_REFUSED", /holds parts of a run on several machines/);
    await refuses(whole("resume"), "OUTPUT_REFUSED", /holds parts of a run on several machines/);
    await refuses(() => part(0, 2, { mode: "new" }), "OUTPUT_REFUSED", /holds part 0\/2 already/);
    await whole("force")();
    const expected = await treeOf(out);
    await refuses(() => part(0, 2, { mode: "new" }), "OUTPUT_REFUSED", /is not empty/);
    await part(0); // finished: verified
    // The old model stays until the new one is whole.
    await part(0, 2, { mode: "force" });
    await part(1, 2);
    assert.ok("weight-diff.json" in (await treeOf(out)));
    await put();
    assert.deepEqual(await treeOf(out), expected);
  }));

test("the plan is data, with the same digest for any number of parts, and whatever is in the output already", () =>
  withParts(async ({ out, pair, part }) => {
    const planned = async (parts: number) =>
      (await recover({ ...SMALL, ...pair, tuned: out, dryRun: true, parts })).work ?? assert.fail("no plan");
    const before = await planned(3);
    assert.deepEqual(await readdir(out).catch(() => "absent"), "absent", "a plan writes nothing");
    await part(0, 3);
    assert.deepEqual(await planned(3), before);
    const one = await planned(1);
    assert.equal(one.digest, before.digest);
    assert.deepEqual(
      one.parts[0]?.files,
      before.files.map(({ file }) => file),
    );
    const made = Object.keys(await treeOf(out)).filter((name) => name.endsWith(".safetensors"));
    assert.deepEqual(
      made.map((name) => name.replace(/^.*\//, "")),
      before.parts[0]?.files,
    );
    assert.deepEqual(new Set(before.tensors.map(({ file }) => file)), new Set(before.files.map(({ file }) => file)));
  }));

test("status tells waiting, finished and ended parts apart; a part's folder goes along with a copy of the output", () =>
  withParts(async ({ out, part, put }) => {
    const nowhere = /: no such file or directory$/;
    await refuses(() => status({ path: out }), "NOT_FOUND", nowhere);
    await refuses(() => finalize({ path: out }, refuseWrongOptions), "NOT_FOUND", nowhere);
    await mkdir(out);
    await refuses(() => status({ path: out }), "OUTPUT_REFUSED", /no part of a run was begun here/);
    await refuses(() => finalize({ path: out }, refuseWrongOptions), "OUTPUT_REFUSED", /holds no part of a run/);
    await part(2, 3);
    const file = join(out, ".weight-diff", (await readdir(join(out, ".weight-diff")))[0] ?? "", "journal");
    for (const run of [() => status({ path: file }), () => finalize({ path: file }, refuseWrongOptions)]) {
      await refuses(run, "OUTPUT_REFUSED", /\/journal: is a file, not a directory$/);
      await refuses(() => status({ path: join(file, "x") }), "NOT_FOUND", nowhere);
    }
    const first = await status({ path: out });
    assert.deepEqual(
      first.parts.map(({ state }) => state),
      ["waiting", "waiting", "finished"],
    );
    assert.ok(first.total !== null && first.done > 0 && first.done < first.total);
    await part(0, 3);
    await part(1, 3);
    const last = await status({ path: out });
    assert.equal(last.done, last.total);
    const copy = `${out}-copy`;
    await cp(out, copy, { recursive: true });
    await put();
    assert.equal((await status({ path: out })).state, "finished");
    // Copied without its times: everything is read again, and nothing made again.
    await finalize({ path: copy, threads: 0 }, refuseWrongOptions);
    assert.deepEqual(await treeOf(copy), await treeOf(out));
  }));
