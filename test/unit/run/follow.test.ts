/** Whole files digested while they grow: the digest is that of the finished file, whatever order its tensors come in. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type Disk, type DiskFile, localDisk } from "../../../src/engine/io/disk.js";
import { type Follower, followFiles, type GrowingFile } from "../../../src/run/follow.js";
import { withFolder } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

const MB = 1 << 20;
const HEADER = 1000;
/** Lengths of the tensors of one file: of less than a piece, of none, of many, and not of whole pages. */
const LENGTHS = [3 * MB + 17, 0, 5, 2 * MB, 4 * MB + 4095, 1];

/** A file with its header, and what else it is to hold; where nothing is written yet there are other bytes. */
async function growing(folder: string, file: string, firstJob: number) {
  const path = join(folder, file);
  const size = LENGTHS.reduce((sum, length) => sum + length, HEADER);
  const content = randomBytes(size);
  await writeFile(path, Buffer.concat([content.subarray(0, HEADER), Buffer.alloc(size - HEADER, 0xee)]));
  let begin = HEADER;
  const tensors = new Map(
    LENGTHS.map((length, index) => {
      const range = { begin, end: begin + length };
      begin += length;
      return [firstJob + index, range] as const;
    }),
  );
  const write = async (job: number): Promise<void> => {
    const range = tensors.get(job);
    const handle = await open(path, "r+");
    await handle.write(content, range?.begin ?? 0, (range?.end ?? 0) - (range?.begin ?? 0), range?.begin ?? 0);
    await handle.close();
  };
  const sha256 = createHash("sha256").update(content).digest("hex");
  const grown: GrowingFile = { file, last: "last", path, size, tensors, direct: false };
  return { grown, write, sha256, jobs: [...tensors.keys()] };
}

const ORDERS: Readonly<Record<string, (jobs: readonly number[]) => readonly number[]>> = {
  "in their order": (jobs) => jobs,
  "from the last to the first": (jobs) => jobs.toReversed(),
  "every other one first": (jobs) => [...jobs.filter((job) => job % 2 === 1), ...jobs.filter((job) => job % 2 === 0)],
};

for (const [name, order] of Object.entries(ORDERS)) {
  for (const direct of [false, true]) {
    test(`files have their digests when tensors come ${name}${direct ? ", past the page cache" : ""}`, async () => {
      await withFolder(async (folder) => {
        const files = [await growing(folder, "a", 0), await growing(folder, "b", LENGTHS.length)];
        let read = 0;
        const follower = followFiles(
          localDisk,
          files.map(({ grown }) => ({ ...grown, direct })),
          (_, bytes) => {
            read += bytes;
          },
        );
        for (const job of order(files.flatMap(({ jobs }) => jobs))) {
          await files.find(({ jobs }) => jobs.includes(job))?.write(job);
          follower.take(job);
          // Time to read too far, for whoever does.
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        const digests = await follower.finish();
        assert.deepEqual(
          [...digests],
          files.map(({ grown, sha256 }) => [grown.file, sha256]),
        );
        assert.equal(
          read,
          files.reduce((sum, { grown }) => sum + grown.size, 0),
        );
      });
    });
  }
}

test("most of a file is digested before its last tensor comes", async () => {
  await withFolder(async (folder) => {
    const { grown, write, jobs } = await growing(folder, "a", 0);
    let read = 0;
    const follower = followFiles(localDisk, [grown], (_, bytes) => {
      read += bytes;
    });
    for (const job of jobs.slice(0, -1)) {
      await write(job);
      follower.take(job);
    }
    for (let waited = 0; read < 9 * MB && waited < 5000; waited += 10) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(read, 9 * MB);
    await follower.stop();
  });
});

test("a file of no tensors is its header", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "a");
    await writeFile(path, "header");
    const grown = { file: "a", last: "", path, size: 6, tensors: new Map(), direct: true };
    const digests = await followFiles(localDisk, [grown], () => {}).finish();
    assert.equal(digests.get("a"), createHash("sha256").update("header").digest("hex"));
  });
});

/** The disk, but each read goes through `change`. */
function reading(change: (file: DiskFile, target: Uint8Array, position: number) => Promise<number>): Disk {
  return {
    async openFile(path, mode, direct) {
      const file = await localDisk.openFile(path, mode, direct);
      return { ...file, direct, read: (target, position) => change({ ...file, direct }, target, position) };
    },
  };
}

async function all(follower: Follower, files: Awaited<ReturnType<typeof growing>>): Promise<void> {
  for (const job of files.jobs) {
    await files.write(job);
    follower.take(job);
  }
}

test("where reads past the page cache are refused, others are made", async () => {
  await withFolder(async (folder) => {
    const file = await growing(folder, "a", 0);
    const refusing = reading(async ({ direct, path }, target, position) => {
      if (direct) {
        throw Object.assign(new Error("EINVAL"), { code: "EINVAL" });
      }
      const plain = await localDisk.openFile(path, "read", false);
      const count = await plain.read(target, position);
      await plain.close();
      return count;
    });
    const follower = followFiles(refusing, [{ ...file.grown, direct: true }], () => {});
    await all(follower, file);
    assert.equal((await follower.finish()).get("a"), file.sha256);
  });
});

test("a file that cannot be read, or has become shorter, is named when all is done", async () => {
  await withFolder(async (folder) => {
    const file = await growing(folder, "a", 0);
    const broken = reading(async () => {
      throw Object.assign(new Error("EIO"), { code: "EIO" });
    });
    const failing = followFiles(broken, [file.grown], () => {});
    await all(failing, file);
    await refuses(() => failing.finish(), "IO", /cannot read|EIO/);
    const short = followFiles(
      reading(async () => 0),
      [file.grown],
      () => {},
    );
    await all(short, file);
    await refuses(() => short.finish(), "INPUT_CHANGED", /was longer/);
  });
});
