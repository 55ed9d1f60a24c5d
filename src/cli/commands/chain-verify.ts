/** chain verify: from its flags' options to the findings, as text or JSON. */
import { type ChainVerifyReport, chainVerify } from "../../commands/chain/verify.js";
import { EXIT_CODES } from "../../errors.js";
import { printable } from "../../formats/quote.js";
import { bytesText } from "../../run/preflight.js";
import type { Asked } from "../flags/flag.js";
import { summaryJson, sumsText } from "../output/chain-text.js";
import { json } from "../output/json.js";
import { tableText } from "../output/table.js";
import { countText } from "../output/text.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["chain-verify"],
  { signal, onProgress }: During,
  print: (text: string) => void,
  library = { chainVerify },
): Promise<number> {
  const report = await library.chainVerify({ ...options, signal, onProgress });
  print(look.format === "json" ? verifyJson(report) : verifyText(report));
  return report.verdict === "failed" ? EXIT_CODES.CHECK_FAILED : 0;
}

function verifyText(report: ChainVerifyReport): string {
  const { path, verdict, findings, chain, coverage, sums, notes, bytesRead, seconds } = report;
  const rows = findings.map(({ why, message }) => ["error", why ?? "", printable(message.split("\n")[0] ?? "")]);
  const what = chain === null ? "" : `: ${countText(chain.steps.length, "step")} to version ${chain.version}`;
  const faults = findings.length === 0 ? "" : `: ${countText(findings.length, "error")}`;
  const checked =
    coverage === "sums"
      ? `structure, frames, ${countText(sums, "checksum")}${chain === null ? "" : ` (${sumsText(chain)})`}`
      : "structure and frames only: without the base no checksum is computed (--path_raw)";
  return `${[
    ...tableText(rows),
    ...notes.map((note) => `note  ${printable(note)}`),
    `${verdict}: ${printable(path)}${what}${faults}`,
    `  checked  ${checked}`,
    `  took     ${seconds.toFixed(2)} s: read ${bytesText(bytesRead)}`,
  ].join("\n")}\n`;
}

function verifyJson(report: ChainVerifyReport): string {
  const { path, verdict, findings, chain, coverage, sums, notes, bytesRead, seconds } = report;
  return json({
    command: "chain verify",
    path,
    verdict,
    findings,
    ...(chain === null ? {} : summaryJson(chain)),
    coverage,
    checksums_that_fit: sums,
    notes,
    bytes_read: bytesRead,
    seconds,
  });
}
