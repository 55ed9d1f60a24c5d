/** The heat map of layers and modules, by mouse and keys, and as a table. */
import { scaleBand } from "d3-scale";
import { interpolateYlOrRd } from "d3-scale-chromatic";
import { select } from "d3-selection";
import { type Cell, cells, farthest } from "./cells.js";
import type { PageFigure } from "./data.js";
import { data, FIGURES } from "./figures.js";
import { listCell } from "./rows.js";
import { digits, element, made, NO_NUMBER, shown } from "./text.js";

/**
 * Maps a figure to 0 to 1 for colours; null if the value did not move. How far values moved, and the largest change, span many powers of
 * ten.
 */
function scaleOf(key: PageFigure): { readonly of: (value: number) => number | null; readonly ends: readonly number[] } {
  const values = [...cells.values()]
    .flatMap((cell) => farthest(cell, key) ?? [])
    .filter((value) => !Number.isNaN(value));
  const moved = key === "moved" || key === "largest" ? values.filter((value) => value > 0) : values;
  const [least, most] = [
    moved.reduce((a, b) => Math.min(a, b), Infinity),
    moved.reduce((a, b) => Math.max(a, b), -Infinity),
  ];
  if (moved.length === 0) {
    return { of: () => null, ends: [] };
  }
  const by = key === "moved" || key === "largest" ? Math.log : (value: number) => (key === "cosine" ? -value : value);
  const [low, high] = key === "cosine" ? [by(most), by(least)] : [by(least), by(most)];
  return {
    of: (value) =>
      (key === "moved" || key === "largest") && value <= 0 ? null : high === low ? 1 : (by(value) - low) / (high - low),
    ends: key === "cosine" ? [most, least] : [least, most],
  };
}

const colour = (part: number): string => interpolateYlOrRd(0.08 + 0.92 * part);
/** Pixels. */
const CELL = { least: 7, most: 28, height: 19 };
const MAP_WIDTH = 1100;
const LETTER = 7.3;
const MOST_LETTERS = 44;
const cursor = { layer: 0, module: 0 };
let figure: PageFigure = FIGURES[0]?.key ?? "moved";

const short = (name: string): string => {
  const letters = [...shown(name)];
  return letters.length > MOST_LETTERS ? `…${letters.slice(1 - MOST_LETTERS).join("")}` : letters.join("");
};

function drawMap(): void {
  const { layers, modules } = data;
  const left = 16 + LETTER * modules.reduce((most, { name }) => Math.max(most, short(name).length), 4);
  const top = 26;
  const width = Math.min(CELL.most, Math.max(CELL.least, (MAP_WIDTH - left) / layers.length));
  const x = scaleBand(layers, [left, left + width * layers.length]).paddingInner(0.06);
  const y = scaleBand(
    modules.map((_, index) => index),
    [top, top + CELL.height * modules.length],
  ).paddingInner(0.06);
  const map = select(element<SVGSVGElement>("map"));
  map.selectAll("*").remove();
  map.attr("width", left + width * layers.length + 8).attr("height", top + CELL.height * modules.length + 6);
  const scale = scaleOf(figure);
  map
    .selectAll("text.module")
    .data(modules)
    .join("text")
    .attr("x", left - 8)
    .attr("y", (_, index) => (y(index) ?? 0) + 13)
    .attr("text-anchor", "end")
    .text(({ name }) => short(name));
  const every = Math.max(1, Math.ceil(layers.length / 16));
  map
    .selectAll("text.layer")
    .data(layers.filter((_, index) => index % every === 0))
    .join("text")
    .attr("x", (layer) => (x(layer) ?? 0) + x.bandwidth() / 2)
    .attr("y", top - 8)
    .attr("text-anchor", "middle")
    .text((layer) => layer);
  const all: readonly Cell[] = [...cells.values()];
  map
    .selectAll<SVGRectElement, Cell>("rect.cell")
    .data(all)
    .join((entering) => entering.append("rect"))
    .attr("x", ({ layer }) => x(layers[layer] ?? 0) ?? 0)
    .attr("y", ({ module }) => y(module) ?? 0)
    .attr("width", x.bandwidth())
    .attr("height", y.bandwidth())
    .each(function (cell) {
      const value = farthest(cell, figure);
      const strange = Number.isNaN(value);
      const part = value === null || strange ? null : scale.of(value);
      const look = strange ? "cell strange" : value === null ? "cell none" : "cell same";
      this.setAttribute("class", part === null ? look : "cell");
      if (part !== null) {
        this.setAttribute("fill", colour(part));
      }
    })
    .on("pointerenter", (_, { layer, module }) => {
      moveTo(layer, module);
    })
    .on("click", (_, cell) => {
      listCell(cell);
    });
  const mark = map.append("rect").attr("class", "cursor").attr("width", x.bandwidth()).attr("height", y.bandwidth());
  moveTo = (layer, module) => {
    cursor.layer = Math.min(layers.length - 1, Math.max(0, layer));
    cursor.module = Math.min(modules.length - 1, Math.max(0, module));
    mark.attr("x", x(layers[cursor.layer] ?? 0) ?? 0).attr("y", y(cursor.module) ?? 0);
    element("cell").textContent = cellText();
  };
  drawLegend(scale.ends, !map.selectAll("rect.strange").empty());
}

