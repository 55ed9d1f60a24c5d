/** One table in Markdown, as it goes into the README. */
import { type Cost, median, ratio } from "./measure.js";

export type Print = (text: string) => void;

export function table(
  print: Print,
  title: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (cells[column] ?? "").padEnd(width)).join(" | ")} |`;
  print([`\n${title}\n`, line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n"));
}

/** Medians of each rival; the last columns set its wall against the first rival's, round by round. */
export function costTable(print: Print, title: string, costs: ReadonlyMap<string, readonly Cost[]>): void {
  const [first = []] = costs.values();
  const rows = [...costs].map(([name, all]) => {
    const { wall, user, system, peak, others } = median(all);
    const relations = all === first ? [] : [ratio(first, all).toFixed(2), ratio(all, first).toFixed(2)];
    return [name, seconds(wall), seconds(user), seconds(system), megabytes(peak), percent(others), ...relations];
  });
  table(print, title, ["", "wall s", "user s", "sys s", "peak MB", "others", "first / this", "this / first"], rows);
}

export const seconds = (value: number): string => value.toFixed(2);
export const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
export const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
