/** What chain fold and chain make print about the version that they write. */
import type { UpdateReport } from "../../commands/chain/update-recipe.js";
import { performanceJson } from "./json.js";
import { countText, filesText, tookLine } from "./text.js";

/** The result in a few lines. @param done "folded" or "made". */
export function updateText(report: UpdateReport, done: string): string {
  const { outcome, output, version, baseVersion, encoding, checksum, tensors, files } = report;
  const what = encoding === null ? `version ${version}, a full one` : `version ${version} on ${baseVersion}`;
  const headlines = {
    made: `${done} ${what} in ${output}`,
    planned: `would write ${what} to ${output}`,
    verified: `${output} is finished already: its files are what weight-diff.json says`,
  } as const;
  const changed = countText(tensors, "tensor");
  const lines: string[] = [headlines[outcome]];
  if (encoding !== null) {
    const some = outcome === "planned" ? `${changed} at most` : `${changed} changed`;
    const how = encoding === "exact-compressed" ? encoding : `${encoding}, zstd`;
    lines.push(`  update   ${how}, ${checksum}: ${some}`);
  }
  if (outcome !== "planned") {
    lines.push(`  files    ${filesText(files)}`);
    lines.push(tookLine(report));
  }
  return `${lines.join("\n")}\n`;
}

/** The result as one document. */
export function updateJson(report: UpdateReport, command: string): Record<string, unknown> {
  const { outcome, output, version, baseVersion, encoding, checksum, tensors, files } = report;
  return {
    ...{ command, outcome, output, version, base_version: baseVersion, encoding, checksum },
    ...{ changed_tensors: tensors, files },
    ...performanceJson(report),
  };
}
