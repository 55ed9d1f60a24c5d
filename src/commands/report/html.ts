/**
 * A report as one page: figures, names and the script that draws them. It loads nothing. Equal reports give equal bytes. Names are data in
 * it, never markup: as JSON without "<" they cannot end the element that holds them, and the script shows them as text.
 */
import { fileURLToPath } from "node:url";
import { readBytes } from "../../files/small-files.js";
import { movedBy } from "./change.js";
import type { Change, ChangeReport } from "./options.js";
import type { PageColumns, PageData, PageFigure, PageFigures } from "./page/data.js";

/** Where the build puts the page without its data. */
const PAGE_URL = new URL("./page.html", import.meta.url);
const MOST_BYTES = 2 ** 22;
const SLOT = '"DATA"';

/** @returns the text of an HTML file, in pieces. @throws {WeightDiffError} IO. */
export async function changePage(report: ChangeReport): Promise<readonly string[]> {
  const page = Buffer.from(await readBytes(fileURLToPath(PAGE_URL), MOST_BYTES)).toString("utf8");
  const at = page.indexOf(SLOT);
  return [page.slice(0, at), JSON.stringify(pageData(report)).replaceAll("<", "\\u003c"), page.slice(at + SLOT.length)];
}

function pageData(report: ChangeReport): PageData {
  const { tensors, total } = report;
  const layers = report.layers.map(({ layer }) => layer);
  const layerPlaces = new Map(layers.map((layer, index) => [layer, index]));
  const modulePlaces = new Map(report.modules.map(({ module }, index) => [module, index]));
  const figures = tensors.map(figuresOf);
  const column = <K extends PageFigure>(key: K): readonly PageFigures[K][] => figures.map((each) => each[key]);
  const columns: PageColumns = {
    changed: column("changed"),
    moved: column("moved"),
    largest: column("largest"),
    cosine: column("cosine"),
    bits: column("bits"),
    baseNorm: column("baseNorm"),
    tunedNorm: column("tunedNorm"),
    elements: column("elements"),
  };
  return {
    base: report.base,
    path: report.path,
    scheme: report.scheme,
    total: { ...figuresOf(total), changedElements: total.changed, compared: total.compared, steps: total.steps },
    tensors: {
      ...columns,
      name: tensors.map(({ name }) => name),
      layer: tensors.map(({ layer }) => (layer === null ? -1 : (layerPlaces.get(layer) ?? -1))),
      module: tensors.map(({ layer, module }) => (layer === null ? -1 : (modulePlaces.get(module) ?? -1))),
      dtype: tensors.map(({ dtype }) => dtype),
      baseDtype: tensors.map(({ baseDtype }) => baseDtype),
      shape: tensors.map(({ shape }) => shape),
      newRows: tensors.map(({ newRows }) => newRows),
      noNumber: tensors.flatMap(({ differenceNorm }, place) =>
        differenceNorm !== null && !Number.isFinite(differenceNorm) ? [place] : [],
      ),
    },
    layers,
    modules: report.modules.map(({ module, tensors: count, steps }) => ({ name: module, tensors: count, steps })),
    embeddings: report.embeddings.map(({ name, tokens }) => ({
      name,
      tokens: tokens.map(({ row, token, differenceNorm, relative }) => ({
        row,
        token,
        norm: rounded(differenceNorm),
        relative: rounded(relative),
      })),
    })),
  };
}

function figuresOf(change: Change): PageFigures {
  const { elements, compared, changed } = change;
  return {
    elements,
    changed: rounded(compared === 0 ? null : changed / compared),
    moved: rounded(movedBy(change)),
    largest: rounded(change.largest),
    cosine: rounded(change.cosine, 9),
    bits: rounded(change.bits),
    baseNorm: rounded(change.baseNorm),
    tunedNorm: rounded(change.tunedNorm),
  };
}

/** Rounds to the digits that a page may show; --json has all. Null for a value that is not finite. */
function rounded(value: number | null, digits = 5): number | null {
  return value === null || !Number.isFinite(value) ? null : Number(value.toPrecision(digits));
}
