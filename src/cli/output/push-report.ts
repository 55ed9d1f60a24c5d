/** push's result: a line for every file, or a document for scripts. */

import type { PushReport } from "../../commands/push.js";
import { printable } from "../../formats/quote.js";
import { bytesText } from "../../run/preflight.js";
import { json } from "./json.js";
import { countText } from "./text.js";

/** What was sent where, with every file's sha256. */
export function pushText(report: PushReport): string {
  const { files, outcome, url, repo, branch, created, commit, bytesSent, seconds } = report;
  const changed = files.filter(({ change }) => change !== "same").length;
  const headlines = {
    pushed: `pushed ${countText(changed, "file")} to ${url}`,
    planned: `would push ${changed} of ${countText(files.length, "file")} to ${url}${report.commit === null ? ", a new repository" : ""}`,
    unchanged: `${url} has all ${countText(files.length, "file")} already`,
  } as const;
  const visibility = report.private === null ? "" : `, ${report.private ? "private" : "public"}`;
  const width = files.reduce((widest, { change }) => Math.max(widest, change.length), 0);
  return `${[
    headlines[outcome],
    `  branch   ${printable(branch)} of ${repo}${created ? ", made now" : ""}${visibility}`,
    ...(commit === null ? [] : [`  commit   ${commit}`]),
    ...files.map(
      ({ file, size, sha256, change }) =>
        `  ${change.padEnd(width)} ${printable(file)}, ${bytesText(size)}, sha256 ${sha256}`,
    ),
    `  took     ${seconds.toFixed(2)} s: sent ${bytesText(bytesSent)}`,
  ].join("\n")}\n`;
}

/** The document for scripts. */
export function pushJson(report: PushReport): string {
  return json({ command: "push", ...pushFields(report) });
}

export function pushFields(report: PushReport) {
  const { outcome, repo, branch, url, created, commit, files, bytesSent, seconds } = report;
  return {
    outcome,
    repo,
    branch,
    url,
    created,
    private: report.private,
    commit,
    files,
    bytes_sent: bytesSent,
    seconds,
  };
}
