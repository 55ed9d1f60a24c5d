/** Areas of a worker's memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import "../../../support/seed.js";
import { PAGE } from "../../../../src/engine/io/disk.js";
import { BLOCK, planMemory } from "../../../../src/engine/io/memory.js";

test("areas lie on pages, do not overlap, and hold what they must", () => {
  fc.assert(
    fc.property(
      fc.nat(4).map((pages) => pages * PAGE),
      fc.integer({ min: 1, max: 64 }).map((k) => k * 65_536),
      fc.integer({ min: 1, max: 4 }),
      fc.nat(100_000),
      fc.nat(100_000),
      fc.nat(70_000),
      fc.integer({ min: 1, max: 4 }),
      fc.nat(2),
      (base, windowBytes, slots, sumBytes, meanBytes, meanColumns, operands, means) => {
        const plan = planMemory(base, {
          ...{ windowBytes, slots, operands, sumBytes, means, meanBytes, meanColumns },
          coder: "none",

          measures: false,
        });
        assert.deepEqual(
          plan.slots.map((slot) => slot.operands.length),
          Array.from({ length: slots }, () => operands),
        );
        assert.equal(plan.means.length, means);
        // A direct read brings up to a page more at either end.
        const window = windowBytes + 2 * PAGE;
        const areas: [at: number, bytes: number][] = [
          ...plan.slots.flatMap((slot) => [...slot.operands, slot.out].map((at): [number, number] => [at, window])),
          [plan.rawBlock, BLOCK * 4],
          [plan.sumBlock, BLOCK * 4],
          [plan.sumState, sumBytes],
          ...plan.means.flatMap(({ state, row }): [number, number][] => [
            [state, meanBytes],
            [row, meanColumns * 4],
          ]),
        ];
        let end = base;
        for (const [at, bytes] of areas) {
          assert.equal(at % PAGE, 0);
          assert.ok(at >= end, `${at} lies before ${end}`);
          end = at + bytes;
        }
        assert.ok(plan.end >= end);
      },
    ),
  );
});

test("two workers with windows of 4 MiB need less than 90 MB", () => {
  const { end } = planMemory(0, {
    windowBytes: 1 << 22,
    slots: 3,
    operands: 2,
    sumBytes: 65_536,
    means: 1,
    meanBytes: 1 << 20,
    coder: "none",

    measures: false as const,
    meanColumns: 8192,
  });
  assert.ok(2 * end < 90e6, String(end));
});
