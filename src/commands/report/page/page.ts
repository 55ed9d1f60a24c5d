/** The page of a report, in the browser: everything is drawn from the data in the page, and every name is put in as text. */
import { axisBottom, axisLeft } from "d3-axis";
import { scaleBand, scaleLinear } from "d3-scale";
import { interpolateYlOrRd } from "d3-scale-chromatic";
import { select } from "d3-selection";
import type { PageColumns, PageData, PageFigure } from "./data.js";

const data = JSON.parse(element("data").textContent ?? "") as PageData;
const { tensors } = data;

function element<E extends Element = HTMLElement>(id: string): E {
  return document.getElementById(id) as unknown as E;
}

/** An element with text in it. */
function made<K extends keyof HTMLElementTagNameMap>(tag: K, text = "", name = ""): HTMLElementTagNameMap[K] {
  const one = document.createElement(tag);
  one.textContent = text;
  if (name !== "") {
    one.className = name;
  }
  return one;
}

/** Characters that have no shape, or turn the direction of writing, are shown by their numbers. */
function shown(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

const digits = (value: number | null): string => (value === null ? "–" : String(Number(value.toPrecision(3))));
const percent = (value: number | null): string => (value === null ? "–" : `${Number((100 * value).toPrecision(3))} %`);
const whole = (value: number): string => value.toLocaleString("en");

/** What cells are coloured by, and columns sorted by. */
const FIGURES: readonly {
  readonly key: PageFigure;
  readonly label: string;
  readonly text: (value: number | null) => string;
}[] = [
  { key: "relative", label: "relative change", text: digits },
  { key: "changed", label: "share changed", text: percent },
  { key: "largest", label: "largest change", text: digits },
  { key: "cosine", label: "cosine", text: (value) => (value === null ? "–" : value.toFixed(6)) },
  { key: "bits", label: "bits an element", text: (value) => (value === null ? "–" : value.toFixed(2)) },
  { key: "baseNorm", label: "norm before", text: digits },
  { key: "tunedNorm", label: "norm after", text: digits },
];

// --- in all -----------------------------------------------------------------------------------------------------------

function drawTotals(): void {
  const { total } = data;
  element("models").textContent =
    `${shown(data.path)} beside ${shown(data.base ?? "")}${data.scheme === null ? "" : `, applied by the scheme ${shown(data.scheme)}`}`;
  const tiles: readonly (readonly [string, string])[] = [
    ["tensors", whole(tensors.name.length)],
    ["elements", whole(total.elements)],
    ["changed", `${whole(total.changedElements)} (${percent(total.changed)})`],
    ...(total.elements > total.compared ? [["new elements", whole(total.elements - total.compared)] as const] : []),
    ...FIGURES.filter(({ key }) => key !== "changed").map(({ key, label, text }) => [label, text(total[key])] as const),
  ];
  element("totals").replaceChildren(
    ...tiles.map(([label, value]) => {
      const tile = made("div");
      tile.append(made("dt", label), made("dd", value));
      return tile;
    }),
  );
}

// --- the heat map -----------------------------------------------------------------------------------------------------

interface Cell {
  readonly layer: number;
  readonly module: number;
  readonly tensors: readonly number[];
}

/** Tensors by layer and module; experts share one. */
const cells = new Map<string, { layer: number; module: number; tensors: number[] }>();
tensors.layer.forEach((layer, tensor) => {
  const module = tensors.module[tensor] ?? -1;
  if (layer >= 0 && module >= 0) {
    const key = `${layer} ${module}`;
    const cell = cells.get(key) ?? { layer, module, tensors: [] };
    cell.tensors.push(tensor);
    cells.set(key, cell);
  }
});

/** Of several tensors the largest; of cosines, the least, which is the farthest. */
function farthest(cell: Cell, key: PageFigure): number | null {
  const column: PageColumns[PageFigure] = tensors[key];
  const values = cell.tensors.flatMap((tensor) => column[tensor] ?? []);
  const extreme = key === "cosine" ? Math.min : Math.max;
  return values.length === 0 ? null : values.reduce((a, b) => extreme(a, b));
}

/** 0 to 1 for colours; null for what did not move. Relative and largest changes go over many powers of ten. */
function scaleOf(key: PageFigure): { readonly of: (value: number) => number | null; readonly ends: readonly number[] } {
  const values = [...cells.values()].flatMap((cell) => farthest(cell, key) ?? []);
  const moved = key === "relative" || key === "largest" ? values.filter((value) => value > 0) : values;
  const [least, most] = [
    moved.reduce((a, b) => Math.min(a, b), Infinity),
    moved.reduce((a, b) => Math.max(a, b), -Infinity),
  ];
  if (moved.length === 0) {
    return { of: () => null, ends: [] };
  }
  const by =
    key === "relative" || key === "largest" ? Math.log : (value: number) => (key === "cosine" ? -value : value);
  const [low, high] = key === "cosine" ? [by(most), by(least)] : [by(least), by(most)];
  return {
    of: (value) =>
      (key === "relative" || key === "largest") && value <= 0
        ? null
        : high === low
          ? 1
          : (by(value) - low) / (high - low),
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
let figure: PageFigure = "relative";

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
      const part = value === null ? null : scale.of(value);
      this.setAttribute("class", part === null ? (value === null ? "cell none" : "cell same") : "cell");
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
  drawLegend(scale.ends);
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

function drawLegend(ends: readonly number[]): void {
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
  // Only once it is looked at.
  details.querySelector("section")?.replaceChildren(...(details.open ? [mapTable()] : []));
}

function startMap(): void {
  if (data.layers.length === 0) {
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

// --- how far values moved ---------------------------------------------------------------------------------------------

const stepsText = (index: number): string =>
  index < 2
    ? String(index)
    : index === 2
      ? "2–3"
      : index < 11
        ? `${2 ** (index - 1)}–${2 ** index - 1}`
        : `2^${index - 1}–`;

function drawSteps(): void {
  const choice = element<HTMLSelectElement>("scope");
  const scopes = [
    { label: "all tensors", steps: data.total.steps },
    ...data.modules.map(({ name, steps }) => ({ label: shown(name), steps })),
  ].filter(({ steps }) => steps !== null);
  if (scopes.length === 0) {
    choice.closest("section")?.remove();
    return;
  }
  scopes.forEach(({ label }, index) => {
    choice.append(new Option(label, String(index)));
  });
  const draw = (): void => {
    const { label = "", steps } = scopes[Number(choice.value)] ?? {};
    const counts = steps ?? [];
    const total = counts.reduce((sum, count) => sum + count, 0);
    const shares = counts.map((count) => (total === 0 ? 0 : count / total));
    const width = Math.max(360, 56 * shares.length + 70);
    const x = scaleBand(
      shares.map((_, index) => index),
      [56, width - 10],
    ).padding(0.15);
    const y = scaleLinear([0, Math.max(...shares, 0.01)], [190, 22]).nice();
    const svg = select(element<SVGSVGElement>("steps"));
    svg.selectAll("*").remove();
    svg
      .attr("width", width)
      .attr("height", 220)
      .attr(
        "aria-label",
        `${label}: ${shares.map((share, index) => `${stepsText(index)} steps ${percent(share)}`).join(", ")}`,
      );
    svg.append("g").attr("transform", "translate(0,190)").call(axisBottom(x).tickFormat(stepsText).tickSizeOuter(0));
    svg
      .append("g")
      .attr("transform", "translate(56,0)")
      .call(
        axisLeft(y)
          .ticks(4)
          .tickFormat((value) => percent(Number(value))),
      );
    const bars = svg.selectAll("g.bar").data(shares).join("g");
    bars
      .append("rect")
      .attr("class", "shares")
      .attr("x", (_, index) => x(index) ?? 0)
      .attr("y", (share) => y(share))
      .attr("width", x.bandwidth())
      .attr("height", (share) => 190 - y(share));
    bars
      .append("text")
      .attr("x", (_, index) => (x(index) ?? 0) + x.bandwidth() / 2)
      .attr("y", (share) => y(share) - 5)
      .attr("text-anchor", "middle")
      .text((share) => (share === 0 ? "" : percent(Number(share.toPrecision(2)))));
  };
  choice.addEventListener("change", draw);
  draw();
}

// --- tokens -----------------------------------------------------------------------------------------------------------

function drawTokens(): void {
  if (data.embeddings.length === 0) {
    element("tokens-section").remove();
    return;
  }
  element("tokens").replaceChildren(
    ...data.embeddings.map(({ name, tokens }) => {
      const block = made("div", "", "embedding");
      const table = made("table");
      const head = made("tr");
      head.append(made("th", "row"), made("th", "token", "text"), made("th", "moved by"), made("th", "relative"));
      table.createTHead().append(head);
      table.createTBody().append(
        ...tokens.map(({ row, token, norm, relative }) => {
          const line = made("tr");
          const text = token === null ? "–" : shown(token);
          line.append(
            made("td", String(row)),
            made("td", text, "text"),
            made("td", digits(norm)),
            made("td", digits(relative)),
          );
          return line;
        }),
      );
      block.append(made("h3", shown(name)), table);
      return block;
    }),
  );
}

// --- tensors ----------------------------------------------------------------------------------------------------------

const PAGE_ROWS = 100;
const names = tensors.name.map((name) => name.toLowerCase());
const list = {
  found: [] as number[],
  first: 0,
  by: "relative" as PageFigure | "name",
  down: true,
  cell: null as Cell | null,
};

function search(): void {
  const words = element<HTMLInputElement>("search")
    .value.toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  const among = list.cell?.tensors ?? names.keys();
  list.found = [...among].filter((tensor) => words.every((word) => names[tensor]?.includes(word)));
  const { by, down } = list;
  const order = down ? -1 : 1;
  if (by === "name") {
    // The data are in the order of names, numbers by value.
    list.found.sort((a, b) => order * (a - b));
  } else {
    const column = tensors[by];
    const value = (tensor: number): number => column[tensor] ?? Number.NEGATIVE_INFINITY;
    list.found.sort((a, b) => order * (value(a) - value(b)) || a - b);
  }
  list.first = 0;
  drawRows();
}

function listCell(cell: Cell): void {
  list.cell = cell;
  element<HTMLInputElement>("search").value = "";
  search();
  element("tensors").scrollIntoView();
  element("tensors").focus({ preventScroll: true });
}

function drawRows(): void {
  const { found, first, by, down, cell } = list;
  const where =
    cell === null ? "" : ` of layer ${data.layers[cell.layer]}, ${shown(data.modules[cell.module]?.name ?? "")}`;
  const status = element("found");
  status.textContent = `${whole(found.length)} of ${whole(names.length)} tensors${where} `;
  if (cell !== null) {
    const all = made("button", "Show all");
    all.type = "button";
    all.addEventListener("click", () => {
      list.cell = null;
      search();
      element("search").focus();
    });
    status.append(all);
  }
  const heading = (key: PageFigure | "name", label: string): HTMLElement => {
    const cell = made("th", "", key === "name" ? "text" : "");
    const button = made("button", `${label}${by === key ? (down ? " ↓" : " ↑") : ""}`);
    button.type = "button";
    button.dataset.key = key;
    cell.setAttribute("aria-sort", by === key ? (down ? "descending" : "ascending") : "none");
    button.addEventListener("click", () => {
      list.down = by === key ? !down : key !== "name";
      list.by = key;
      search();
      document.querySelector<HTMLElement>(`th button[data-key="${key}"]`)?.focus();
    });
    cell.append(button);
    return cell;
  };
  const head = made("tr");
  head.append(
    heading("name", "name"),
    ...FIGURES.map(({ key, label }) => heading(key, label)),
    ...["dtype", "shape", "new rows"].map((label) => made("th", label)),
  );
  const table = element<HTMLTableElement>("rows");
  table.replaceChildren();
  table.createTHead().append(head);
  table.createTBody().append(
    ...found.slice(first, first + PAGE_ROWS).map((tensor) => {
      const row = made("tr");
      const [dtype = "", before] = [tensors.dtype[tensor], tensors.baseDtype[tensor]];
      row.append(
        made("td", shown(tensors.name[tensor] ?? ""), "text"),
        ...FIGURES.map(({ key, text }) => made("td", text(tensors[key][tensor] ?? null))),
        made("td", before === dtype ? dtype : `${before ?? "new"} → ${dtype}`),
        made("td", (tensors.shape[tensor] ?? []).join(" × ")),
        made("td", (tensors.newRows[tensor] ?? 0) === 0 ? "" : whole(tensors.newRows[tensor] ?? 0)),
      );
      return row;
    }),
  );
  const last = Math.min(found.length, first + PAGE_ROWS);
  element("range").textContent = found.length === 0 ? "none" : `${whole(first + 1)} to ${whole(last)}`;
  element<HTMLButtonElement>("before").disabled = first === 0;
  element<HTMLButtonElement>("after").disabled = last === found.length;
}

function startRows(): void {
  element("search").addEventListener("input", search);
  for (const [id, move] of [
    ["before", -PAGE_ROWS],
    ["after", PAGE_ROWS],
  ] as const) {
    element(id).addEventListener("click", () => {
      list.first = Math.max(0, list.first + move);
      drawRows();
    });
  }
  search();
}

// --- light and dark ---------------------------------------------------------------------------------------------------

function startTheme(): void {
  const button = element("theme");
  const root = document.documentElement;
  const isDark = (): boolean =>
    root.dataset.theme === undefined
      ? matchMedia("(prefers-color-scheme: dark)").matches
      : root.dataset.theme === "dark";
  const name = (): void => {
    button.textContent = isDark() ? "Light" : "Dark";
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  name();
}

/** What scrolls, and what is moved in by keys, can be reached by keys. */
for (const one of document.querySelectorAll<HTMLElement | SVGElement>("section.scroll, #map")) {
  one.tabIndex = 0;
}
element("tensors").tabIndex = -1;
startTheme();
drawTotals();
startMap();
drawSteps();
drawTokens();
startRows();
