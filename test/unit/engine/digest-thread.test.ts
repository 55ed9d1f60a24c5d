/** A thread that takes digests: those of node:crypto, tensor by tensor, and an error where it dies. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { startDigestThread } from "../../../src/engine/digest-thread.js";
import { refuses } from "../../support/refusal.js";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(Buffer.from(bytes)).digest("hex");

test("each tensor has the digest of its bytes, in however many pieces they come; an empty one that of nothing", async () => {
  const memory = new Uint8Array(new SharedArrayBuffer(1000));
  memory.set(Uint8Array.from(memory, (_, i) => i * 7));
  const thread = startDigestThread(memory.buffer);
  try {
    const asked = [
      thread.take({ at: 0, bytes: 300, last: false }),
      thread.take({ at: 300, bytes: 200, last: true }),
      thread.take({ at: 500, bytes: 0, last: true }),
      thread.take({ at: 100, bytes: 900, last: true }),
    ];
    const expected = [null, sha256(memory.subarray(0, 500)), sha256(new Uint8Array()), sha256(memory.subarray(100))];
    assert.deepEqual(await Promise.all(asked), expected);
    memory.fill(1, 0, 10);
    const again = await thread.take({ at: 0, bytes: 10, last: true });
    assert.equal(again, sha256(memory.subarray(0, 10)));
  } finally {
    await thread.close();
  }
});

test("a thread that dies refuses what it was asked, and what it is asked afterwards", async () => {
  const thread = startDigestThread(new SharedArrayBuffer(8));
  const asked = thread.take({ at: 0, bytes: 8, last: false });
  await asked;
  const open = thread.take({ at: 0, bytes: 8, last: true }).catch((error: unknown) => error);
  await thread.close();
  const answer = await open;
  assert.ok(typeof answer === "string" || answer instanceof Error);
  await refuses(() => thread.take({ at: 0, bytes: 8, last: true }), "IO", /thread that takes digests died/);
});
