/** chain inspect: from its flags' options to what a chain holds, as a table or JSON. */
import { type ChainInspectReport, chainInspect, type InspectedVersion } from "../../commands/chain/inspect.js";
import { printable } from "../../formats/quote.js";
import { bytesText } from "../../run/preflight.js";
import type { Asked } from "../flags/flag.js";
import { json } from "../output/json.js";
import { tableText } from "../output/table.js";
import { countText, lineText } from "../output/text.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["chain-inspect"],
  { signal }: During,
  print: (text: string) => void,
  library = { chainInspect },
): Promise<number> {
  const report = await library.chainInspect({ ...options, signal });
  print(look.format === "json" ? json({ command: "chain inspect", ...report }) : inspectText(report));
  return 0;
}

function inspectText({ path, layout, versions, way, fault, pointer, notes }: ChainInspectReport): string {
  const head = ["version", "kind", "made on", "encoding", "checksum", "tensors", "size", ""];
  const lines = [
    `${printable(path)}: a chain of ${countText(versions.length, "version")}, in the layout of ${layout}`,
    ...tableText([head, ...versions.map(row)]).map((line) => `  ${line}`),
  ];
  if (pointer !== null) {
    lines.push(`  ${layout === "stitch" ? "pointer" : "named  "}  version ${pointer}`);
  }
  if (way !== null) {
    const start = way.start === null ? "the base" : `version ${way.start}`;
    const steps = way.steps.length === 0 ? "" : `, then ${way.steps.join(", ")}`;
    lines.push(`  way      ${start}${steps}: ${bytesText(way.bytes)}`);
  }
  if (fault !== null) {
    lines.push(`  no way   ${faultText(fault)}`);
  }
  lines.push(...notes.map((note) => `  note     ${lineText(note)}`));
  return `${lines.join("\n")}\n`;
}

function row({
  version,
  kind,
  base,
  encoding,
  checksum,
  tensors,
  bytes,
  complete,
  fault,
}: InspectedVersion): readonly string[] {
  return [
    printable(version),
    kind ?? (complete ? "unusable" : "unfinished"),
    base === null ? "" : String(base),
    printable(encoding ?? ""),
    printable(checksum ?? ""),
    kind === null ? "" : String(tensors),
    kind === null ? "" : bytesText(bytes),
    fault === null ? "" : faultText(fault),
  ];
}

function faultText({ why, message }: NonNullable<InspectedVersion["fault"]>): string {
  return `${why === null ? "" : `${why}: `}${lineText(message)}`;
}
