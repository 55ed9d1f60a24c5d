/** What recover, make-diff and convert print about a plan, or about one part of it. */
import type { MakingReport } from "../../make/recipe.js";
import type { PlannedWork } from "../../make/work.js";
import { bytesText } from "../../run/preflight.js";
import type { Look } from "../flags/flag.js";
import { json, performanceJson } from "./json.js";
import { pairsText } from "./table.js";
import { countText, filesText, resumedLines, tookLine } from "./text.js";

/** The options for printing a plan: nothing but the plan is made. */
export function planned({ plan }: Look): { readonly dryRun?: true; readonly parts?: number } {
  return plan === undefined ? {} : { dryRun: true, parts: plan };
}

type Divided = Pick<MakingReport, "work" | "part" | "output"> & Parameters<typeof performanceJson>[0];

/** The text or the document. Null if the whole output was made, or if it was a plain dry run. */
export function dividedText(report: Divided, command: string, { format, plan }: Look): string | null {
  const asJson = format === "json";
  if (report.part !== undefined) {
    return asJson ? partJson(report, command) : partText(report);
  }
  const { work } = report;
  return plan === undefined || work === undefined
    ? null
    : asJson
      ? planJson(work, command, report.output)
      : planText(work, report.output);
}

function partText(report: Divided): string {
  const { index = 0, count = 1, files = [], tensors = 0 } = report.part ?? {};
  const made = files.length === 0 ? "nothing to make" : `${countText(tensors, "tensor")}, ${filesText(files)}`;
  const headline = `part ${index}/${count} of ${report.output} is finished: ${made}`;
  return `${[headline, ...resumedLines(report.resumed), tookLine(report)].join("\n")}\n`;
}

function partJson(report: Divided, command: string): string {
  const { output, part } = report;
  return json({ command, outcome: "part", output, part: part ?? null, ...performanceJson(report) });
}

function planText(work: PlannedWork, output: string | null): string {
  const parts = work.parts.map(({ index, files, bytesRead, bytesWritten }): [string, string] => [
    `${index}/${work.parts.length}`,
    `${countText(files.length, "file")}, reads ${bytesText(bytesRead)}, writes ${bytesText(bytesWritten)}`,
  ]);
  return `${[
    `would write ${output ?? "nothing"}: ${countText(work.tensors.length, "tensor")}, ${filesText(work.files)}`,
    `  digest   ${work.digest}`,
    `  reads    ${bytesText(work.bytesRead)}`,
    `  disk     ${bytesText(work.disk)}`,
    ...(work.parts.length === 1 ? [] : ["  parts", ...pairsText(parts, 100)]),
  ].join("\n")}\n`;
}

function planJson(work: PlannedWork, command: string, output: string | null): string {
  return json({
    command,
    outcome: "planned",
    output,
    digest: work.digest,
    bytes_read: work.bytesRead,
    bytes_written: work.bytesWritten,
    disk: work.disk,
    parts: work.parts.map(({ index, count, files, bytesRead, bytesWritten }) => ({
      ...{ part: `${index}/${count}`, files, bytes_read: bytesRead, bytes_written: bytesWritten },
    })),
    files: work.files,
    tensors: work.tensors,
  });
}
