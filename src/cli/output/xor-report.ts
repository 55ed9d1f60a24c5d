/** The result of recover and xor where whole files were XORed. */

import type { XorReport } from "../../commands/xor/recipe.js";
import { printable } from "../../formats/quote.js";
import { bytesText } from "../../run/preflight.js";
import { json, performanceJson } from "./json.js";
import { countText, digestsText, finishedText, tookLine } from "./text.js";

/** The result in a few lines. */
export function xorText(report: XorReport): string {
  const size = report.files.reduce((sum, file) => sum + (file.size ?? 0), 0);
  const copied = report.files.filter(({ how }) => how === "copied");
  const lines = [headline(report), `  scheme   ${report.scheme}: ${report.schemeReason}`];
  lines.push(
    `  files    ${countText(report.files.length - copied.length, "file")} XORed${copied.length === 0 ? "" : `, ${copied.length} copied`}, ${bytesText(size)}`,
  );
  if (report.outcome === "planned") {
    lines.push(
      ...report.files.map(
        ({ file, how, size: bytes }) =>
          `    ${how === "xor" ? "xor " : "copy"} ${printable(file)}${bytes === null ? "" : `, ${bytesText(bytes)}`}`,
      ),
    );
    return `${lines.join("\n")}\n`;
  }
  lines.push(`  checked  ${checks(report)}`);
  if (report.identified !== null) {
    lines.push(`  model    ${report.identified}, by the hashes on its card`);
  }
  if (report.resumed > 0) {
    lines.push(`  resumed  ${countText(report.resumed, "file")} finished before, and verified`);
  }
  lines.push(tookLine(report));
  return `${lines.join("\n")}\n`;
}

function headline({ outcome, direction, output, files }: XorReport): string {
  const count = countText(files.length, "file");
  const texts = {
    made: `${direction === "decode" ? "recovered" : "encoded"} ${count} in ${output}`,
    checked: `computed ${count}; nothing was written (no --path_tuned)`,
    planned: `would write ${count} to ${output ?? "nowhere (no --path_tuned)"}`,
    verified: finishedText(output, count),
  } as const;
  return texts[outcome];
}

function checks({ outcome, direction, records, stated, output }: XorReport): string {
  if (outcome === "verified") {
    return digestsText("file", false);
  }
  return [
    ...(direction === "decode" ? ["the beginning of every file"] : []),
    ...(stated > 0 ? [`the sha256 that the payload states of ${countText(stated, "file")}`] : []),
    ...(records > 0 ? [`CRC-32 of ${countText(records, "record")}`] : []),
    "inputs unchanged during the run",
    digestsText("file", output !== null),
  ].join("; ");
}

/** The document for scripts. */
export function xorJson(report: XorReport, command: "recover" | "xor"): string {
  return json({
    command,
    outcome: report.outcome === "made" && command === "recover" ? "recovered" : report.outcome,
    direction: report.direction,
    scheme: report.scheme,
    scheme_reason: report.schemeReason,
    output: report.output,
    files: report.files,
    records_checked: report.records,
    files_with_stated_digest: report.stated,
    identified: report.identified,
    ...performanceJson(report),
    resumed_files: report.resumed,
  });
}
