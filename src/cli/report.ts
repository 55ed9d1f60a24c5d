/** What the user reads: results as text or JSON on stdout, all else on stderr (DESIGN 6). */

import type { MakeDiffReport } from "../commands/make-diff.js";
import type { RecoverReport } from "../commands/recover/report.js";
import { torchName } from "../formats/dtype.js";
import { printable } from "../formats/quote.js";
import { bytesText } from "../run/preflight.js";
import type { RunFigures } from "../run/run-plan.js";

/** recover's result in a few lines. */
export function recoverText(report: RecoverReport): string {
  const dtype = dtypeText(report.dtype);
  const size = report.files.reduce((sum, file) => sum + file.size, 0);
  const files = report.files.length === 1 ? (report.files[0]?.file ?? "") : `${report.files.length} files`;
  const lines = [headline(report, dtype)];
  lines.push(`  scheme   ${report.scheme}: ${report.schemeReason}`);
  if (report.outcome === "planned") {
    lines.push(`  writes   ${files}, ${bytesText(size)}`, `  reads    ${bytesText(report.bytesRead)}`);
    return `${lines.join("\n")}\n`;
  }
  if (report.output !== null) {
    lines.push(`  files    ${files}, ${bytesText(size)}`);
  }
  lines.push(`  checked  ${checks(report)}`);
  if (report.sums !== null) {
    lines.push(`  sum      ${sumText(report.sums.withoutInvFreq)}, with inv_freq ${sumText(report.sums.withInvFreq)}`);
  }
  if (report.sumCheck !== null) {
    const { verdict, expected, found, reason } = report.sumCheck;
    lines.push(`  verdict  ${verdict.replaceAll("-", " ")}: sum ${sumText(found)}, expected ${expected}: ${reason}`);
  }
  if (report.resumed > 0) {
    lines.push(`  resumed  ${report.resumed} tensors were finished before, and verified`);
  }
  lines.push(tookLine(report));
  return `${lines.join("\n")}\n`;
}

function dtypeText(dtype: RecoverReport["dtype"]): string {
  return dtype === null ? "the tuned model's own dtypes" : (torchName(dtype) ?? dtype);
}

function headline(report: RecoverReport, dtype: string): string {
  const count = `${report.tensors.length} tensors`;
  const texts = {
    recovered: `recovered ${count} as ${dtype} in ${report.output}`,
    checked: `computed ${count} as ${dtype}; nothing was written (no --path_tuned)`,
    planned: `would write ${report.output ?? "nothing (no --path_tuned)"} as ${dtype}`,
    verified: `${report.output} is finished already: ${count} verified against weight-diff.json`,
  } as const;
  return texts[report.outcome];
}

function checks(report: RecoverReport): string {
  const digests =
    report.outcome === "recovered" ? "sha256 of every tensor in weight-diff.json" : "sha256 of every tensor";
  return report.outcome === "verified"
    ? digests
    : `every name and shape paired; CRC-32 of every .bin record read; inputs unchanged during the run; ${digests}`;
}

/** As many digits as an F32 has. */
function sumText(sum: number): string {
  return Number.isFinite(sum) ? String(Number(sum.toPrecision(9))) : String(sum);
}

/** recover's result for scripts. */
export function recoverJson(report: RecoverReport): string {
  const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
  return json({
    command: "recover",
    outcome: report.outcome,
    scheme: report.scheme,
    scheme_reason: report.schemeReason,
    dtype: report.dtype === null ? null : torchName(report.dtype),
    output: report.output,
    files: report.files,
    new_rows: [...report.newRows].map(([name, rows]) => ({ name, rows })),
    sums:
      report.sums === null
        ? null
        : { without_inv_freq: finite(report.sums.withoutInvFreq), with_inv_freq: finite(report.sums.withInvFreq) },
    sum_check:
      report.sumCheck === null
        ? null
        : {
            verdict: report.sumCheck.verdict,
            expected: report.sumCheck.expected,
            found: finite(report.sumCheck.found),
            includes_inv_freq: report.sumCheck.includesInvFreq,
            reason: report.sumCheck.reason,
          },
    overflow: [...report.overflow].map(([name, count]) => ({ name, count })),
    tensors: report.tensors,
    ...performanceJson(report),
  });
}

/** make-diff's result in a few lines. */
export function makeDiffText(report: MakeDiffReport): string {
  const size = report.files.reduce((sum, file) => sum + file.size, 0);
  const files = report.files.length === 1 ? (report.files[0]?.file ?? "") : `${report.files.length} files`;
  const headlines = {
    made: `made a diff of ${report.tensors} tensors in ${report.output}`,
    checked: `made a diff of ${report.tensors} tensors; nothing was written (no --path_diff)`,
    planned: `would write ${report.output ?? "nothing (no --path_diff)"}`,
    verified: `${report.output} is finished already: verified against weight-diff.json`,
  } as const;
  const lines = [headlines[report.outcome], `  encoding ${report.encoding}`, `  files    ${files}, ${bytesText(size)}`];
  if (report.outcome === "made" || report.outcome === "checked") {
    lines.push(`  proof    ${proofText(report)}`, tookLine(report));
  }
  return `${lines.join("\n")}\n`;
}

function proofText({ inexact, elements, encoding }: MakeDiffReport): string {
  if (inexact.size === 0) {
    return `applied again at once: all ${elements} elements come back bit for bit`;
  }
  const total = [...inexact.values()].reduce((sum, count) => sum + count, 0);
  const worst = [...inexact].sort(([, a], [, b]) => b - a).slice(0, 3);
  const named = worst.map(([name, count]) => `${printable(name)} ${count}`).join(", ");
  const remedy = encoding === "additive" ? "; --encoding exact brings back every bit" : "";
  return `applied again at once: ${total} of ${elements} elements in ${inexact.size} tensors come back with other bits (most: ${named})${remedy}`;
}

/** make-diff's result for scripts. @param pushed what publishing it gave, where that was asked for. */
export function makeDiffJson(report: MakeDiffReport, pushed: object | null = null): string {
  return json({
    command: "make-diff",
    outcome: report.outcome,
    encoding: report.encoding,
    output: report.output,
    files: report.files,
    tensors: report.tensors,
    elements: report.elements,
    inexact: [...report.inexact].map(([name, count]) => ({ name, count })),
    new_rows: [...report.newRows].map(([name, rows]) => ({ name, rows })),
    ...performanceJson(report),
    ...(pushed === null ? {} : { push: pushed }),
  });
}

export function tookLine(report: RunFigures): string {
  const moved = report.bytesRead + report.bytesWritten;
  return `  took     ${report.seconds.toFixed(2)} s: read ${bytesText(report.bytesRead)}, wrote ${bytesText(report.bytesWritten)}, ${(moved / report.seconds / 1e9).toFixed(2)} GB/s, peak memory ${bytesText(report.peakBytes)}`;
}

export function performanceJson(report: RunFigures) {
  return {
    bytes_read: report.bytesRead,
    bytes_written: report.bytesWritten,
    seconds: report.seconds,
    bytes_per_second: Math.round((report.bytesRead + report.bytesWritten) / report.seconds),
    peak_memory_bytes: report.peakBytes,
    threads: report.threads,
    resumed_tensors: report.resumed,
  };
}

/** One document, for scripts. */
export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
