/** What waits for its turn gets it in the order of positions, or learns why it never will. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inTurn } from "../../../src/files/in-turn.js";

test("acts in the order of positions, whatever the order of the calls", async () => {
  const turns = inTurn(10);
  const done: number[] = [];
  const act = (position: number, count: number): Promise<number> =>
    turns.take(position, async () => {
      await new Promise((resolve) => setImmediate(resolve));
      done.push(position);
      return count;
    });
  await Promise.all([act(17, 3), act(12, 5), act(10, 2), act(20, 1)]);
  assert.deepEqual([done, turns.at], [[10, 12, 17, 20], 21]);
});

test("one failure ends all who wait, and all who come later", async () => {
  const turns = inTurn(0);
  const waiting = [turns.take(8, async () => 1), turns.take(4, async () => 1)];
  await assert.rejects(
    turns.take(0, async () => {
      throw new Error("broken");
    }),
    /broken/,
  );
  for (const each of [...waiting, turns.take(0, async () => 1)]) {
    await assert.rejects(each, /broken/);
  }
});

test("the end of the run ends even an action that never returns", async () => {
  const turns = inTurn(0);
  const stuck = turns.take(0, () => new Promise<number>(() => {}));
  const waiting = turns.take(1, async () => 1);
  turns.end(new Error("stopped"));
  await assert.rejects(stuck, /stopped/);
  await assert.rejects(waiting, /stopped/);
});
