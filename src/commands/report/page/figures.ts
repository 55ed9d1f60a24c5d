/** The data in the page, and the figures of a tensor. */
import type { PageData, PageFigure } from "./data.js";
import { digits, element, fixed, percent } from "./text.js";

export const data = JSON.parse(element("data").textContent ?? "") as PageData;
export const { tensors } = data;

const noNumber = new Set(tensors.noNumber);

/** A tensor's figure; null where there is none. JSON has no NaN and no infinities: NaN stands for both here. */
export function figureOf(tensor: number, key: PageFigure): number | null {
  return tensors[key][tensor] ?? (noNumber.has(tensor) ? Number.NaN : null);
}

/** Is it a diff without its base? */
export const alone = data.base === null;

interface Figure {
  readonly key: PageFigure;
  readonly label: string;
  readonly text: (value: number | null) => string;
}

const BESIDE: readonly Figure[] = [
  { key: "moved", label: "relative change", text: digits },
  { key: "changed", label: "share changed", text: percent },
  { key: "largest", label: "largest change", text: digits },
  { key: "cosine", label: "cosine", text: fixed(6) },
  { key: "bits", label: "bits an element", text: fixed(2) },
  { key: "baseNorm", label: "norm before", text: digits },
  { key: "tunedNorm", label: "norm after", text: digits },
];
const ALONE: readonly Figure[] = [
  { key: "moved", label: "root mean square", text: digits },
  { key: "changed", label: "share not zero", text: percent },
  { key: "largest", label: "largest difference", text: digits },
  { key: "bits", label: "bits an element", text: fixed(2) },
];

/** The figures by which cells are coloured and columns sorted. If the differences have no size, some figures are unknown. */
export const FIGURES: readonly Figure[] = alone ? ALONE.filter(({ key }) => data.total[key] !== null) : BESIDE;
