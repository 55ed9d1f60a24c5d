/** The data in the page, and what is told of each tensor. */
import type { PageData, PageFigure } from "./data.js";
import { digits, element, percent } from "./text.js";

export const data = JSON.parse(element("data").textContent ?? "") as PageData;
export const { tensors } = data;

/** Is it a diff without its base? */
export const alone = data.base === null;

interface Figure {
  readonly key: PageFigure;
  readonly label: string;
  readonly text: (value: number | null) => string;
}

const fixed =
  (places: number) =>
  (value: number | null): string =>
    value === null ? "–" : value.toFixed(places);
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

/** What cells are coloured by, and columns sorted by. Of differences that have no size, some figures are not known. */
export const FIGURES: readonly Figure[] = alone ? ALONE.filter(({ key }) => data.total[key] !== null) : BESIDE;
