/**
 * A whole recover over a disk that misbehaves: what can be made good gives the same files as a quiet disk, everything else
 * ends as an error that names file and byte, with no final name.
 */
import assert from "node:assert/strict";
import { appendFile, readdir, readFile, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { recover } from "../../src/commands/recover.js";
import { type Disk, PAGE } from "../../src/engine/io/disk.js";
import { WeightDiffError } from "../../src/errors.js";
import { STAGING } from "../../src/output/state.js";
import { withFolder } from "../support/checkpoints.js";
import { errno, type Faults, faultyDisk, insistOnPages } from "../support/faulty-disk.js";
import { FIXTURES } from "../support/fixtures.js";
import { hashed } from "../support/kernels.js";
import { type Matrix, type Pair, treeOf, writePair } from "../support/models.js";
import { refuses } from "../support/refusal.js";

/** Lengths on and off pages, a view of one row, new rows, an empty tensor. */
const MATRICES: readonly Matrix[] = [
  { name: "model.embed_tokens.weight", rows: 301, columns: 512, newRows: 1 },
  { name: "model.layers.0.mlp.up_proj.weight", rows: 256, columns: 1024 },
  { name: "model.layers.0.mlp.down_proj.weight", rows: 333, columns: 777 },
  { name: "model.layers.0.mlp.bias", rows: 1, columns: 3 },
  { name: "model.layers.1.mlp.up_proj.weight", rows: 64, columns: 1024 },
  { name: "model.layers.1.mlp.empty", rows: 0, columns: 8 },
];
const SMALL_WINDOWS = { windowBytes: 1 << 16, maxShardSize: 1_500_000 } as const;

/** Runs `body` with a model, a place for the output, and what a quiet disk makes of it. */
async function withModel(
  body: (pair: Pair, tuned: string, expected: Readonly<Record<string, string>>) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const pair = await writePair(folder, MATRICES);
    const quiet = join(folder, "quiet");
    await recover({ ...pair, tuned: quiet, ...SMALL_WINDOWS });
    await body(pair, join(folder, "tuned"), await treeOf(quiet));
  });
}

/** 0 to 1, the same in every run of the test. */
function dice(seed: number): () => number {
  let throws = 0;
  return () => (hashed(seed, 1, throws++)[0] ?? 0) / 2 ** 32;
}

const roll = dice(7);

for (const [what, faults] of [
  ["short reads and writes of any length", { cut: (_, length) => Math.ceil(length * roll()) }],
  [
    "bursts of EINTR and EAGAIN",
    {
      before: () => {
        if (roll() < 0.1) {
          throw errno(roll() < 0.5 ? "EINTR" : "EAGAIN");
        }
      },
    },
  ],
] as const satisfies readonly (readonly [string, Faults])[]) {
  test(`${what} change nothing`, async () => {
    await withModel(async (pair, tuned, expected) => {
      await recover({ ...pair, tuned, ...SMALL_WINDOWS, disk: faultyDisk(faults) });
      assert.deepEqual(await treeOf(tuned), expected);
    });
  });
}

test("a disk that insists on 4096 bytes for offset, length and memory gets them, also from short pieces", async () => {
  await withModel(async (pair, tuned, expected) => {
    const opened = new Set<string>();
    let violations = 0;
    let direct = 0;
    let calls = 0;
    // Ordinary files are told apart by what they are asked for: only direct ones come through `strict`.
    const strict = faultyDisk({
      direct: true,
      before: (_action, _path, position, bytes) => {
        direct++;
        try {
          insistOnPages(position, bytes);
        } catch (error) {
          violations++;
          throw error;
        }
      },
      // Every third call stops after one page, or inside the last one.
      cut: (_, length) => (calls++ % 3 === 0 ? Math.max(PAGE, length - 700) : length),
    });
    const ordinary = faultyDisk({});
    const disk: Disk = {
      openFile(path, mode, wanted) {
        opened.add(`${path} ${mode} ${wanted}`);
        return (wanted ? strict : ordinary).openFile(path, mode, wanted);
      },
    };
    await recover({ ...pair, tuned, ...SMALL_WINDOWS, disk, directIo: "always" });
    assert.equal(violations, 0);
    assert.ok(direct > 50, `${direct} direct calls`);
    assert.ok(
      [...opened].some((key) => key.includes(STAGING) && key.endsWith("write true")),
      "no direct write",
    );
    assert.ok(
      [...opened].some((key) => key.endsWith("read true")),
      "no direct read",
    );
    assert.deepEqual(await treeOf(tuned), expected);
  });
});

for (const refused of ["read", "write"] as const) {
  test(`a file system that takes O_DIRECT and then refuses the ${refused} is used without`, async () => {
    await withModel(async (pair, tuned, expected) => {
      let refusals = 0;
      const strict = faultyDisk({
        direct: true,
        before: (action) => {
          if (action === refused) {
            refusals++;
            throw errno("EINVAL");
          }
        },
      });
      const ordinary = faultyDisk({});
      const disk: Disk = {
        openFile: (path, mode, direct) => (direct ? strict : ordinary).openFile(path, mode, direct),
      };
      await recover({ ...pair, tuned, ...SMALL_WINDOWS, disk, directIo: "always" });
      assert.ok(refusals > 0);
      assert.deepEqual(await treeOf(tuned), expected);
    });
  });
}

/** Fails every call of one kind in the `count`-th and later ones. */
function failing(action: "read" | "write", code: string, count: number): Faults {
  let calls = 0;
  return {
    before: (found) => {
      if (found === action && ++calls >= count) {
        throw errno(code);
      }
    },
  };
}

