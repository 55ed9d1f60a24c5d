/** convert: from its flags' options to the converted model, and the result as text or JSON. */
import { type ConvertReport, convert } from "../../commands/convert.js";
import { STREAM } from "../../files/pipe.js";
import { bytesText } from "../../run/preflight.js";
import type { Asked } from "../flags/flag.js";
import { dividedText, planned } from "../output/divided.js";
import { json, performanceJson } from "../output/json.js";
import {
  digestsText,
  filesText,
  finishedText,
  placeText,
  recordsText,
  resumedLines,
  tookLine,
} from "../output/text.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["convert"],
  during: During,
  print: (text: string) => void,
  library = { convert },
): Promise<number> {
  const report = await library.convert({ ...options, ...planned(look), ...during });
  print(dividedText(report, "convert", look) ?? (look.format === "json" ? convertJson : convertText)(report));
  return 0;
}

/** The result in a few lines. */
export function convertText(report: ConvertReport): string {
  const count = `${report.tensors.length} tensors`;
  const headlines = {
    converted: `converted ${count} as ${report.dtype} ${placeText(report.output)}`,
    planned: `would write ${report.output} as ${report.dtype}`,
    verified: finishedText(report.output, count),
    part: "",
  } as const;
  const lines = [headlines[report.outcome], `  files    ${filesText(report.files)}`];
  if (report.outcome === "planned") {
    lines.push(`  reads    ${bytesText(report.bytesRead)}`);
    return `${lines.join("\n")}\n`;
  }
  const checked = [...recordsText(report.records, "record"), digestsText("tensor", report.output !== STREAM)];
  lines.push(`  checked  ${checked.join("; ")}`, ...resumedLines(report.resumed), tookLine(report));
  return `${lines.join("\n")}\n`;
}

/** The result as one document. */
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
