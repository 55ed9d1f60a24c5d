/** report: from its flags' options to what changed: a heat map and the most changed tensors, or JSON. */
import { mapFigure, movedBy } from "../../commands/report/change.js";
import type { Change, ChangeReport, TensorChange } from "../../commands/report/options.js";
import { digits } from "../../commands/report/svg.js";
import { report as runReport } from "../../commands/report.js";
import { printable, quote } from "../../formats/quote.js";
import { shapeText } from "../../formats/tensor-info.js";
import { bytesText } from "../../run/preflight.js";
import type { Asked } from "../flags/flag.js";
import { type HeatLook, type HeatRow, heatMap, scaleText } from "../output/heat-map.js";
import { finite, json } from "../output/json.js";
import { tableText } from "../output/table.js";
import { countText } from "../output/text.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["report"],
  during: During,
  print: (text: string) => void,
  library = { report: runReport },
): Promise<number> {
  const report = await library.report({ ...options, ...during });
  print(look.format === "json" ? reportJson(report) : reportText(report, terminal()));
  return 0;
}

const USUAL_WIDTH = 80;

/** https://no-color.org: any text in NO_COLOR turns colours off. */
function terminal(): HeatLook {
  const { isTTY, columns } = process.stdout;
  const colour = isTTY === true && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb";
  return { width: columns ?? USUAL_WIDTH, colour };
}

/** The number of listed tensors. */
const MOST_TENSORS = 10;
/** The number of listed tokens for each embedding. */
const MOST_TOKENS = 10;

/** Totals, the heat map, the most changed tensors, and the tokens that moved most. */
function reportText(report: ChangeReport, look: HeatLook): string {
  const { total, tensors, embeddings } = report;
  const rows = heatRows(report);
  const loose = tensors.filter(({ layer }) => layer === null);
  const added = tensors.filter(({ compared, elements }) => compared < elements);
  const ranked = rankedTensors(report).slice(0, MOST_TENSORS);
  const how = report.scheme === null ? "" : `, applied by the scheme ${report.scheme}`;
  const { base } = report;
  const beside = base === null ? "alone" : `beside ${printable(base)}`;
  return `${[
    `${printable(report.path)} ${beside}: ${countText(tensors.length, "tensor")}, ${total.elements} elements${how}`,
    `  ${base === null ? "not zero" : "changed "} ${changeText(total)}`,
    ...(base !== null || added.length === 0
      ? []
      : [`  unknown  how ${countText(added.length, "tensor")} changed: the diff alone does not show it`]),
    ...(base === null || added.length === 0
      ? []
      : [
          `  new      ${total.elements - total.compared} elements in ${countText(added.length, "tensor")} that the base does not have`,
        ]),
    ...(rows.every(({ cells }) => cells.every((cell) => cell === null))
      ? []
      : [
          "",
          `${mapFigure(report).title} by module, layers ${layersText(report)} from left to right`,
          ...heatMap(rows, look),
          `  ${scaleText(rows)}`,
        ]),
    ...(loose.length === 0 ? [] : ["", "in no layer", ...tensorRows(report, loose)]),
    ...(ranked.length === 0 ? [] : ["", "most changed", ...tensorRows(report, ranked)]),
    ...embeddings.flatMap(({ name, tokens }) => [
      "",
      `tokens of ${printable(name)} that moved most: how far${base === null ? "; of new ones, their own norm" : ", and relative to the base's norm"}`,
      ...indented(
        tokens
          .slice(0, MOST_TOKENS)
          .map(({ row, token, relative, differenceNorm }) => [
            String(row),
            token === null ? "" : quote(token),
            digits(differenceNorm),
            relative === null ? "" : digits(relative),
          ]),
      ),
    ]),
    ...(base === null
      ? ["", "  the base tells more: relative change, cosine, steps of value, and which rows are new"]
      : []),
    "",
    `  took     ${report.seconds.toFixed(2)} s: read ${bytesText(report.bytesRead)}, peak memory ${bytesText(report.peakBytes)}`,
  ].join("\n")}\n`;
}

