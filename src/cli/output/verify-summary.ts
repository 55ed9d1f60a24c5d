/** verify's result in Markdown, as GitHub and GitLab show it: the verdict, what was checked, and the findings. */
import type { VerifyReport } from "../../commands/verify.js";
import { escapeUnsafe, printable } from "../../formats/quote.js";
import { bytesText } from "../../run/preflight.js";

/** The page shows no more findings than this; the log has all. */
const MOST_FINDINGS = 100;

/** @param checked the evidence for the verdict, in words. */
export function verifyMarkdown(report: VerifyReport, checked: string): string {
  const { path, verdict, identity, files, tensors, findings, bytesRead, seconds } = report;
  const kind = identity.kind === null ? "checkpoint" : identity.kind === "full" ? "full model" : "diff";
  const shown = findings.slice(0, MOST_FINDINGS);
  const more = findings.length - shown.length;
  return [
    `### weight-diff verify: ${verdict}`,
    "",
    ...table([
      ["checkpoint", "kind", "files", "tensors", "checked", "read"],
      [
        printable(path),
        kind,
        String(files),
        String(tensors),
        checked,
        `${bytesText(bytesRead)} in ${seconds.toFixed(2)} s`,
      ],
    ]),
    "",
    ...(shown.length === 0
      ? ["Nothing was found."]
      : table([
          ["level", "check", "file", "tensor", "found"],
          ...shown.map(({ level, check, file, tensor, message }) => [
            level,
            check,
            printable(file ?? ""),
            printable(tensor ?? ""),
            message,
          ]),
        ])),
    ...(more > 0 ? ["", `… and ${more} more`] : []),
    "",
    "",
  ].join("\n");
}

function table([head = [], ...rows]: readonly (readonly string[])[]): readonly string[] {
  return [head, head.map(() => "---"), ...rows.map((row) => row.map(cell))].map((row) => `| ${row.join(" | ")} |`);
}

/** Names come from other people's files, so every character with a meaning in Markdown or HTML is escaped. */
function cell(text: string): string {
  return escapeUnsafe(text.replaceAll(/\s+/g, " "))
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(/[\\`*_{}[\]()#+!|~>@:-]/g, (character) => `&#${character.codePointAt(0)};`);
}
