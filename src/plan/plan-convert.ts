/**
 * Plans convert: a checkpoint, a dtype and a shard size -> everything that will be read and written. It is the plan of a recovery without a
 * base.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { isFloatDtype } from "../formats/dtype.js";
import { ROPE_THETA } from "../kernel/inv-freq.js";
import { DEFAULTS } from "./defaults.js";
import type { PairingOptions } from "./pair.js";
import { buildPlan, type Plan } from "./plan.js";

interface ConvertPlanOptions {
  /** The dtype of the written tensors; null leaves each as it is. */
  readonly dtype: Plan["dtype"];
  /** Bytes of tensor data in one output file. */
  readonly maxShardSize: number;
}

/** @throws {WeightDiffError} MISMATCH naming tensors that are not floats; LIMIT. */
export function planConvert(model: Checkpoint, { dtype, maxShardSize }: ConvertPlanOptions): Plan {
  const nothing: Checkpoint = { ...model, shards: [], stateDict: new Map(), notes: [] };
  const layout = { maxShardSize, invFreq: DEFAULTS.invFreq, rows: null, ropeTheta: ROPE_THETA, rawTied: null } as const;
  const pairing: PairingOptions = {
    ...layout,
    role: "model",
    decide: (_, tensor) =>
      dtype === null || tensor.dtype === dtype
        ? { rule: "copy", dtype: tensor.dtype }
        : isFloatDtype(tensor.dtype)
          ? { rule: "convert", dtype }
          : null,
    newRows: "refuse",
    rowsAsked: false,
    maxNewRows: 0,
    driverTied: null,
  };
  return buildPlan(nothing, model, pairing, {
    ...layout,
    schemeName: "meta",
    dtype,
    metadata: () => new Map([["format", "pt"]]),
    prove: false,
  });
}
