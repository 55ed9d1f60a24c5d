/** How many requests are under way, over lines that a virtual clock makes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { newRequestCount, type RequestCount } from "../../../src/http/request-count.js";

/** Bytes a millisecond that one connection brings: a window of 6 MB in 200 ms. */
const WINDOW_RATE = 31_457;
const STEP = 10;

interface Line {
  /** Bytes a millisecond, of all connections together. */
  readonly most: number;
  /** The share of the time that whoever computes waits for bytes; by default all of it. */
  readonly waiting?: number;
}

/** Some stretches over a line, each of which has as many requests as it may have, and gives one back when it has brought 25 MB. */
function simulated(all: number, stretches = 1) {
  let now = 0;
  const count = newRequestCount(all, () => now);
  const under = Array.from({ length: stretches }, (_, index) => ({ own: 0, left: index * 1e6 }));
  const fill = (): void => {
    for (const stretch of under) {
      while (count.take(stretch.own)) {
        stretch.own++;
      }
    }
  };
  const underWay = (): readonly number[] => under.map(({ own }) => own);
  return {
    count,
    underWay,
    /** @returns bytes a millisecond that came. */
    run(seconds: number, { most, waiting = 1 }: Line): number {
      let came = 0;
      for (const until = now + seconds * 1000; now < until; ) {
        fill();
        const bytes = Math.min(most, underWay().reduce((sum, own) => sum + own, 0) * WINDOW_RATE) * STEP;
        count.wait();
        now += STEP * waiting;
        count.came(bytes);
        now += STEP * (1 - waiting);
        came += bytes;
        for (const stretch of under) {
          stretch.left += bytes / stretches;
          if (stretch.left > 25e6) {
            stretch.left = 0;
            stretch.own--;
            count.give(stretch.own);
            fill();
          }
        }
      }
      fill();
      return came / (seconds * 1000);
    },
  };
}

/** Takes whatever a stretch may have. */
function taken(count: RequestCount): number {
  let own = 0;
  while (count.take(own)) {
    own++;
  }
  return own;
}

const LONG: Line = { most: 1e9 };

test("a line that brings more by more requests gets as many as there may be", () => {
  const line = simulated(16);
  assert.equal(taken(newRequestCount(16, () => 0)), 4);
  line.run(20, LONG);
  assert.deepEqual(line.underWay(), [8]);
  assert.ok(line.run(5, LONG) >= 8 * WINDOW_RATE);
});

test("a line that is full with four gets eight for some seconds, and then four again for half a minute", () => {
  const line = simulated(16);
  const full: Line = { most: 4 * WINDOW_RATE };
  const seen: number[] = [];
  for (let second = 0; second < 30; second++) {
    line.run(1, full);
    seen.push(line.underWay()[0] ?? 0);
  }
  assert.ok(seen.includes(8));
  assert.ok(seen.filter((own) => own > 4).length <= 8, seen.join(" "));
  assert.ok(
    seen.slice(10).every((own) => own === 4),
    seen.join(" "),
  );
});

test("a line that grows faster later is tried again", () => {
  const line = simulated(16);
  line.run(30, { most: 4 * WINDOW_RATE });
  assert.deepEqual(line.underWay(), [4]);
  line.run(60, LONG);
  assert.deepEqual(line.underWay(), [8]);
});

test("where nobody waits for bytes, two are enough", () => {
  const line = simulated(16);
  line.run(20, { ...LONG, waiting: 0.05 });
  assert.deepEqual(line.underWay(), [2]);
  line.run(20, LONG);
  assert.deepEqual(line.underWay(), [8]);
});

test("a server that is too busy is asked for half as many, down to one, and for no more until half a minute has passed", () => {
  const line = simulated(16);
  line.run(20, LONG);
  for (const left of [4, 2, 1, 1]) {
    line.count.busy();
    line.run(5, LONG);
    assert.deepEqual(line.underWay(), [left]);
  }
  line.run(20, LONG);
  assert.deepEqual(line.underWay(), [1]);
  line.run(90, LONG);
  assert.deepEqual(line.underWay(), [8]);
});

test("stretches have as many as each other, and together no more than all", () => {
  const line = simulated(8, 2);
  line.run(30, LONG);
  assert.deepEqual(line.underWay(), [4, 4]);
  const many = simulated(8, 5);
  many.run(30, LONG);
  assert.ok(many.underWay().reduce((sum, own) => sum + own, 0) <= 8 + 4, many.underWay().join(" "));
  assert.ok(
    many.underWay().every((own) => own >= 1 && own <= 2),
    many.underWay().join(" "),
  );
});

test("every stretch has one request, however few there may be", () => {
  const count = newRequestCount(0, () => 0);
  assert.deepEqual([taken(count), taken(count)], [1, 1]);
  count.give(0);
  assert.equal(taken(count), 1);
});
