/** The table of all tensors, with search and sorting. */
import type { Cell } from "./cells.js";
import type { PageFigure } from "./data.js";
import { alone, data, FIGURES, figureOf, tensors } from "./figures.js";
import { element, made, shown, whole } from "./text.js";

const PAGE_ROWS = 100;
const names = tensors.name.map((name) => name.toLowerCase());
const list = {
  found: [] as number[],
  first: 0,
  by: (FIGURES[0]?.key ?? "name") as PageFigure | "name",
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
    // The data come in the order of names, with numbers by value.
    list.found.sort((a, b) => order * (a - b));
  } else {
    const value = (tensor: number): number => {
      const figure = figureOf(tensor, by) ?? Number.NEGATIVE_INFINITY;
      return Number.isNaN(figure) ? Number.POSITIVE_INFINITY : figure;
    };
    list.found.sort((a, b) => order * (value(a) - value(b)) || a - b);
  }
  list.first = 0;
  drawRows();
}

export function listCell(cell: Cell): void {
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
    ...["dtype", "shape", ...(alone ? [] : ["new rows"])].map((label) => made("th", label)),
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
        ...FIGURES.map(({ key, text }) => made("td", text(figureOf(tensor, key)))),
        made("td", alone || before === dtype ? dtype : `${before ?? "new"} → ${dtype}`),
        made("td", (tensors.shape[tensor] ?? []).join(" × ")),
        ...(alone ? [] : [made("td", (tensors.newRows[tensor] ?? 0) === 0 ? "" : whole(tensors.newRows[tensor] ?? 0))]),
      );
      return row;
    }),
  );
  const last = Math.min(found.length, first + PAGE_ROWS);
  element("range").textContent = found.length === 0 ? "none" : `${whole(first + 1)} to ${whole(last)}`;
  element<HTMLButtonElement>("before").disabled = first === 0;
  element<HTMLButtonElement>("after").disabled = last === found.length;
}

export function startRows(): void {
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
