/** Memory is lent to one user at a time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withLentMemory } from "../../../src/formats/lent-memory.js";

test("what comes back is lent again, as long as it is long enough", async () => {
  const first = await withLentMemory(async (lend) => lend(1000).buffer);
  const [second, third] = await withLentMemory(async (lend) => [lend(500), lend(500)] as const);
  assert.equal(second.buffer, first);
  assert.equal(second.length, 500);
  assert.notEqual(third.buffer, first);
  await withLentMemory(async (lend) => assert.equal(lend(1_000_000).length, 1_000_000));
});

test("two users at a time never share memory, and a failed one gives it back", async () => {
  await Promise.all(
    [1, 2, 3].map((user) =>
      withLentMemory(async (lend) => {
        const memory = [lend(64), lend(64)].map((one) => one.fill(user));
        await new Promise((resolve) => setTimeout(resolve, 1));
        assert.ok(memory.every((one) => one.every((byte) => byte === user)));
      }),
    ),
  );
  let lent: ArrayBufferLike | null = null;
  const failed = withLentMemory(async (lend) => {
    lent = lend(64).buffer;
    throw new RangeError("failed");
  });
  await assert.rejects(failed, RangeError);
  await withLentMemory(async (lend) => assert.equal(lend(64).buffer, lent));
});
