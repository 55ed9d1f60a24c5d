/**
 * How messages show text from a file. Names in weight files count as hostile: they may hold line breaks, terminal escapes or marks that
 * turn the direction of writing, and have megabytes.
 */
import { blot } from "../secrets.js";

/** A message shows so many characters of a name. */
const SHOWN = 160;
/** Characters to look at. */
const LONGEST = 20_000;
/**
 * Characters that a terminal may obey, or that an eye cannot see: C0 and C1 controls, line and paragraph separators, every format character
 * (bidirectional marks, zero-width ones, tags), halves of surrogate pairs, and characters that are drawn as nothing (variation selectors,
 * fillers: Unicode, DerivedCoreProperties.txt, Default_Ignorable_Code_Point).
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** `text` in double quotes, escaped as in JSON, cut to the length of a line. */
export function quote(text: string): string {
  // Before the cut, which could leave half of a secret.
  const safe = blot(text.slice(0, LONGEST));
  const shown = safe.length > SHOWN ? `${safe.slice(0, SHOWN)}…` : safe;
  return escapeUnsafe(JSON.stringify(shown));
}

/** `text` unchanged if it is short and safe on a terminal, else as `quote` shows it. For lists and tables. */
export function printable(text: string): string {
  const quoted = quote(text);
  return quoted === `"${text}"` ? text : quoted;
}

/**
 * `text` of any length, with every unsafe character except line feeds escaped: for everything that leaves the program. Text without such
 * characters, such as JSON, stays unchanged.
 */
export function escapeUnsafe(text: string): string {
  return text.replace(UNSAFE, (mark) => (mark === "\n" ? mark : escapeOf(mark)));
}

/** As JSON spells it: one escape for each UTF-16 unit. */
function escapeOf(mark: string): string {
  return Array.from({ length: mark.length }, (_, at) => `\\u${mark.charCodeAt(at).toString(16).padStart(4, "0")}`).join(
    "",
  );
}
