/** verify: from its flags' options to the findings: as a table, as JSON, or as annotations in GitHub's workflows. */
import { join } from "node:path";
import { type VerifyReport, verify } from "../../commands/verify.js";
import { EXIT_CODES } from "../../errors.js";
import { appendText } from "../../files/append.js";
import type { Finding } from "../../finding.js";
import { printable } from "../../formats/quote.js";
import { bytesText } from "../../run/preflight.js";
import type { Asked } from "../flags/flag.js";
import { finite, json } from "../output/json.js";
import { printableText } from "../output/printable.js";
import { tableText } from "../output/table.js";
import { countText, lineText } from "../output/text.js";
import { verifyMarkdown } from "../output/verify-summary.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["verify"],
  { signal, onProgress }: During,
  print: (text: string) => void,
  library = { verify },
): Promise<number> {
  const { summary: file } = look;
  if (file !== undefined) {
    await appendText(file, ""); // a file that cannot be written is told at once
  }
  const report = await library.verify({ ...options, signal, onProgress });
  if (file !== undefined) {
    // Before the result is printed: stdout has the result or the error, not both.
    await appendText(file, printableText(verifyMarkdown(report, evidence(report))));
  }
  print(FORMATS[look.format ?? "text"](report));
  return report.verdict === "failed" ? EXIT_CODES.CHECK_FAILED : 0;
}

const FORMATS = { text: verifyText, json: verifyJson, github: verifyGithub } as const;

/** One line for each finding, then a summary. */
function verifyText(report: VerifyReport): string {
  const rows = report.findings.map(({ level, check, file, tensor, message }) => [
    level,
    check,
    ...[[file, tensor].flatMap((part) => (part === null ? [] : [printable(part)])).join(" ") || printable(report.path)],
    lineText(message),
  ]);
  return `${[...tableText(rows), summary(report)].join("\n")}\n`;
}

/** The verdict, what it covers, and the evidence. */
function summary(report: VerifyReport): string {
  const { identity, findings, files, tensors, comparison, whole } = report;
  const count = (level: Finding["level"], one: string): string[] => {
    const found = findings.filter((finding) => finding.level === level).length;
    return found === 0 ? [] : [countText(found, one)];
  };
  const faults = [...count("error", "error"), ...count("warning", "warning")].join(", ");
  const what = identity.kind === "diff" ? "diff" : identity.kind === "full" ? "full model" : "checkpoint";
  const inside = `${what} of ${countText(tensors, "tensor")} in`;
  const about = `${whole ? "XOR payload of" : inside} ${countText(files, "file")}`;
  return [
    `${report.verdict}: ${printable(report.path)}: ${about}${faults === "" ? "" : `: ${faults}`}`,
    `  checked  ${evidence(report)}`,
    ...(comparison === null
      ? []
      : [
          `  against  ${printable(comparison.other)}: ${SAMENESS[comparison.verdict]}, ${comparedText(comparison.tensors)}`,
        ]),
    `  took     ${report.seconds.toFixed(2)} s: read ${bytesText(report.bytesRead)}`,
  ].join("\n");
}

/** Tensors whose shapes or dtypes differ have no values to compare. */
function comparedText(tensors: NonNullable<VerifyReport["comparison"]>["tensors"]): string {
  const compared = tensors.filter(({ reason }) => reason === null).length;
  return compared === tensors.length
    ? `${countText(compared, "tensor")} compared`
    : `${compared} of ${countText(tensors.length, "tensor")} could be compared`;
}

const SAMENESS = { identical: "identical", rounded: "equal after rounding", different: "different" } as const;

function evidence({ manifest, recovered, sumCheck, read, whole, signature }: VerifyReport): string {
  return [
    read && manifest !== null
      ? `${whole ? "" : "structure, values, "}digests of ${printable(manifest)}`
      : read
        ? "structure only: no digests to check against; values"
        : "structure",
    ...(signature === undefined
      ? []
      : [`signature of ${countText(signature.files, "file")} by key ${signature.key.slice(0, 16)}…`]),
    ...(recovered === null ? [] : [recoveredText(recovered)]),
    ...(sumCheck === null ? [] : [`sum: ${sumCheck.verdict.replaceAll("-", " ")}`]),
  ].join("; ");
}

function recoveredText({ compared, tensors }: NonNullable<VerifyReport["recovered"]>): string {
  return compared === 0 ? `${tensors} tensors recovered, none compared` : `${compared} of ${tensors} recovered tensors`;
}

/** The document for scripts. */
function verifyJson(report: VerifyReport): string {
  const { sums, sumCheck, comparison } = report;
  return json({
    command: "verify",
    path: report.path,
    sound: report.sound,
    verdict: report.verdict,
    kind: report.identity.kind,
    kind_reason: report.identity.reason,
    coverage: report.manifest !== null ? "digests" : "structure only",
    manifest: report.manifest,
    files: report.files,
    tensors: report.tensors,
    findings: report.findings,
    sums:
      sums === null ? null : { without_inv_freq: finite(sums.withoutInvFreq), with_inv_freq: finite(sums.withInvFreq) },
    sum_check:
      sumCheck === null
        ? null
        : {
            verdict: sumCheck.verdict,
            known: sumCheck.known,
            source: sumCheck.source,
            expected: sumCheck.expected,
            found: finite(sumCheck.found),
            includes_inv_freq: sumCheck.includesInvFreq,
            reason: sumCheck.reason,
          },
    recovered: report.recovered,
    ...(report.signature === undefined ? {} : { signature: report.signature }),
    comparison:
      comparison === null
        ? null
        : {
            other: comparison.other,
            verdict: comparison.verdict,
            only_here: comparison.onlyHere,
            only_there: comparison.onlyThere,
            buffers_on_one_side: comparison.buffers,
            tensors: comparison.tensors.map(({ name, verdict, reason, different, elements, maxDifference }) => ({
              name,
              verdict,
              reason,
              different,
              elements,
              max_difference: finite(maxDifference),
            })),
          },
    bytes_read: report.bytesRead,
    seconds: report.seconds,
  });
}

const COMMANDS = { error: "error", warning: "warning", note: "notice" } as const;

/** Workflow commands (docs.github.com, "Workflow commands", "Setting an error message"). The summary is ordinary log text. */
function verifyGithub(report: VerifyReport): string {
  const lines = report.findings.map(({ level, check, file, tensor, message }) => {
    const place = file === null ? report.path : join(report.path, file);
    const title = `weight-diff verify: ${check}`;
    const text = tensor === null ? message : `tensor ${printable(tensor)}: ${message}`;
    return `::${COMMANDS[level]} file=${escapeProperty(place)},title=${escapeProperty(title)}::${escapeData(text)}`;
  });
  return `${[...lines, summary(report)].join("\n")}\n`;
}

function escapeData(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
