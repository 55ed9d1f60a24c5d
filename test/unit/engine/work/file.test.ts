/** XORed files written past the page cache: whole pages by themselves, the rest as ever, and all of it where the disk will not. */
import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openWorkerFiles } from "../../../../src/engine/io/files.js";
import { runFile } from "../../../../src/engine/work/file.js";
import { createScalarKernel } from "../../../../src/kernel/scalar.js";
import { withFolder } from "../../../support/checkpoints.js";
import { errno, type Faults, faultyDisk, insistOnPages } from "../../../support/faulty-disk.js";

/** Room for one, on pages of its own. */
const WINDOW = 8192;
const LENGTH = 5 * 4096 + 77;

/** Runs a payload of LENGTH bytes on a disk where every file is direct that is asked for as such. @returns the output. */
async function decode(windowBytes: number, faults: Faults, directEnd = Number.MAX_SAFE_INTEGER): Promise<Buffer> {
  return await withFolder(async (folder) => {
    const path = (name: string): string => join(folder, name);
    await writeFile(
      path("payload"),
      Uint8Array.from({ length: LENGTH }, (_, i) => i * 7),
    );
    await writeFile(
      path("key"),
      Uint8Array.from({ length: LENGTH }, (_, i) => i >> 3),
    );
    // Longer than what is written: of an earlier run.
    await writeFile(path("out"), Buffer.alloc(LENGTH + 5000));
    const input = async (name: string) => ({
      path: path(name),
      size: LENGTH,
      modified: String((await stat(path(name), { bigint: true })).mtimeNs),
      direct: false,
    });
    const job = {
      kind: "file",
      id: 0,
      name: "out",
      payload: 0,
      skip: 0,
      gzip: null,
      key: { input: 1, rule: "same-place" },
      most: LENGTH,
      records: [],
      md5: false,
      traffic: { read: 2 * LENGTH, write: LENGTH },
      output: { shard: 0 },
    } as const;
    const inputs = [await input("payload"), await input("key")];
    const files = openWorkerFiles(faultyDisk(faults), inputs, [{ path: path("out"), directEnd, direct: true }]);
    try {
      const kernel = createScalarKernel(6 * WINDOW);
      const slots = [0, 2, 4].map((n) => ({
        content: kernel.base + n * WINDOW,
        key: kernel.base + (n + 1) * WINDOW,
      }));
      await runFile(job, files, { inputs, windowBytes, kernel, slots }, { progress: () => {}, aborted: () => false });
    } finally {
      await files.close();
    }
    return await readFile(path("out"));
  });
}

const EXPECTED = Buffer.from(Uint8Array.from({ length: LENGTH }, (_, i) => (i * 7) ^ ((i >> 3) & 0xff)));

for (const [what, windowBytes, direct] of [
  ["windows of whole pages are written past the page cache, the last one is not", 8192, 2],
  ["windows that are no pages go through the page cache", 1000, 0],
] as const) {
  test(what, async () => {
    let count = 0;
    const found = await decode(windowBytes, {
      direct: true,
      before(action, _path, position, bytes, isDirect) {
        if (action === "write" && isDirect) {
          insistOnPages(position, bytes);
          count++;
        }
      },
    });
    assert.ok(found.equals(EXPECTED));
    assert.equal(count, direct);
  });
}

test("a disk that refuses direct writes gets all of them the other way", async () => {
  let refused = 0;
  const found = await decode(4096, {
    direct: true,
    before(action, _path, _position, _bytes, isDirect) {
      if (action === "write" && isDirect) {
        refused++;
        throw errno("EINVAL");
      }
    },
  });
  assert.ok(found.equals(EXPECTED));
  assert.equal(refused, 1);
});

test("where the output may not be direct, all of it goes through the page cache", async () => {
  const before = (...[, , , , isDirect]: Parameters<NonNullable<Faults["before"]>>): void => assert.ok(!isDirect);
  assert.ok((await decode(4096, { direct: true, before }, 0)).equals(EXPECTED));
});