for (const [what, faults, code, message] of [
  [
    "a read error",
    failing("read", "EIO", 9),
    "IO",
    /model-0000\d-of-00002\.safetensors: cannot read at byte \d+: .*EIO/,
  ],
  ["a write error", failing("write", "EIO", 9), "IO", /\.safetensors: cannot write at byte \d+: .*EIO/],
  [
    "a full disk",
    failing("write", "ENOSPC", 9),
    "DISK_FULL",
    /\.safetensors: cannot write at byte \d+: no room left on the disk/,
  ],
] as const) {
  test(`${what} names file and byte, leaves no final name, and the run goes on from there`, async () => {
    await withModel(async (pair, tuned, expected) => {
      let opened = 0;
      const disk = faultyDisk({ ...faults, opened: () => opened++, closed: () => opened-- });
      await refuses(() => recover({ ...pair, tuned, ...SMALL_WINDOWS, disk }), code, message);
      assert.deepEqual(await readdir(tuned), [STAGING]);
      assert.equal(opened, 0, "files are left open");
      const report = await recover({ ...pair, tuned, ...SMALL_WINDOWS, mode: "resume" });
      assert.equal(report.outcome, "recovered");
      assert.deepEqual(await treeOf(tuned), expected);
    });
  });
}

test("a finished tensor whose bytes changed before the resume is computed again", async () => {
  await withModel(async (pair, tuned, expected) => {
    let writes = 0;
    const disk = faultyDisk({
      before: (action) => {
        if (action === "write" && ++writes > 30) {
          throw errno("ENOSPC");
        }
      },
    });
    await refuses(() => recover({ ...pair, tuned, ...SMALL_WINDOWS, disk }), "DISK_FULL", /no room/);
    const finished = (await readFile(join(tuned, STAGING, "journal"), "utf8")).trim().split("\n").length - 1;
    assert.ok(finished >= 2, `${finished} tensors finished`);
    // The first tensor of the first shard is the largest one, and was finished first.
    const [shard = ""] = (await readdir(join(tuned, STAGING))).filter((name) => name.endsWith("safetensors")).sort();
    const path = join(tuned, STAGING, shard);
    const bytes = await readFile(path);
    const at = Number(bytes.readBigUInt64LE()) + 8 + 100;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(path, bytes);
    const report = await recover({ ...pair, tuned, ...SMALL_WINDOWS, mode: "resume" });
    assert.equal(report.resumed, finished - 1);
    assert.deepEqual(await treeOf(tuned), expected);
  });
});

for (const [what, change, message] of [
  ["shrinks", (path: string) => truncate(path, 100_000), /: (ends at byte 100000|.*had \d+ bytes, now 100000)/],
  ["grows", (path: string) => appendFile(path, "x"), /had \d+ bytes, now \d+/],
  ["is written to", (path: string) => utimes(path, 1, 1), /it was written to since the run began/],
] as const) {
  test(`an input that ${what} during the run is named, and no final name appears`, async () => {
    await withModel(async (pair, tuned) => {
      const path = join(pair.diff, "model-00002-of-00002.safetensors");
      let reads = 0;
      const disk = faultyDisk({
        before: async (action, file) => {
          if (action === "read" && file === path && ++reads === 2) {
            await change(path);
          }
        },
      });
      await assert.rejects(recover({ ...pair, tuned, ...SMALL_WINDOWS, disk }), (error) => {
        assert.ok(error instanceof WeightDiffError, String(error));
        assert.equal(error.code, "INPUT_CHANGED");
        assert.ok(error.message.startsWith(path), error.message);
        assert.match(error.message, message);
        return true;
      });
      await assert.rejects(readdir(tuned), { code: "ENOENT" });
    });
  });
}

// A safetensors file has no checksum: a flipped bit in one cannot be noticed. A .bin file has a CRC-32 for every record.
test("one flipped bit in what is read from a .bin file ends the run with exit code 4, names file and tensor, and leaves no final name", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "tuned");
    let flipped = "";
    const disk = faultyDisk({
      after: (path, _position, bytes) => {
        if (flipped === "" && path.endsWith(".bin") && path.includes("base") && bytes.length > 1000) {
          bytes[999] = (bytes[999] ?? 0) ^ 4;
          flipped = path;
        }
      },
    });
    const demo = { raw: join(FIXTURES, "demo", "base"), diff: join(FIXTURES, "demo", "diff") };
    await assert.rejects(recover({ ...demo, tuned, disk }), (error) => {
      assert.ok(error instanceof WeightDiffError, String(error));
      assert.equal(error.code, "CRC_MISMATCH");
      assert.ok(error.message.startsWith(`${flipped}: tensor "`), error.message);
      return true;
    });
    await assert.rejects(readdir(tuned), { code: "ENOENT" });
  });
});

test("with or without threads, in windows of any size, direct or not, the same files come out", async () => {
  await withModel(async (pair, _, expected) => {
    for (const threads of [0, 1, 2, 3]) {
      for (const windowBytes of [1 << 16, 3 << 16, 1 << 22]) {
        for (const directIo of [false, "always"] as const) {
          await withFolder(async (folder) => {
            const tuned = join(folder, "tuned");
            await recover({ ...pair, tuned, maxShardSize: SMALL_WINDOWS.maxShardSize, threads, windowBytes, directIo });
            assert.deepEqual(await treeOf(tuned), expected, `${threads} threads, ${windowBytes} bytes, ${directIo}`);
          });
        }
      }
    }
  });
});
