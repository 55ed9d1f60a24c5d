/** A compressed diff once its run has told how long each tensor has become: its files, and what is to be moved in them. */

import { codingOf } from "../engine/job/operand.js";
import type { TensorResult } from "../engine/job/result.js";
import type { ByteRange } from "../formats/tensor-info.js";
import { writeWeightIndex } from "../formats/weight-index.js";
import { codedRule, layOutCoded } from "./coded.js";
import type { PlanShard } from "./layout.js";
import type { Plan } from "./plan.js";

/** Is the plan's output a compressed diff, whose files grow until the run tells how long they are? */
export function isCoded({ jobs }: Pick<Plan, "jobs">): boolean {
  return jobs.some((job) => codingOf(job) === "encode");
}

/** What has been coded into the room of a file, and where it belongs: both from the first byte to the last. */
export interface Move {
  readonly from: ByteRange;
  readonly to: number;
}

/** The plan as the run has made it, and what is to be moved in each file for it. */
export interface Settled {
  readonly plan: Plan;
  readonly moves: readonly (readonly Move[])[];
}

/** @param results of all jobs. */
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
