/** The tokens that moved most. */
import { alone, data } from "./figures.js";
import { digits, element, made, shown } from "./text.js";

export function drawTokens(): void {
  if (data.embeddings.length === 0) {
    element("tokens-section").remove();
    return;
  }
  element("tokens").replaceChildren(
    ...data.embeddings.map(({ name, tokens }) => {
      const block = made("div", "", "embedding");
      const table = made("table");
      const head = made("tr");
      head.append(made("th", "row"), made("th", "token", "text"), made("th", "moved by"));
      alone || head.append(made("th", "relative"));
      table.createTHead().append(head);
      table.createTBody().append(
        ...tokens.map(({ row, token, norm, relative }) => {
          const line = made("tr");
          const text = token === null ? "–" : shown(token);
          line.append(made("td", String(row)), made("td", text, "text"), made("td", digits(norm)));
          alone || line.append(made("td", digits(relative)));
          return line;
        }),
      );
      block.append(made("h3", shown(name)), table);
      return block;
    }),
  );
}
