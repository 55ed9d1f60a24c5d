/**
 * The heat map as a picture: modules from top to bottom, layers from left to right, and how far values moved on a logarithmic scale. One
 * file without scripts that loads nothing, light or dark like its reader's settings. Names are text, whatever they contain.
 */
import { mapFigure } from "./change.js";
import type { ChangeReport } from "./options.js";

/** Pixels. */
const CELL = { width: 16, height: 18 } as const;
/** The largest width of a letter in the labels. */
const LETTER = 7.3;
const LABEL = 46;
const GAP = 12;
const NO_NUMBER = "NaN or infinity";
/** Wider maps get narrower cells. */
const MOST_WIDTH = 1100;
/** A sequential palette from the smallest change to the largest: ColorBrewer's YlOrRd, whose order shows in grey too. */
const COLOURS = ["#ffffcc", "#ffeda0", "#fed976", "#feb24c", "#fd8d3c", "#fc4e2a", "#e31a1c", "#b10026"] as const;

/** @returns the text of an SVG file. */
export function changeMap(report: ChangeReport): string {
  const { layers, modules } = report;
  const cells = cellsOf(report);
  const values = [...cells.values()].filter((value) => value > 0 && Number.isFinite(value));
  const scale = { least: Math.min(...spread(values)), most: Math.max(...spread(values)) };
  const longest = Math.min(LABEL, Math.max(8, ...modules.map(({ module }) => module.length)));
  const left = Math.ceil(longest * LETTER) + 2 * GAP;
  const width = layers.length === 0 ? CELL.width : Math.min(CELL.width, (MOST_WIDTH - left) / layers.length);
  const top = 64;
  const size = {
    width: Math.max(560, Math.ceil(left + width * layers.length + GAP)),
    height: top + CELL.height * modules.length + 60,
  };
  const heading = `What changed: ${totalText(report)}`;
  const { title } = mapFigure(report);
  const rows = modules.flatMap(({ module }, row) => {
    const y = top + CELL.height * row;
    const name = [...module].length > LABEL ? `…${[...module].slice(1 - LABEL).join("")}` : module;
    return [
      `<text x="${left - GAP}" y="${y + 13}" text-anchor="end">${escaped(name)}</text>`,
      ...layers.flatMap(({ layer }, column) => {
        const value = cells.get(`${layer} ${module}`);
        return value === undefined
          ? []
          : [
              `<rect x="${round(left + width * column)}" y="${y}" width="${round(Math.max(0.5, width - 1))}" height="${CELL.height - 1}" ${colourOf(value, scale)}><title>${escaped(`layer ${layer}, ${module}: ${Number.isFinite(value) ? digits(value) : NO_NUMBER}`)}</title></rect>`,
            ];
      }),
    ];
  });
  const [first, last] = [layers[0]?.layer, layers.at(-1)?.layer];
  const axis =
    first === undefined || last === undefined
      ? []
      : [
          `<text x="${left}" y="${top - 8}">layer ${first}</text>`,
          ...(first === last
            ? []
            : [`<text x="${round(left + width * layers.length)}" y="${top - 8}" text-anchor="end">${last}</text>`]),
        ];
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" height="${size.height}" role="img" aria-labelledby="title desc">`,
    `<title id="title">${escaped(heading)}</title>`,
    `<desc id="desc">${escaped(`${title.charAt(0).toUpperCase()}${title.slice(1)}, of ${modules.length} modules in ${layers.length} layers${values.length === 0 ? "" : `, from ${digits(scale.least)} to ${digits(scale.most)} on a logarithmic scale`}.`)}</desc>`,
    STYLE,
    `<rect class="page" width="100%" height="100%"/>`,
    `<text class="heading" x="${GAP}" y="24">${escaped(heading)}</text>`,
    ...axis,
    ...rows,
    ...legend(
      values.length === 0 ? null : scale,
      [...cells.values()].some((value) => !Number.isFinite(value)),
      { x: left, y: top + CELL.height * modules.length + 22 },
    ),
    "</svg>",
  ].join("\n")}\n`;
}

function totalText({ base, total: { changed, compared, relative } }: ChangeReport): string {
  const counted =
    base === null ? `${changed} of ${compared} differences are not zero` : `${changed} of ${compared} elements`;
  return `${counted}${relative === null ? "" : `, relative change ${digits(relative)}`}`;
}

/** The sentence for a card. */
export function changeSentence(report: ChangeReport): string {
  return `The fine-tune changed ${totalText(report)}.`;
}

const STYLE = `<style>
text { font: 12px ui-monospace, monospace; fill: #222 }
.heading { font: 14px system-ui, sans-serif }
.page { fill: #fff }
.same { fill: #e8e8e8 }
.strange { fill: #7b3fa0 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .page { fill: #161616 } .same { fill: #3a3a3a } .strange { fill: #b98ae0 } }
</style>`;

/** The figures of the map by layer and module: the largest of several tensors in one cell, or NaN if one of them has it. */
function cellsOf(report: ChangeReport): ReadonlyMap<string, number> {
  const figure = mapFigure(report);
  const cells = new Map<string, number>();
  for (const tensor of report.tensors) {
    const { layer, module } = tensor;
    const value = figure.of(tensor);
    if (layer !== null && value !== null) {
      const key = `${layer} ${module}`;
      // Math.max keeps NaN.
      cells.set(key, Math.max(value, cells.get(key) ?? value));
    }
  }
  return cells;
}

/** The smallest and the largest value; 1 if there are none, which is never shown. */
function spread(values: readonly number[]): readonly number[] {
  return values.length === 0
    ? [1]
    : [values.reduce((least, value) => Math.min(least, value)), values.reduce((most, value) => Math.max(most, value))];
}

function colourOf(value: number, { least, most }: { readonly least: number; readonly most: number }): string {
  if (!Number.isFinite(value)) {
    return `class="strange"`;
  }
  if (value <= 0) {
    return `class="same"`;
  }
  const span = Math.log(most / least);
  const part = span === 0 ? 1 : Math.log(value / least) / span;
  return `fill="${COLOURS[Math.min(COLOURS.length - 1, Math.max(0, Math.floor(part * COLOURS.length)))]}"`;
}

function legend(
  scale: { readonly least: number; readonly most: number } | null,
  strange: boolean,
  { x, y }: { readonly x: number; readonly y: number },
): readonly string[] {
  const named = (look: string, left: number, name: string): string =>
    `<rect class="${look}" x="${left}" y="${y}" width="14" height="14"/><text x="${left + 20}" y="${y + 12}">${name}</text>`;
  const plain = [
    named("same", x, "unchanged"),
    ...(strange ? [named("strange", x + (scale === null ? 110 : 190 + 14 * COLOURS.length + 80), NO_NUMBER)] : []),
  ];
  if (scale === null) {
    return plain;
  }
  const at = x + 110;
  return [
    ...plain,
    `<text x="${at}" y="${y + 12}">${digits(scale.least)}</text>`,
    ...COLOURS.map(
      (colour, step) => `<rect fill="${colour}" x="${at + 80 + 14 * step}" y="${y}" width="14" height="14"/>`,
    ),
    `<text x="${at + 84 + 14 * COLOURS.length}" y="${y + 12}">${digits(scale.most)}</text>`,
  ];
}

/** Three significant digits: nobody sees more in a picture or a table. */
export function digits(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function round(value: number): number {
  return Math.round(100 * value) / 100;
}

/** Escapes text for XML. Characters that XML does not allow, and those that turn the direction of writing, are shown as numbers. */
function escaped(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\ufffe\uffff]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
