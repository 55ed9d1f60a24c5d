/** inspect: from its flags' options to what a checkpoint is: one screen, with the tensors if asked for, or JSON. */

import type { CodedShare, CodedShares } from "../../commands/inspect/coded.js";
import { type InspectReport, inspect } from "../../commands/inspect.js";
import { printable } from "../../formats/quote.js";
import { bytesText } from "../../run/preflight.js";
import type { Asked } from "../flags/flag.js";
import { json } from "../output/json.js";
import { tableText } from "../output/table.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["inspect"],
  { signal, onProgress }: During,
  print: (text: string) => void,
  library = { inspect },
): Promise<number> {
  const report = await library.inspect({ ...options, signal, onProgress });
  const all = look.tensors === true || options.digest === true;
  print(look.format === "json" ? inspectJson(report) : inspectText(report, all));
  return 0;
}

/** @param all list every tensor too. */
function inspectText(report: InspectReport, all: boolean): string {
  const screen = [headline(report), ...tableText(facts(report)).map((line) => `  ${line}`)];
  const listed = report.tensors.map(({ name, dtype, shape, shard, sha256 }) => [
    printable(name),
    dtype,
    `[${shape.join(", ")}]`,
    printable(shard),
    ...(sha256 === undefined ? [] : [sha256]),
  ]);
  return `${[...(all ? [...tableText(listed), ""] : []), ...screen].join("\n")}\n`;
}

const KINDS = { diff: "a diff", full: "a full model" } as const;

function headline({ path, identity, family }: InspectReport): string {
  const kind = identity.kind === null ? "a diff or a full model, nothing tells which" : KINDS[identity.kind];
  return `${printable(path)}: ${kind}${family === null ? "" : `, ${printable(family)}`}`;
}

/** Pairs of heading and text, one line each. */
function facts(report: InspectReport): readonly (readonly [string, string])[] {
  const { identity, shape, totals, files, tokenizer, scheme, manifest, traps, notes, repo, commit } = report;
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const formats = [...new Set(files.map(({ format }) => format))].join(", ");
  const layers = shape.layers === 0 ? "" : `, ${shape.layers} layers`;
  const hidden = shape.hiddenSize === null ? "" : `, hidden size ${shape.hiddenSize}`;
  const known = files.filter((file) => file.known !== null);
  return [
    ["known by", identity.reason],
    ...(repo === null ? [] : [["from", `${printable(repo)}${commit === null ? "" : `@${commit}`}`] as const]),
    [
      "size",
      `${countText(report.parameters)} values in ${report.tensors.length} ${report.tensors.length === 1 ? "tensor" : "tensors"}${layers}${hidden}`,
    ],
    [
      "dtypes",
      totals
        .map(
          ({ dtype, tensors, bytes: size }) =>
            `${dtype}: ${tensors} ${tensors === 1 ? "tensor" : "tensors"}, ${bytesText(size)}`,
        )
        .join("; "),
    ],
    ["files", `${files.length}, ${bytesText(bytes)}: ${formats}`],
    ...(report.coded === null ? [] : codedLines(report.coded)),
    ["vocabulary", vocabulary(shape, tokenizer)],
    ...(scheme === null ? [] : [["scheme", `${scheme.name ?? "not clear"}: ${scheme.reason}`] as const]),
    [
      "manifest",
      manifest === null
        ? "none"
        : `weight-diff.json: ${printable(manifest.operation)} by ${printable(manifest.tool)}, scheme ${printable(manifest.scheme)}`,
    ],
    ...known.map(
      (file) =>
        [
          "known file",
          `${printable(file.file)}: ${file.known}${file.knownBy === "size" ? ": --digest tells" : ""}`,
        ] as const,
    ),
    ...traps.map((trap) => ["trap", trap] as const),
    ...notes.map((note) => ["note", note] as const),
  ];
}

/** So many kinds are listed one by one. */
const MOST_KINDS = 12;

/** How the bytes of a compressed diff are distributed. */
function codedLines({ all, kinds, layers }: CodedShares): readonly (readonly [string, string])[] {
  const rest = kinds.length - MOST_KINDS;
  const shown = kinds.slice(0, MOST_KINDS).map((kind) => {
    return [printable(kind.name), bytesText(kind.bytes), ...shareCells(kind)];
  });
  const lines = tableText([["all", bytesText(all.bytes), ...shareCells(all)], ...shown]);
  const [least, most] = [...layers]
    .sort((a, b) => a.bitsPerElement - b.bitsPerElement)
    .filter((_, i, list) => i === 0 || i === list.length - 1);
  return [
    ...lines.map((line) => ["coded", line] as const),
    ...(rest > 0 ? [["coded", `and ${rest} more: --json lists all`] as const] : []),
    ...(least === undefined || most === undefined
      ? []
      : [["layers", `${layers.length}, from ${layerText(least)} to ${layerText(most)}`] as const]),
  ];
}

function shareCells({ bitsPerElement, unchanged }: CodedShare): readonly string[] {
  return [
    `${bitsText(bitsPerElement)} bits a value`,
    ...(unchanged === null ? [] : [`${(100 * unchanged).toFixed(1)} % unchanged`]),
  ];
}

function layerText({ name, bitsPerElement }: CodedShare): string {
  return `${bitsText(bitsPerElement)} bits a value (${printable(name)})`;
}

function bitsText(bits: number): string {
  return bits.toPrecision(bits < 1 ? 2 : 3);
}

function vocabulary(
  { family, vocabulary: rows, outputRows }: InspectReport["shape"],
  tokenizer: InspectReport["tokenizer"],
): string {
  const embedding =
    rows === null
      ? family === null
        ? "it is not known which tensor is the input embedding"
        : "no input embedding"
      : `${rows} rows${outputRows === null ? ", no output embedding" : outputRows === rows ? "" : ` in, ${outputRows} out`}`;
  const tokens = tokenizer.map(({ file, highestId }) => `${file}: ids up to ${highestId}`);
  return `${embedding}; ${tokens.length === 0 ? "no tokenizer" : tokens.join(", ")}`;
}

/** For example 6738415616 as "6.74 billion". */
function countText(count: number): string {
  const units = [
    [1e9, "billion"],
    [1e6, "million"],
  ] as const;
  const unit = units.find(([size]) => count >= size);
  return unit === undefined ? String(count) : `${(count / unit[0]).toPrecision(3)} ${unit[1]}`;
}

/** The document for scripts. */
function inspectJson(report: InspectReport): string {
  return json({ command: "inspect", ...report });
}
