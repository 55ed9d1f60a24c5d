/** recover: from its flags' options to the model, and the result as text or JSON. */

import type { RecoverReport } from "../../commands/recover/report.js";
import { recover } from "../../commands/recover.js";
import { type TryReport, tryModel } from "../../commands/try.js";
import { EXIT_CODES } from "../../errors.js";
import { STREAM } from "../../files/pipe.js";
import { dtypeName, torchName } from "../../formats/dtype.js";
import { bytesText } from "../../run/preflight.js";
import { sumText } from "../../sums/judge.js";
import type { Asked } from "../flags/flag.js";
import { materializeJson, materializeText } from "../output/chain-text.js";
import { dividedText, planned } from "../output/divided.js";
import { finite, json, performanceJson } from "../output/json.js";
import {
  digestsText,
  filesText,
  finishedText,
  placeText,
  recordsText,
  resumedLines,
  tookLine,
} from "../output/text.js";
import { tryDocument } from "../output/try-text.js";
import { xorJson, xorText } from "../output/xor-report.js";
import type { During } from "./story.js";
import { testRecovered } from "./test-inference.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, testInference, ...options }: Asked["recover"],
  during: During,
  print: (text: string) => void,
  library = { recover, tryModel },
): Promise<number> {
  const report = await library.recover({ ...options, ...planned(look), ...during });
  const asJson = look.format === "json";
  const divided = dividedText(report, "recover", look);
  if (divided !== null || !asJson) {
    print(divided ?? shown(report, asJson));
  }
  if (testInference === undefined && options.expectSum === "known" && report.outcome === "recovered") {
    during.onNote("--test_inference: off, unlike the scripts'; True runs the recovered model");
  }
  const tested =
    testInference === true ? await testRecovered(report, options, during, asJson ? null : print, library) : null;
  if (divided === null && asJson) {
    print(testInference === true ? withTest(shown(report, asJson), tested) : shown(report, asJson));
  }
  if (report.part !== undefined) {
    return 0;
  }
  if (options.expectSum === "known" && report.sumCheck === null && report.outcome !== "planned") {
    during.onNote("--check_integrity_naively: no sum was published for this diff: computed, not compared");
  }
  return report.sumCheck?.verdict === "fail" || tested?.verdict.failed === true ? EXIT_CODES.CHECK_FAILED : 0;
}

/** The document of the run, with the result of the test: null if it could not be run. */
function withTest(document: string, tested: TryReport | null): string {
  return json({ ...JSON.parse(document), test_inference: tested === null ? null : tryDocument(tested) });
}

/** The result for a diff of tensors, of whole files, or of a chain. */
function shown(report: RecoverReport, asJson: boolean): string {
  const { xor, chain, outcome, work: _, part: __, ...rest } = report;
  if (xor !== undefined) {
    return (asJson ? xorJson : xorText)(xor, "recover");
  }
  if (chain !== undefined && outcome !== "part") {
    const made = { ...rest, chain, outcome };
    return asJson
      ? json({
          scheme: report.scheme,
          scheme_reason: report.schemeReason,
          ...materializeJson(made, "recover"),
        })
      : materializeText(made);
  }
  return (asJson ? recoverJson : recoverText)(report);
}

/** The result of recover in a few lines. */
export function recoverText(report: RecoverReport): string {
  const dtype = dtypeText(report.dtype);
  const lines = [headline(report, dtype)];
  lines.push(`  scheme   ${report.scheme}: ${report.schemeReason}`);
  if (report.outcome === "planned") {
    lines.push(...writes(report), `  reads    ${bytesText(report.bytesRead)}`);
    return `${lines.join("\n")}\n`;
  }
  if (report.output !== null) {
    lines.push(`  files    ${filesText(report.files)}`);
  }
  lines.push(`  checked  ${checks(report)}`);
  if (report.sums !== null) {
    const [sum, whole] = [sumText(report.sums.withoutInvFreq), sumText(report.sums.withInvFreq)];
    lines.push(`  sum      ${sum}${whole === sum ? "" : `, with inv_freq ${whole}`}`);
  }
  if (report.sumCheck !== null) {
    const { verdict, expected, found, reason } = report.sumCheck;
    lines.push(`  verdict  ${verdict.replaceAll("-", " ")}: sum ${sumText(found)}, expected ${expected}: ${reason}`);
  }
  lines.push(...resumedLines(report.resumed), tookLine(report));
  return `${lines.join("\n")}\n`;
}

function writes({ output, files }: RecoverReport): readonly string[] {
  return output === null ? [] : [`  writes   ${filesText(files)}`];
}

function dtypeText(dtype: RecoverReport["dtype"]): string {
  return dtype === null ? "the tuned model's own dtypes" : dtypeName(dtype);
}

function headline(report: RecoverReport, dtype: string): string {
  const count = `${report.tensors.length} tensors`;
  const texts = {
    recovered: `recovered ${count} as ${dtype} ${placeText(report.output)}`,
    checked: `computed ${count} as ${dtype}; nothing was written (no --path_tuned)`,
    planned: `would write ${report.output ?? "nothing (no --path_tuned)"} as ${dtype}`,
    verified: finishedText(report.output, count),
    part: "",
  } as const;
  return texts[report.outcome];
}

function checks(report: RecoverReport): string {
  const digests = digestsText("tensor", report.outcome === "recovered" && report.output !== STREAM);
  return report.outcome === "verified"
    ? digests
    : [
        "every name and shape paired",
        ...recordsText(report.records, ".bin record"),
        "inputs unchanged during the run",
        digests,
      ].join("; ");
}

/** The result of recover for scripts. */
export function recoverJson(report: RecoverReport): string {
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
