/** What the chain commands, and recover for a chain, print about a version. */
import type { ChainMaterializeReport, ChainSummary } from "../../commands/chain/report.js";
import type { RecoverReport } from "../../commands/recover/report.js";
import { STREAM } from "../../files/pipe.js";
import { performanceJson } from "./json.js";
import {
  countText,
  digestsText,
  filesText,
  finishedText,
  placeText,
  recordsText,
  resumedLines,
  tookLine,
} from "./text.js";

/** So many steps are named one by one. */
const MOST_STEPS = 6;

/** recover reports the same about a chain, except for one word. */
type MadeOfChain = Omit<ChainMaterializeReport, "outcome" | "tensors"> & {
  readonly tensors: RecoverReport["tensors"];
  readonly outcome: ChainMaterializeReport["outcome"] | "recovered";
};

/** The result in a few lines. */
export function materializeText(report: MadeOfChain): string {
  const { chain, outcome, output, files } = report;
  const what = `version ${chain.version} (${stepsText(chain)})`;
  const headlines = {
    materialized: `materialized ${what} ${placeText(output)}`,
    recovered: `materialized ${what} ${placeText(output)}`,
    checked: `computed ${what}; nothing was written (no --path_tuned)`,
    planned: `would write ${what} to ${output ?? "nothing (no --path_tuned)"}`,
    verified: finishedText(output, `${report.tensors.length} tensors`),
  } as const;
  const lines = [
    headlines[outcome],
    `  chain    ${chain.layout}, from ${chain.start === null ? "the base" : `version ${chain.start}, a full one`}`,
  ];
  if (output !== null) {
    lines.push(`  files    ${filesText(files)}`);
  }
  if (outcome !== "planned") {
    lines.push(`  checked  ${checkedText(report)}`);
  }
  lines.push(...resumedLines(report.resumed));
  if (outcome !== "planned") {
    lines.push(tookLine(report));
  }
  return `${lines.join("\n")}\n`;
}

function stepsText({ steps }: ChainSummary): string {
  const named = steps.map(({ version, encoding }) => `${version} ${encoding ?? ""}`.trim());
  const shown = named.length <= MOST_STEPS ? named : [...named.slice(0, 2), "…", ...named.slice(-2)];
  return `${countText(steps.length, "step")}${shown.length === 0 ? "" : `: ${shown.join(", ")}`}`;
}

function checkedText({ chain, records, outcome, output }: MadeOfChain): string {
  if (outcome === "verified") {
    return digestsText("tensor", false);
  }
  const untouched = chain.tensors - chain.touched;
  return [
    `${chain.touched} of ${chain.tensors} tensors touched, ${sumsText(chain)}`,
    ...(untouched === 0 ? [] : [`${untouched} as in ${chain.start === null ? "the base" : "the full version"}`]),
    ...recordsText(records, ".bin record"),
    ...(outcome === "checked" || output === STREAM ? [] : [digestsText("tensor", true)]),
  ].join("; ");
}

/** What the chain's own checksums prove. */
export function sumsText({ checked, touched, algorithms, untaken }: ChainSummary): string {
  if (touched === 0) {
    return "none to be checked";
  }
  if (checked === 0) {
    return "none checked: the chain has no checksums";
  }
  const some = checked < touched ? `${checked} of them ` : "";
  const rest = untaken === 0 ? "" : ` after the last step of each (${countText(untaken, "earlier one")} not computed)`;
  return `${some}checked by ${algorithms.join(", ")}${rest}`;
}

/** The result as one document. */
export function materializeJson(report: MadeOfChain, command: string): Record<string, unknown> {
  return {
    command,
    outcome: report.outcome,
    output: report.output,
    ...summaryJson(report.chain),
    files: report.files,
    tensors: report.tensors,
    ...performanceJson(report),
  };
}

export function summaryJson({
  version,
  start,
  steps,
  tensors,
  touched,
  checked,
  warnings,
  ...chain
}: ChainSummary): Record<string, unknown> {
  return {
    layout: chain.layout,
    version,
    start,
    steps,
    warn: warnings,
    touched_tensors: touched,
    untouched_tensors: tensors - touched,
    checked_tensors: checked,
    checksums: chain.algorithms,
    checksums_not_computed: chain.untaken,
    probed_tensors: chain.probed,
  };
}