let moveTo: (layer: number, module: number) => void = () => {};

function cellText(): string {
  const place = `layer ${data.layers[cursor.layer] ?? ""}, ${shown(data.modules[cursor.module]?.name ?? "")}`;
  const cell = cells.get(`${cursor.layer} ${cursor.module}`);
  if (cell === undefined) {
    return `${place}: none`;
  }
  const some = cell.tensors.length === 1 ? "" : ` (the farthest of ${cell.tensors.length} tensors)`;
  return `${place}${some}: ${FIGURES.map(({ key, label, text }) => `${label} ${text(farthest(cell, key))}`).join(", ")}`;
}

/** @param strange is there a cell of NaN or infinity? */
function drawLegend(ends: readonly number[], strange: boolean): void {
  const text = FIGURES.find(({ key }) => key === figure)?.text ?? digits;
  const legend = element("legend");
  legend.replaceChildren();
  if (ends.length === 2) {
    const svg = select(legend).append("svg").attr("width", 200).attr("height", 14).attr("aria-hidden", "true");
    svg
      .selectAll("rect")
      .data(Array.from({ length: 40 }, (_, step) => step))
      .join("rect")
      .attr("x", (step) => 5 * step)
      .attr("width", 5.5)
      .attr("height", 14)
      .attr("fill", (step) => colour(step / 39));
    legend.prepend(made("span", text(ends[0] ?? null)));
    legend.append(made("span", text(ends[1] ?? null)));
  }
  if (strange) {
    const svg = select(legend).append("svg").attr("width", 14).attr("height", 14).attr("aria-hidden", "true");
    svg.append("rect").attr("class", "strange").attr("width", 14).attr("height", 14);
    legend.append(made("span", NO_NUMBER));
  }
}

function mapTable(): HTMLTableElement {
  const table = made("table");
  const head = made("tr");
  head.append(made("th", "layer", "text"), ...data.modules.map(({ name }) => made("th", shown(name), "text")));
  const text = FIGURES.find(({ key }) => key === figure)?.text ?? digits;
  table.createTHead().append(head);
  table.createTBody().append(
    ...data.layers.map((layer, index) => {
      const row = made("tr");
      row.append(
        made("th", String(layer)),
        ...data.modules.map((_, module) => {
          const cell = cells.get(`${index} ${module}`);
          return made("td", cell === undefined ? "" : text(farthest(cell, figure)));
        }),
      );
      return row;
    }),
  );
  return table;
}

function fillMapTable(): void {
  const details = element<HTMLDetailsElement>("map-table");
  // Only when somebody opens it.
  details.querySelector("section")?.replaceChildren(...(details.open ? [mapTable()] : []));
}

export function startMap(): void {
  if (data.layers.length === 0 || FIGURES.length === 0) {
    element("map").closest("section")?.remove();
    return;
  }
  const choice = element<HTMLSelectElement>("figure");
  for (const { key, label } of FIGURES) {
    choice.append(new Option(label, key));
  }
  choice.addEventListener("change", () => {
    figure = choice.value as PageFigure;
    drawMap();
    moveTo(cursor.layer, cursor.module);
    fillMapTable();
  });
  const moves: Readonly<Record<string, readonly [number, number]>> = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  };
  element("map").addEventListener("keydown", (event) => {
    const move = moves[event.key];
    const cell = cells.get(`${cursor.layer} ${cursor.module}`);
    if (move !== undefined) {
      moveTo(cursor.layer + move[0], cursor.module + move[1]);
    } else if (event.key === "Home" || event.key === "End") {
      moveTo(event.key === "Home" ? 0 : data.layers.length - 1, cursor.module);
    } else if ((event.key === "Enter" || event.key === " ") && cell !== undefined) {
      listCell(cell);
    } else {
      return;
    }
    event.preventDefault();
  });
  element("map-table").addEventListener("toggle", fillMapTable);
  drawMap();
  moveTo(0, 0);
}
