/** A plan cut into parts: nothing left out, nothing twice, the same each time, and balanced by bytes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import "../../support/seed.js";
import type { TensorJob } from "../../../src/engine/job/job.js";
import { splitPlan, subPlan } from "../../../src/plan/parts.js";
import type { RunPlan } from "../../../src/plan/plan.js";

/** A plan whose files have these tensors, of so many F32 values; null is only read. Each reads an input of its own, and one that all share. */
function planOf(files: readonly (readonly number[])[], loose: readonly number[] = []): RunPlan {
  const all = [
    ...files.flatMap((sizes, shard) => sizes.map((size) => ({ size, shard }))),
    ...loose.map((size) => ({ size, shard: null })),
  ];
  const input = (file: string): RunPlan["inputs"][number] => ({
    ...{ role: "raw", file, path: `/${file}`, size: 1, modified: "0", header: "" },
  });
  const operand = (place: number, size: number) => ({
    ...({ kind: "stored", input: place, name: "x", dtype: "F32" } as const),
    ...{ shape: [size], range: { begin: 0, end: size * 4 } },
  });
  return {
    inputs: [input("shared"), ...all.map((_, index) => input(`own ${index}`))],
    shards: files.map((_, index) => ({ file: `${index}`, size: 8, header: new Uint8Array(), directEnd: 0 })),
    jobs: all.map(
      ({ size, shard }, id): TensorJob => ({
        ...({ kind: "tensor", id, name: `t${id}`, rule: "add", dtype: "F32", shape: [size], prove: false } as const),
        start: { operand: operand(id + 1, size), mean: null },
        terms: [{ operand: operand(0, size), mean: null }],
        output: shard === null ? null : { shard, range: { begin: 0, end: size * 4 } },
      }),
    ),
  };
}

const sizes = fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 5 });
const plans = fc.tuple(fc.array(sizes, { minLength: 1, maxLength: 12 }), sizes);

test("every file and every job is in one part, and the bytes of the parts are those of the plan", () => {
  fc.assert(
    fc.property(plans, fc.integer({ min: 1, max: 20 }), ([files, loose], count) => {
      const plan = planOf(files, loose);
      const parts = splitPlan(plan, count);
      assert.equal(parts.length, count);
      assert.deepEqual(splitPlan(structuredClone(plan), count), parts);
      const ascending = (all: readonly number[]): readonly number[] => [...all].sort((a, b) => a - b);
      assert.deepEqual(
        ascending(parts.flatMap(({ shards }) => shards)),
        plan.shards.map((_, shard) => shard),
      );
      assert.deepEqual(
        ascending(parts.flatMap(({ jobs }) => jobs)),
        plan.jobs.map(({ id }) => id),
      );
      const whole = splitPlan(plan, 1)[0];
      const sum = (key: "read" | "write"): number => parts.reduce((total, part) => total + part[key], 0);
      assert.deepEqual([sum("read"), sum("write")], [whole?.read, whole?.write]);
      // A part has the jobs of its files.
      for (const { shards, jobs } of parts) {
        for (const id of jobs) {
          const job = plan.jobs[id];
          const shard = job?.kind === "tensor" ? job.output?.shard : undefined;
          assert.ok(shard === undefined || shards.includes(shard));
        }
      }
    }),
  );
});

test("the largest files go first, each to the part that has the least: no part is ahead by more than one file", () => {
  fc.assert(
    fc.property(plans, fc.integer({ min: 1, max: 8 }), ([files], count) => {
      const plan = planOf(files);
      const parts = splitPlan(plan, count).map(({ read, write }) => read + write);
      const largest = Math.max(...files.map((all) => all.reduce((sum, size) => sum + 12 * size, 0)));
      assert.ok(Math.max(...parts) - Math.min(...parts) <= largest);
    }),
  );
  const parts = splitPlan(planOf([[10], [40], [30], [20]]), 2);
  assert.deepEqual(
    parts.map(({ shards }) => shards),
    [
      [0, 1],
      [2, 3],
    ],
  );
});

test("a plan for a part counts its jobs, files and inputs anew, and reads the same bytes into the same places", () => {
  fc.assert(
    fc.property(plans, fc.integer({ min: 1, max: 8 }), ([files, loose], count) => {
      const plan = planOf(files, loose);
      for (const part of splitPlan(plan, count)) {
        const own = subPlan(plan, part);
        assert.deepEqual(own.ids, part.jobs);
        own.jobs.forEach((job, place) => {
          const origin = plan.jobs[own.ids[place] ?? -1];
          assert.equal(job.id, place);
          assert.ok(job.kind === "tensor" && origin?.kind === "tensor");
          const path = (from: RunPlan, { start, terms }: TensorJob): readonly (string | undefined)[] =>
            [start, ...terms].map(({ operand }) => (operand.kind === "stored" ? from.inputs[operand.input]?.path : ""));
          assert.deepEqual(path(own, job), path(plan, origin));
          assert.equal(own.shards[job.output?.shard ?? -1]?.file, plan.shards[origin.output?.shard ?? -1]?.file);
        });
        assert.ok(own.inputs.length <= own.jobs.length + 1);
      }
    }),
  );
});
