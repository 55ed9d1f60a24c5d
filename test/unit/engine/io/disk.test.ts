/** Exact reads and writes over a disk that does less than it is asked, or fails. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import "../../../support/seed.js";
import { hintText } from "../../../../src/cli/output/advice.js";
import { PAGE, readFully, writeFully } from "../../../../src/engine/io/disk.js";
import { WeightDiffError } from "../../../../src/errors.js";
import { errno, type Faults, faultyFile, insistOnPages, memoryFile } from "../../../support/faulty-disk.js";
import { hashed } from "../../../support/kernels.js";
import { refuses } from "../../../support/refusal.js";

const CONTENT = new Uint8Array(hashed(1, 10_000).buffer);

function pages(count: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(count * PAGE));
}

test("puts short reads together", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(9_000),
      fc.nat(9_000),
      fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1 }),
      async (position, length, cuts) => {
        let call = 0;
        const file = faultyFile(memoryFile(CONTENT), { cut: () => cuts[call++ % cuts.length] ?? 1 });
        const target = new Uint8Array(length);
        await readFully(file, target, position);
        assert.deepEqual(target, CONTENT.slice(position, position + length));
      },
    ),
    { numRuns: 50 },
  );
});

test("puts short writes together", async () => {
  const target = new Uint8Array(CONTENT.length);
  await writeFully(faultyFile(memoryFile(target), { cut: (_, length) => Math.ceil(length / 3) }), CONTENT, 0);
  assert.deepEqual(target, CONTENT);
});

test("repeats a short direct read and write from a page on", async () => {
  const faults: Faults = {
    before: (_action, _path, position, bytes) => insistOnPages(position, bytes),
    // 4596, then 500 of the page that came short, then all.
    cut: (() => {
      const cuts = [PAGE + 500, 500, 300];
      return (_: unknown, length: number) => cuts.shift() ?? length;
    })(),
  };
  const target = pages(9);
  await readFully(faultyFile(memoryFile(CONTENT, "in", true), faults), target, 0);
  assert.deepEqual(target, CONTENT.slice(0, 9 * PAGE));

  const cuts = [PAGE + 500, 500, 300];
  const out = new Uint8Array(9 * PAGE);
  const file = faultyFile(memoryFile(out, "out", true), { ...faults, cut: (_, length) => cuts.shift() ?? length });
  await writeFully(file, target, 0);
  assert.deepEqual(out, CONTENT.slice(0, 9 * PAGE));
});

test("takes the short last page of a direct read, as long as what is wanted came", async () => {
  const file = memoryFile(CONTENT, "in", true);
  const target = pages(10);
  await readFully(file, target, 0, CONTENT.length);
  assert.deepEqual(target.subarray(0, CONTENT.length), CONTENT);
  await refuses(() => readFully(file, pages(10), 0, CONTENT.length + 1), "INPUT_CHANGED", /in: ends at byte 40000/);
});

test("a file that ends early has changed, and is named with the byte", async () => {
  const file = memoryFile(CONTENT, "shard.bin");
  await refuses(() => readFully(file, new Uint8Array(100), 39_950), "INPUT_CHANGED", /shard\.bin: ends at byte 40000/);
});

test("a direct write that never gets further ends as an error", async () => {
  const file = faultyFile(memoryFile(pages(2), "out", true), { cut: () => 100 });
  await refuses(() => writeFully(file, pages(2), 0), "IO", /out: cannot write at byte 0/);
});

test("a write of no bytes is an error, not a wait", async () => {
  await refuses(() => writeFully(memoryFile(new Uint8Array(10), "out"), new Uint8Array(20), 0), "IO", /at byte 10/);
});

for (const code of ["EINTR", "EAGAIN"]) {
  test(`repeats what ${code} interrupted`, async () => {
    let left = 5;
    const before = (): void => {
      if (left-- > 0) {
        throw errno(code);
      }
    };
    const target = new Uint8Array(100);
    await readFully(faultyFile(memoryFile(CONTENT), { before }), target, 50);
    assert.deepEqual(target, CONTENT.slice(50, 150));
    left = 5;
    const out = new Uint8Array(100);
    await writeFully(faultyFile(memoryFile(out), { before }), target, 0);
    assert.deepEqual(out, target);
  });
}

test("gives up on a disk that only says EAGAIN", async () => {
  const file = faultyFile(memoryFile(CONTENT, "x"), {
    before: () => {
      throw errno("EAGAIN");
    },
  });
  await refuses(() => readFully(file, new Uint8Array(10), 0), "IO", /x: cannot read at byte 0: EAGAIN/);
});

for (const [code, expected, message] of [
  ["EIO", "IO", /shard: cannot read at byte 4096: the disk reports an error \(EIO\)/],
  ["ENOSPC", "DISK_FULL", /shard: cannot write at byte 4096: no room left on the disk/],
  ["EDQUOT", "DISK_FULL", /shard: cannot write at byte 4096: your quota of the disk is used up/],
] as const) {
  test(`${code} names file and byte, and is not repeated`, async () => {
    let calls = 0;
    const file = faultyFile(memoryFile(CONTENT.slice(), "shard"), {
      cut: () => PAGE,
      before: (_action, _path, position) => {
        calls++;
        if (position >= PAGE) {
          throw errno(code);
        }
      },
    });
    const run = code === "EIO" ? readFully : writeFully;
    await refuses(() => run(file, new Uint8Array(3 * PAGE), 0), expected, message);
    assert.equal(calls, 2);
  });
}

test("a full disk says that --resume goes on", async () => {
  const file = faultyFile(memoryFile(pages(1)), {
    before: () => {
      throw errno("ENOSPC");
    },
  });
  await assert.rejects(writeFully(file, pages(1), 0), (error) => {
    assert.ok(error instanceof WeightDiffError);
    assert.equal(hintText(error), "free some space, then continue with --resume");
    return true;
  });
});