function heatRows(report: ChangeReport): readonly HeatRow[] {
  const { modules, layers, tensors } = report;
  const figure = mapFigure(report);
  const column = new Map(layers.map(({ layer }, index) => [layer, index]));
  const cells = new Map(modules.map(({ module }) => [module, layers.map((): number | null => null)]));
  for (const tensor of tensors) {
    const { layer, module } = tensor;
    const row = cells.get(module);
    const at = layer === null ? undefined : column.get(layer);
    const value = figure.of(tensor);
    if (row !== undefined && at !== undefined && value !== null) {
      row[at] = Math.max(row[at] ?? 0, value);
    }
  }
  return modules.map(({ module }) => ({ name: printable(module), cells: cells.get(module) ?? [] }));
}

function layersText({ layers }: ChangeReport): string {
  const [first, last] = [layers[0]?.layer, layers.at(-1)?.layer];
  return first === last ? String(first) : `${first} to ${last}`;
}

/** Tensors with NaN first, then those that moved farthest. */
function rankedTensors(report: ChangeReport): readonly TensorChange[] {
  const { of } = mapFigure(report);
  const distance = (tensor: TensorChange): number => {
    const moved = of(tensor) ?? 0;
    return Number.isNaN(moved) ? Number.POSITIVE_INFINITY : moved;
  };
  return report.tensors.filter(({ changed }) => changed > 0).sort((a, b) => distance(b) - distance(a));
}

function changeText({ compared, changed, relative, cosine, largest, bits }: Change): string {
  return [
    `${changed} of ${compared} elements (${share(changed, compared)})`,
    ...(relative === null ? [] : [`relative change ${digits(relative)}`]),
    ...(cosine === null ? [] : [`cosine ${cosine.toFixed(6)}`]),
    ...(largest === null ? [] : [`largest ${digits(largest)}`]),
    ...(bits === null ? [] : [`${bits.toFixed(2)} bits an element`]),
  ].join(", ");
}

function tensorRows({ base }: ChangeReport, tensors: readonly TensorChange[]): readonly string[] {
  const heads = base === null ? ["rms", "not zero"] : ["relative", "changed"];
  return indented([[...heads, "largest", "tensor"], ...tensors.map(tensorRow)]);
}

function tensorRow(tensor: TensorChange): readonly string[] {
  const { name, dtype, shape, changed, compared, largest, newRows } = tensor;
  const moved = movedBy(tensor);
  return [
    moved === null ? "-" : digits(moved),
    share(changed, compared),
    largest === null ? "-" : digits(largest),
    printable(name),
    `${dtype} ${shapeText(shape)}`,
    newRows === 0 ? "" : `${newRows} new ${newRows === 1 ? "row" : "rows"}`,
  ];
}

function indented(rows: readonly (readonly string[])[]): readonly string[] {
  return tableText(rows).map((line) => `  ${line}`);
}

function share(part: number, whole: number): string {
  return whole === 0 ? "-" : `${((100 * part) / whole).toFixed(1)} %`;
}

/** The document for scripts. */
function reportJson(report: ChangeReport): string {
  return json({
    command: "report",
    base: report.base,
    path: report.path,
    scheme: report.scheme,
    total: changeJson(report.total),
    tensors: report.tensors.map((tensor) => ({
      name: tensor.name,
      layer: tensor.layer,
      module: tensor.module,
      shape: tensor.shape,
      dtype: tensor.dtype,
      base_dtype: tensor.baseDtype,
      new_rows: tensor.newRows,
      ...changeJson(tensor),
    })),
    modules: report.modules.map(({ module, tensors, ...change }) => ({ module, tensors, ...changeJson(change) })),
    layers: report.layers.map(({ layer, tensors, ...change }) => ({ layer, tensors, ...changeJson(change) })),
    embeddings: report.embeddings.map(({ name, tokens }) => ({
      name,
      tokens: tokens.map(({ row, token, differenceNorm, relative }) => ({
        row,
        token,
        difference_norm: finite(differenceNorm),
        relative: finite(relative),
      })),
    })),
    bytes_read: report.bytesRead,
    seconds: report.seconds,
    peak_memory_bytes: report.peakBytes,
    threads: report.threads,
  });
}

function changeJson(change: Change) {
  return {
    elements: change.elements,
    compared: change.compared,
    changed: change.changed,
    base_norm: finite(change.baseNorm),
    tuned_norm: finite(change.tunedNorm),
    difference_norm: finite(change.differenceNorm),
    relative: finite(change.relative),
    largest: finite(change.largest),
    cosine: finite(change.cosine),
    steps: change.steps,
    bits_per_element: finite(change.bits),
  };
}
