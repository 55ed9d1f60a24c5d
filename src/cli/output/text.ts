/** Words that the results of several commands share. */
import { STREAM } from "../../files/pipe.js";
import type { RecordCount } from "../../plan/operands.js";
import { bytesText } from "../../run/preflight.js";
import type { RunFigures } from "../../run/run-plan.js";

/** A message in one line, in full. Names in it are quoted already, and what leaves the program is escaped. */
export function lineText(message: string): string {
  return message.replaceAll(/\s*\n\s*/g, " ");
}

/** For example "3 files". */
export function countText(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? "" : "s"}`;
}

/** For example "in my-model", or "on stdout". */
export function placeText(output: string | null): string {
  return output === STREAM ? "on stdout" : `in ${output}`;
}

/** For example "model.safetensors, 669 kB" or "3 files, 13.5 GB". */
export function filesText(files: readonly { readonly file: string; readonly size: number }[]): string {
  const [first] = files;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  return `${files.length === 1 && first !== undefined ? first.file : `${files.length} files`}, ${bytesText(size)}`;
}

/** What the checksums in torch's files prove. Empty if no file that was read has any. */
export function recordsText({ checked, unchecked }: RecordCount, records: string): readonly string[] {
  return checked === 0
    ? []
    : [unchecked === 0 ? `CRC-32 of every ${records} read` : `CRC-32 of the ${checked} ${records}s that state one`];
}

/** What was finished by the run before. Empty if this run did it all. */
export function resumedLines(resumed: number): readonly string[] {
  return resumed === 0 ? [] : [`  resumed  ${resumed} tensors were finished before, and verified`];
}

/** The headline for an output that was complete before the run. @param what it has, for example "21 tensors". */
export function finishedText(output: string | null, what: string): string {
  return `${output} is finished already: ${what} verified against weight-diff.json`;
}

/** Which digests were made, and where they are. @param kept are they in the output's manifest? */
export function digestsText(what: "tensor" | "file", kept: boolean): string {
  return `sha256 of every ${what}${kept ? " in weight-diff.json" : ""}`;
}

/** Time, traffic and memory of a run. */
export function tookLine(report: RunFigures): string {
  const moved = report.bytesRead + report.bytesWritten;
  return `  took     ${report.seconds.toFixed(2)} s: read ${bytesText(report.bytesRead)}, wrote ${bytesText(report.bytesWritten)}, ${bytesText(Math.round(moved / report.seconds))}/s, peak memory ${bytesText(report.peakBytes)}`;
}
