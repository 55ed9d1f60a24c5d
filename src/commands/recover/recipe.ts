/** recover's recipe for the run: the manifest that it writes, the sums that it judges, and its report. */
import { refuseOtherResult } from "../../check/published.js";
import type { BaseFiles } from "../../checkpoint/from-base.js";
import type { Inputs } from "../../evidence/guards.js";
import type { SchemeChoice } from "../../evidence/scheme/choice.js";
import { dtypeName } from "../../formats/dtype.js";
import { overflowOf, warnOverflow, writtenTensors } from "../../make/outcome.js";
import type { Recipe } from "../../make/recipe.js";
import { askedRun } from "../../make/request.js";
import { type FinishedTensors, smallFiles, tensorRecipe } from "../../make/tensors.js";
import { filesOf, type MakeDiffManifest, sourceOf } from "../../manifest/manifest.js";
import { writeManifest } from "../../manifest/write.js";
import { DEFAULTS } from "../../plan/defaults.js";
import type { Plan } from "../../plan/plan.js";
import { buffersOf, judgeRecovered, sumRecovered, warnSums } from "../../sums/recovered.js";
import type { StatedSum } from "../../sums/stated.js";
import { tellDestination } from "./notes.js";
import type { RecoverOptions } from "./options.js";
import { plannedReport, type RecoverReport } from "./report.js";

/** What recover knows after planning. */
interface RecoverFacts {
  readonly started: number;
  readonly inputs: Inputs;
  readonly choice: SchemeChoice;
  readonly plan: Plan;
  /** The sum that a file beside the diff states. */
  readonly stated: StatedSum | null;
  /** Where to find small files that the diff lacks. */
  readonly elseBase: BaseFiles;
  /** The manifest that make-diff put beside the diff. */
  readonly published: MakeDiffManifest | null;
}

export function recoverRecipe(facts: RecoverFacts, options: RecoverOptions): Recipe<FinishedTensors, RecoverReport> {
  const { started, inputs, choice, plan, stated, published } = facts;
  const { raw, diff, rawConfig, diffConfig } = inputs;
  const { scheme } = choice;
  const say = options.onNote ?? (() => {});
  const dtype = dtypeText(plan);
  const made = { operation: "recover", scheme: plan.scheme, dtype, raw: sourceOf(raw), diff: sourceOf(diff) } as const;
  const side = { raw, driver: diff, elseBase: facts.elseBase };
  const buffers = buffersOf(plan, raw, rawConfig);
  return {
    ...tensorRecipe(plan, side, made, options),
    started,
    output: options.tuned ?? null,
    identity: {
      "the scheme": plan.scheme,
      "the dtype": plan.jobs.some((job) => job.kind === "tensor" && job.mustFit) ? `${dtype}, which must fit` : dtype,
      "the rule for inv_freq": options.invFreq ?? DEFAULTS.invFreq,
      "the rule for new rows": options.rows ?? "by the scheme",
    },
    tell: (destination) => tellDestination(destination, plan, diffConfig, options),
    asked: () => askedRun("recover", options),
    check(run) {
      if (published !== null) {
        refuseOtherResult({ ...plan, jobs: plan.jobs.filter(({ id }) => run.results.has(id)) }, run, published);
      }
    },
    async compose(run, _, destination) {
      if (published !== null) {
        const compared = refuseOtherResult(plan, run, published);
        say(
          `${compared} of ${plan.order.length} recovered tensors compared with the diff's manifest: all as they must be`,
        );
      }
      const { withoutInvFreq, withInvFreq } = sumRecovered(plan, run, buffers).sums;
      const manifest = () =>
        writeManifest({
          ...made,
          tensors: writtenTensors(plan, run),
          files: filesOf(plan, run.sha256),
          sums: { without_inv_freq: finite(withoutInvFreq), with_inv_freq: finite(withInvFreq) },
        });
      return { extras: smallFiles(plan, diffConfig, destination), manifest };
    },
    conclude(end) {
      const report = plannedReport(choice, plan, end);
      if (end.outcome === "planned" || end.outcome === "part") {
        return report;
      }
      if (end.outcome === "verified") {
        return { ...report, tensors: end.finished };
      }
      const { run } = end;
      const recovered = sumRecovered(plan, run, buffers);
      warnSums(recovered, raw, diff, options);
      const overflow = overflowOf(plan, run);
      const sumCheck = judgeRecovered(recovered, stated, diff, buffers, options);
      const remedy = scheme.arithmetic === "F16" ? "the script computes in float16 and has them too" : undefined;
      warnOverflow(overflow, dtype, options, remedy);
      const tensors = writtenTensors(plan, run);
      return { ...report, tensors, sums: recovered.sums, tensorSums: recovered.byTensor, sumCheck, overflow };
    },
  };
}

/** As spelled in config.json. */
function dtypeText(plan: Plan): string {
  const mixed = plan.scheme === "exact" ? "as in the tuned model" : "as stored";
  return plan.dtype === null ? mixed : dtypeName(plan.dtype);
}

/** JSON has no NaN and no infinities. */
function finite(sum: number): number | null {
  return Number.isFinite(sum) ? sum : null;
}
