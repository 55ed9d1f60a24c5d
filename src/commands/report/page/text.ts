/** Elements of the page, and what is written into them: every name is put in as text. */

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

/** Characters that have no shape, or turn the direction of writing, are shown by their numbers. */
export function shown(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

export const digits = (value: number | null): string => (value === null ? "–" : String(Number(value.toPrecision(3))));
export const percent = (value: number | null): string =>
  value === null ? "–" : `${Number((100 * value).toPrecision(3))} %`;
export const whole = (value: number): string => value.toLocaleString("en");
