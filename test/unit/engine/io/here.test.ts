/** Which reads a worker does itself, and which it leaves to other threads. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DiskFile } from "../../../../src/engine/io/disk.js";
import { readFully } from "../../../../src/engine/io/disk.js";
import { readingHere } from "../../../../src/engine/io/here.js";
import { errno, memoryFile } from "../../../support/faulty-disk.js";

const MIB = 1 << 20;

/** A file that notes who reads it, and a clock that runs by `took` milliseconds during a read here. */
function watched(took: () => number): {
  readonly file: DiskFile;
  readonly reads: string[];
  readonly clock: () => number;
} {
  const bytes = Uint8Array.from({ length: 4 * MIB }, (_, k) => k % 251);
  const whole = memoryFile(bytes);
  const reads: string[] = [];
  let now = 0;
  const file: DiskFile = {
    ...whole,
    async read(target, position) {
      reads.push("others");
      return whole.read(target, position);
    },
    readNow(target, position) {
      reads.push("here");
      now += took();
      const found = bytes.subarray(position, position + target.length);
      target.set(found);
      return found.length;
    },
  };
  return { file, reads, clock: () => now };
}

test("reads a file here as long as that is quick, and gives the bytes asked for", async () => {
  const { file, reads, clock } = watched(() => 0.4);
  const here = readingHere(true, clock);
  const target = new Uint8Array(1000);
  for (let k = 0; k < 20; k++) {
    assert.ok(here.now());
    await readFully(here.of(file), target, k * 7);
    assert.deepEqual(
      target,
      Uint8Array.from({ length: 1000 }, (_, i) => (k * 7 + i) % 251),
    );
  }
  assert.deepEqual(reads, Array(20).fill("here"));
});

test("after a read that waited for the disk, others do the next 16, and then it tries again", async () => {
  let slow = true;
  const { file, reads, clock } = watched(() => (slow ? 50 : 0.1));
  const here = readingHere(true, clock);
  const target = new Uint8Array(MIB);
  await readFully(here.of(file), target, 0);
  slow = false;
  for (let k = 0; k < 18; k++) {
    assert.equal(here.now(), k >= 16);
    await readFully(here.of(file), target, 0);
  }
  assert.deepEqual(reads, ["here", ...Array(16).fill("others"), "here", "here"]);
});

test("a large read may take longer than a small one", async () => {
  const { file, clock } = watched(() => 2.5);
  const here = readingHere(true, clock);
  await readFully(here.of(file), new Uint8Array(4 * MIB), 0);
  assert.ok(here.now());
  await readFully(here.of(file), new Uint8Array(1000), 0);
  assert.ok(!here.now());
});

test("what fails here is read, and told, by the other way", async () => {
  const { file, reads, clock } = watched(() => {
    throw errno("EIO");
  });
  const here = readingHere(true, clock);
  const target = new Uint8Array(10);
  await readFully(here.of(file), target, 0);
  assert.deepEqual(
    target,
    Uint8Array.from({ length: 10 }, (_, k) => k),
  );
  assert.deepEqual(reads, ["here", "others"]);
});

for (const [what, wanted, change] of [
  ["where it is not wanted", false, (file: DiskFile): DiskFile => file],
  ["of a file that can only be read by others", true, ({ readNow: _, ...file }: DiskFile): DiskFile => file],
] as const) {
  test(`${what}, nothing is read here`, async () => {
    const { file, reads, clock } = watched(() => 0);
    await readFully(readingHere(wanted, clock).of(change(file)), new Uint8Array(10), 0);
    assert.deepEqual(reads, ["others"]);
  });
}

test("a thread that reads on and on hears what it is told", async () => {
  const { file, clock } = watched(() => 0.7);
  const reading = readingHere(true, clock).of(file);
  let told = false;
  setImmediate(() => {
    told = true;
  });
  let reads = 0;
  while (!told && reads < 1000) {
    await readFully(reading, new Uint8Array(MIB), 0);
    reads++;
  }
  assert.ok(reads < 20, `heard after ${reads} reads`);
});
