/** chain verify: from its flags' options to the findings, as text or JSON. */
import { type ChainFinding, type ChainVerifyReport, chainVerify } from "../../commands/chain/verify.js";
import { EXIT_CODES } from "../../errors.js";
import { printable } from "../../formats/quote.js";
import { bytesText } from "../../run/preflight.js";
import type { Asked } from "../flags/flag.js";
import { hintText } from "../output/advice.js";
import { summaryJson, sumsText } from "../output/chain-text.js";
import { json } from "../output/json.js";
import { tableText } from "../output/table.js";
import { countText, lineText } from "../output/text.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["chain-verify"],
  { signal, onProgress }: During,
  print: (text: string) => void,
  library = { chainVerify },
): Promise<number> {
  const report = await library.chainVerify({ ...options, signal, onProgress });
  print(look.format === "json" ? verifyJson(report) : verifyText(report, options.raw != null));
  return report.verdict === "failed" ? EXIT_CODES.CHECK_FAILED : 0;
}

/** @param based was a base given? */
function verifyText(report: ChainVerifyReport, based: boolean): string {
  const { path, verdict, findings, chain, coverage, sums, notes, bytesRead, seconds } = report;
  const rows = tableText(findings.map(({ why, message }) => ["error", why, lineText(message)]));
  const what = chain === null ? "" : `: ${countText(chain.steps.length, "step")} to version ${chain.version}`;
  const faults = findings.length === 0 ? "" : `: ${countText(findings.length, "error")}`;
  const checked =
    coverage === "sums"
      ? `structure, frames, ${countText(sums, "checksum")}${chain === null ? "" : ` (${sumsText(chain)})`}`
      : based
        ? "structure only: what was found prevents that a checksum is computed"
        : "structure and frames only: without the base no checksum is computed (--path_raw)";
  return `${[
    ...findings.flatMap((finding, index) => [rows[index] ?? "", ...hintLines(finding, findings[index + 1])]),
    ...notes.map((note) => `note  ${lineText(note)}`),
    `${verdict}: ${printable(path)}${what}${faults}`,
    `  checked  ${checked}`,
    `  took     ${seconds.toFixed(2)} s: read ${bytesText(bytesRead)}`,
  ].join("\n")}\n`;
}

/** Says what to do once, behind the last of the findings in a row that have the same remedy. */
function hintLines(finding: ChainFinding, next: ChainFinding | undefined): readonly string[] {
  const hint = remedyOf(finding);
  return hint === null || (next !== undefined && remedyOf(next) === hint) ? [] : [`  hint: ${lineText(hint)}`];
}

function remedyOf({ hint, advice }: Pick<ChainFinding, "hint" | "advice">): string | null {
  return hintText({ hint: hint ?? undefined, advice }, "chain-verify", false) ?? null;
}

function verifyJson(report: ChainVerifyReport): string {
  const { path, verdict, findings, chain, coverage, sums, notes, bytesRead, seconds } = report;
  return json({
    command: "chain verify",
    path,
    verdict,
    findings: findings.map(({ advice, hint, ...finding }) => ({ ...finding, hint: remedyOf({ advice, hint }) })),
    ...(chain === null ? {} : summaryJson(chain)),
    coverage,
    checksums_that_fit: sums,
    notes,
    bytes_read: bytesRead,
    seconds,
  });
}
