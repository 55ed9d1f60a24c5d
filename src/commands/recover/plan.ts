/** recover's plan in the dtype that was asked for. "auto" is decided here, before anything is written. */
import type { Note } from "../../advice.js";
import type { Inputs } from "../../evidence/guards.js";
import { type SmallestDtype, smallestDtype } from "../../evidence/smallest-dtype.js";
import { torchName } from "../../formats/dtype.js";
import { type AdditiveRecord, ownTensors } from "../../plan/exact.js";
import type { Plan } from "../../plan/plan.js";
import { planRecover } from "../../plan/plan-recover.js";
import type { Scheme } from "../../scheme/axes.js";
import { planOptions } from "./choose.js";
import type { RecoverOptions } from "./options.js";

/** @throws {WeightDiffError} MISMATCH, LIMIT, USAGE; with "auto" also IO, INPUT_CHANGED, TRUNCATED. */
export async function planInDtype(
  scheme: Scheme,
  inputs: Inputs,
  record: AdditiveRecord | null,
  options: RecoverOptions,
): Promise<Plan> {
  const { raw, diff } = inputs;
  const asked = planOptions(scheme, inputs, record, options);
  const plan = planRecover(raw, diff, asked);
  if (options.dtype !== "auto") {
    return plan;
  }
  if (plan.dtype !== "F32") {
    options.onNote?.(`dtype auto: ${ownDtype(plan, asked.exact != null)}`);
    return plan;
  }
  const found = await smallestDtype(plan, [diff, raw], ownTensors(record));
  const smaller =
    found.dtype === "F32" ? plan : planRecover(raw, diff, { ...asked, dtype: found.dtype, mustFit: true });
  options.onNote?.(...noteOf(found, smaller));
  return smaller;
}

/** The reason why the scheme's script, or the diff, cannot give every tensor in float32. */
function ownDtype({ dtype }: Plan, exact: boolean): string {
  return exact
    ? "every tensor has the dtype of the tuned model"
    : dtype === null
      ? "every tensor has the dtype that the script gives it"
      : `${torchName(dtype)}, in which the script computes`;
}

function noteOf({ dtype, sampled, misfits }: SmallestDtype, plan: Plan): Note {
  if (dtype !== "F32") {
    const onMeans = plan.jobs.some((job) => job.kind === "tensor" && job.terms.some(({ mean }) => mean !== null));
    const rounded = onMeans ? "; new rows, which stand on the mean of the base's, are rounded to it" : "";
    return [`dtype auto: ${torchName(dtype)}: it holds all ${sampled} sampled values, and each is checked${rounded}`];
  }
  if (sampled === 0) {
    return ["dtype auto: float32: no value could be sampled that would tell of a smaller one"];
  }
  const { F16, BF16 } = misfits;
  const value = F16 < BF16 ? "F16" : "BF16";
  return [
    `dtype auto: float32: of ${sampled} sampled values, bfloat16 does not hold ${BF16}, and float16 not ${F16}`,
    [{ to: "round them", option: "dtype", value }],
  ];
}
