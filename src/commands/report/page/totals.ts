/** The figures of all tensors together. */
import { alone, data, FIGURES, tensors } from "./figures.js";
import { element, made, percent, shown, whole } from "./text.js";

export function drawTotals(): void {
  const { total } = data;
  const scheme = data.scheme === null ? "" : `, applied by the scheme ${shown(data.scheme)}`;
  element("models").textContent =
    `${shown(data.path)} ${data.base === null ? "alone: a diff without its base" : `beside ${shown(data.base)}`}${scheme}`;
  const untold = total.elements - total.compared;
  const tiles: readonly (readonly [string, string])[] = [
    ["tensors", whole(tensors.name.length)],
    ["elements", whole(total.elements)],
    [alone ? "not zero" : "changed", `${whole(total.changedElements)} (${percent(total.changed)})`],
    ...(untold > 0 ? [[alone ? "not told of" : "new elements", whole(untold)] as const] : []),
    ...(tensors.noNumber.length > 0
      ? [["with NaN or infinity", `${whole(tensors.noNumber.length)} tensors`] as const]
      : []),
    ...FIGURES.filter(({ key }) => key !== "changed").map(({ key, label, text }) => [label, text(total[key])] as const),
  ];
  element("totals").replaceChildren(
    ...tiles.map(([label, value]) => {
      const tile = made("div");
      tile.append(made("dt", label), made("dd", value));
      return tile;
    }),
  );
}

/** Explains the figures. */
export function tellWords(): void {
  element("words").textContent = alone
    ? "Root mean square: of the differences of a tensor. Bits: what the differences take, coded without the base. Only the base tells which rows are new, and how large the differences are beside the weights."
    : "Relative change: the Frobenius norm of the difference over the base's. Bits: what the differences cost an ideal coder that has the base.";
}
