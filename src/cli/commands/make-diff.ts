/** make-diff: from its flags' options to the diff, published if asked, and the result as text or JSON. */
import { type MakeDiffReport, makeDiff } from "../../commands/make-diff.js";
import { openTarget } from "../../commands/push/target.js";
import { push } from "../../commands/push.js";
import { printable } from "../../formats/quote.js";
import { bytesText } from "../../run/preflight.js";
import type { Asked } from "../flags/flag.js";
import { dividedText, planned } from "../output/divided.js";
import { json, performanceJson } from "../output/json.js";
import { pushFields, pushText } from "../output/push-report.js";
import { countText, filesText, placeText, tookLine } from "../output/text.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, push: publish, ...options }: Asked["make-diff"],
  during: During,
  print: (text: string) => void,
  library = { makeDiff, openTarget, push },
): Promise<number> {
  const asJson = look.format === "json";
  const target = publish === undefined ? null : { ...publish, hub: options.hub };
  if (target !== null) {
    // Reports obstacles to publishing before the work, not after an hour of it.
    await library.openTarget({ ...target, signal: during.signal, onWarning: during.onWarning });
  }
  const report = await library.makeDiff({ ...options, ...planned(look), ...during });
  const divided = dividedText(report, "make-diff", look);
  if (divided !== null) {
    print(divided);
    return 0;
  }
  if (!asJson) {
    print(makeDiffText(report));
  }
  const publishes = target !== null && report.output !== null && report.outcome !== "planned";
  const pushed = publishes ? await library.push({ ...target, ...during, path: report.output }) : null;
  if (asJson) {
    print(makeDiffJson(report, pushed === null ? null : pushFields(pushed)));
  } else if (pushed !== null) {
    print(pushText(pushed));
  }
  return 0;
}

/** The result of make-diff in a few lines. */
export function makeDiffText(report: MakeDiffReport): string {
  const headlines = {
    made: `made a diff of ${report.tensors} tensors ${placeText(report.output)}`,
    checked: `made a diff of ${report.tensors} tensors; nothing was written (no --path_diff)`,
    planned: `would write ${report.output ?? "nothing (no --path_diff)"}`,
    verified: `${report.output} is finished already: verified against weight-diff.json`,
    part: "",
  } as const;
  const size = report.files.reduce((sum, file) => sum + file.size, 0);
  const files = report.output === null ? `  size     ${bytesText(size)}` : `  files    ${filesText(report.files)}`;
  const lines = [headlines[report.outcome], `  encoding ${report.encoding}`, files];
  if (report.outcome === "made" || report.outcome === "checked") {
    lines.push(`  proof    ${proofText(report)}`, tookLine(report));
  }
  if (report.signature !== undefined) {
    const { files: signed, path, key } = report.signature;
    lines.splice(3, 0, `  signed   ${countText(signed, "file")} in ${printable(path)}, key ${key}`);
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

/** The result of make-diff for scripts. @param pushed the result of publishing, if that was asked for. */
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
    ...(report.signature === undefined ? {} : { signature: report.signature }),
    ...performanceJson(report),
    ...(pushed === null ? {} : { push: pushed }),
  });
}
