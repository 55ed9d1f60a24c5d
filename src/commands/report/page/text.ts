/** Elements of the page and their text. Every name is inserted as text, never as markup. */

export function element<E extends Element = HTMLElement>(id: string): E {
  return document.getElementById(id) as unknown as E;
}

/** An element with text in it. */
export function made<K extends keyof HTMLElementTagNameMap>(tag: K, text = "", name = ""): HTMLElementTagNameMap[K] {
  const one = document.createElement(tag);
  one.textContent = text;
  if (name !== "") {
    one.className = name;
  }
  return one;
}

/** Replaces characters without a shape, and those that turn the direction of writing, by their numbers. */
export function shown(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** The text for a figure that is not finite. */
export const NO_NUMBER = "NaN or infinity";
/** A figure as text: "–" where there is none, NO_NUMBER for NaN. */
const figureText =
  (text: (value: number) => string) =>
  (value: number | null): string =>
    value === null ? "–" : Number.isNaN(value) ? NO_NUMBER : text(value);
export const digits = figureText((value) => String(Number(value.toPrecision(3))));
export const percent = figureText((value) => `${Number((100 * value).toPrecision(3))} %`);
export const fixed = (places: number): ((value: number | null) => string) =>
  figureText((value) => value.toFixed(places));
export const whole = (value: number): string => value.toLocaleString("en");
