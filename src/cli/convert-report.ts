/** convert's result, for people and for scripts. */
import type { ConvertReport } from "../commands/convert.js";
import { bytesText } from "../run/preflight.js";
import { json, performanceJson, tookLine } from "./report.js";

/** A few lines. */
export function convertText(report: ConvertReport): string {
  const size = report.files.reduce((sum, file) => sum + file.size, 0);
  const files = report.files.length === 1 ? (report.files[0]?.file ?? "") : `${report.files.length} files`;
  const count = `${report.tensors.length} tensors`;
  const headlines = {
    converted: `converted ${count} as ${report.dtype} in ${report.output}`,
    planned: `would write ${report.output} as ${report.dtype}`,
    verified: `${report.output} is finished already: ${count} verified against weight-diff.json`,
  } as const;
  const lines = [headlines[report.outcome], `  files    ${files}, ${bytesText(size)}`];
  if (report.outcome === "planned") {
    lines.push(`  reads    ${bytesText(report.bytesRead)}`);
    return `${lines.join("\n")}\n`;
  }
  lines.push("  checked  CRC-32 of every record read; sha256 of every tensor in weight-diff.json");
  if (report.resumed > 0) {
    lines.push(`  resumed  ${report.resumed} tensors were finished before, and verified`);
  }
  lines.push(tookLine(report));
  return `${lines.join("\n")}\n`;
}

/** One document. */
export function convertJson(report: ConvertReport): string {
  return json({
    command: "convert",
    outcome: report.outcome,
    dtype: report.dtype,
    output: report.output,
    files: report.files,
    overflow: [...report.overflow].map(([name, count]) => ({ name, count })),
    tensors: report.tensors,
    ...performanceJson(report),
  });
}
