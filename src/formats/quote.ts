/**
 * How text out of a file is shown in a message. Names in weight files are hostile until proven otherwise: they may hold line
 * breaks, terminal escapes or marks that turn the writing direction, and be megabytes long.
 */
import { blot } from "../secrets.js";

/** Characters of a name that a message shows. */
const SHOWN = 160;
/** Characters that are looked at. */
const LONGEST = 20_000;
/**
 * What a terminal may obey, or an eye cannot see: C0 and C1 controls, line and paragraph separators, every format character
 * (bidirectional marks, zero-width ones, tags), halves of surrogate pairs, and what is drawn as nothing (variation selectors,
 * fillers: Unicode, DerivedCoreProperties.txt, Default_Ignorable_Code_Point).
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** `text` in double quotes, escaped as in JSON, cut to a line's length. */
export function quote(text: string): string {
  // Before the cut, which would leave half of a secret.
  const safe = blot(text.slice(0, LONGEST));
  const shown = safe.length > SHOWN ? `${safe.slice(0, SHOWN)}…` : safe;
  return escapeUnsafe(JSON.stringify(shown));
}

/** `text` as it is where that is safe on a terminal and short, else as `quote` shows it. For lists and tables. */
export function printable(text: string): string {
  const quoted = quote(text);
  return quoted === `"${text}"` ? text : quoted;
}

/**
 * `text` of any length with every character that is unsafe on a terminal spelled out, but for line feeds: for what leaves the
 * program as a whole. Text without such characters, JSON among it, stays as it is.
 */
export function escapeUnsafe(text: string): string {
  return text.replace(UNSAFE, (mark) => (mark === "\n" ? mark : escapeOf(mark)));
}

/** As JSON spells it, one escape for each UTF-16 unit. */
function escapeOf(mark: string): string {
  return Array.from({ length: mark.length }, (_, at) => `\\u${mark.charCodeAt(at).toString(16).padStart(4, "0")}`).join(
    "",
  );
}
