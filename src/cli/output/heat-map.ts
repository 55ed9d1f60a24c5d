/** A table of numbers as blocks on a logarithmic scale: a row for each module, a column for each layer. */

/** From the smallest change to the largest. */
const BLOCKS = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"] as const;
/** Of xterm's 256 colours, from cold to hot. */
const COLOURS = [17, 19, 25, 31, 71, 178, 208, 196] as const;
const UNCHANGED = "·";
const MISSING = " ";
const NO_NUMBER = "?";

export interface HeatRow {
  readonly name: string;
  /** One value for each column; null if there is none. */
  readonly cells: readonly (number | null)[];
}

export interface HeatLook {
  /** Columns of the terminal. */
  readonly width: number;
  readonly colour: boolean;
}

/** The smallest and the largest of the numbers above 0; null if there are none. */
function heatScale(rows: readonly HeatRow[]): { readonly least: number; readonly most: number } | null {
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (const { cells } of rows) {
    for (const value of cells) {
      if (value !== null && value > 0 && Number.isFinite(value)) {
        least = Math.min(least, value);
        most = Math.max(most, value);
      }
    }
  }
  return most === 0 ? null : { least, most };
}

/** @returns a line for each row. If there are more columns than the width holds, neighbours share one, which shows the largest. */
export function heatMap(rows: readonly HeatRow[], { width, colour }: HeatLook): readonly string[] {
  const scale = heatScale(rows);
  const label = Math.min(Math.max(0, ...rows.map(({ name }) => name.length)), Math.max(8, Math.floor(width / 2)));
  const columns = Math.max(0, ...rows.map(({ cells }) => cells.length));
  const room = Math.max(1, width - label - 4);
  const shared = Math.ceil(columns / room);
  return rows.map(({ name, cells }) => {
    let line = "";
    for (let first = 0; first < columns; first += shared) {
      const some = cells.slice(first, first + shared).filter((value) => value !== null);
      line += some.length === 0 ? MISSING : block(Math.max(...some), scale, colour);
    }
    const text = name.length > label ? `…${name.slice(name.length - label + 1)}` : name.padEnd(label);
    return `  ${text}  ${line}`.trimEnd();
  });
}

function block(value: number, scale: ReturnType<typeof heatScale>, colour: boolean): string {
  if (!Number.isFinite(value)) {
    return NO_NUMBER;
  }
  if (scale === null || value <= 0) {
    return UNCHANGED;
  }
  const span = Math.log(scale.most / scale.least);
  const part = span === 0 ? 1 : Math.log(Math.min(value, scale.most) / scale.least) / span;
  const step = Math.min(BLOCKS.length - 1, Math.floor(part * BLOCKS.length));
  return colour ? `\u001b[38;5;${COLOURS[step]}m${BLOCKS[step]}\u001b[39m` : (BLOCKS[step] ?? "");
}

/** For example "▁ 0.0012 to █ 0.045". */
export function scaleText(rows: readonly HeatRow[]): string {
  const scale = heatScale(rows);
  const strange = rows.some(({ cells }) => cells.some((value) => value !== null && !Number.isFinite(value)));
  return [
    scale === null
      ? `${UNCHANGED} nothing changed`
      : `${UNCHANGED} unchanged, ${BLOCKS[0]} ${scale.least.toPrecision(3)} to ${BLOCKS[7]} ${scale.most.toPrecision(3)}, logarithmic`,
    ...(strange ? [`${NO_NUMBER} NaN or infinity`] : []),
  ].join(", ");
}
