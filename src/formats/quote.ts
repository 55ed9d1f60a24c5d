/**
 * How text out of a file is shown in a message. Names in weight files are hostile until proven otherwise: they may hold line
 * breaks, terminal escapes or marks that turn the writing direction, and be megabytes long.
 */

/** Characters of a name that a message shows. */
const SHOWN = 160;
/** What JSON leaves as it is though a terminal may obey it or hide it: DEL, C1 controls, invisible and bidirectional marks. */
const UNSAFE = /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** `text` in double quotes, escaped as in JSON, cut to a line's length. */
export function quote(text: string): string {
  const shown = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
  return JSON.stringify(shown).replace(UNSAFE, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** `text` as it is where that is safe on a terminal and short, else as `quote` shows it. For lists and tables. */
export function printable(text: string): string {
  const quoted = quote(text);
  return quoted === `"${text}"` ? text : quoted;
}
