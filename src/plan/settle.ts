/** The final form of a compressed diff, after the run has told the length of each tensor: its files, and the moves in them. */

import { codingOf } from "../engine/job/operand.js";
import type { TensorResult } from "../engine/job/result.js";
import type { ByteRange } from "../formats/tensor-info.js";
import { writeWeightIndex } from "../formats/weight-index.js";
import { codedRule, layOutCoded } from "./coded.js";
import type { PlanShard } from "./layout.js";
import type { Plan } from "./plan.js";

/** Is the output a compressed diff? The sizes of its files are known only after the run. */
export function isCoded({ jobs }: Pick<Plan, "jobs">): boolean {
  return jobs.some((job) => codingOf(job) === "encode");
}

/** Where coded bytes lie in the room of a file, and where they belong. Both ranges run from the first byte to the last. */
export interface Move {
  readonly from: ByteRange;
  readonly to: number;
}

/** The plan as the run carried it out, and the moves in each file. */
export interface Settled {
  readonly plan: Plan;
  readonly moves: readonly (readonly Move[])[];
}

/** @param results the results of all jobs. */
export function settle(plan: Plan, results: ReadonlyMap<number, TensorResult>): Settled {
  const jobs = new Map(plan.jobs.map((job) => [job.name, job]));
  const moves: Move[][] = [];
  const weightMap = new Map<string, string>();
  let totalSize = 0;
  const shards = plan.shards.map((shard): PlanShard => {
    const placed = shard.tensors.map((name) => {
      const job = jobs.get(name);
      const result = job === undefined ? undefined : results.get(job.id);
      if (job?.kind !== "tensor" || result?.size === undefined) {
        throw new TypeError(`${name} was not coded`);
      }
      const { dtype, shape, output } = job;
      const entry = { name, dtype, shape, rule: codedRule(job.rule), unchanged: result.unchanged ?? 0 };
      return {
        entry,
        size: result.size,
        from: output?.range.begin ?? 0,
      };
    });
    const sizes = placed.map(({ size }) => size);
    const { header, ranges, size } = layOutCoded(
      placed.map(({ entry }) => entry),
      sizes,
      shard.file,
    );
    moves.push(
      placed.map(({ from, size: bytes }, index) => ({
        from: { begin: from, end: from + bytes },
        to: ranges[index]?.begin ?? 0,
      })),
    );
    for (const name of shard.tensors) {
      weightMap.set(name, shard.file);
    }
    totalSize += sizes.reduce((sum, bytes) => sum + bytes, 0);
    return { ...shard, header, size, most: size };
  });
  const index = plan.index === null ? null : { ...plan.index, text: writeWeightIndex(weightMap, totalSize) };
  return { plan: { ...plan, shards, index, totalSize }, moves };
}
