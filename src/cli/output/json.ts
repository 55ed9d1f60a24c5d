/** Results for scripts: one JSON document each. */
import type { RunFigures } from "../../run/run-plan.js";

export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** JSON has no infinities and no NaN, so these become null. */
export function finite(value: number | null): number | null {
  return value !== null && Number.isFinite(value) ? value : null;
}

/** The figures that every run reports. */
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
