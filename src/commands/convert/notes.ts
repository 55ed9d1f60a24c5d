/** What convert tells about its plan before the work. */
import type { Say } from "../../advice.js";
import { type MetaTokenizer, TOKENIZER } from "../../checkpoint/meta-tokenizer.js";
import { operandDtype } from "../../engine/job/operand.js";
import { dtypeName } from "../../formats/dtype.js";
import type { Plan } from "../../plan/plan.js";
import type { ConvertOptions } from "./options.js";

export function tellTokenizer(tokenizer: MetaTokenizer | null, source: string, say: Say): void {
  if (tokenizer === null) {
    say(`no ${TOKENIZER} in ${source} or beside it: copy it into the output yourself`);
  } else if (!tokenizer.sentencepiece) {
    say(
      `${TOKENIZER} is not sentencepiece's, as LLaMA's and Llama 2's are: take the publisher's tokenizer.json and tokenizer_config.json for it`,
    );
  }
}

export function tellPlan(plan: Plan, dtype: string, wanted: ConvertOptions["dtype"], say: Say): void {
  for (const note of plan.notes) {
    say(...note);
  }
  const rounded = [
    ...new Set(
      plan.jobs.flatMap((job) =>
        job.kind === "tensor" && job.rule === "convert" ? [operandDtype(job.start.operand)] : [],
      ),
    ),
  ];
  if (rounded.length > 0 && wanted !== "F32") {
    say(`${rounded.map(dtypeName).join(" and ")} values are rounded once to ${dtype}`);
  }
}

/** The dtypes of the output, in words. */
export function dtypeText(plan: Plan): string {
  const dtypes = plan.jobs.flatMap((job) => (job.kind === "tensor" ? [job.dtype] : []));
  return [...new Set(dtypes)].map(dtypeName).join(" and ");
}
