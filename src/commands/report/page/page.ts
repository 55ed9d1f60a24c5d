/** The page of a report, in the browser. Everything is drawn from the data in the page. */
import { startMap } from "./map.js";
import { startRows } from "./rows.js";
import { drawSteps } from "./steps.js";
import { element } from "./text.js";
import { startTheme } from "./theme.js";
import { drawTokens } from "./tokens.js";
import { drawTotals, tellWords } from "./totals.js";

/** Elements that scroll, or that keys move in, can be reached by keys. */
for (const one of document.querySelectorAll<HTMLElement | SVGElement>("section.scroll, #map")) {
  one.tabIndex = 0;
}
element("tensors").tabIndex = -1;
startTheme();
drawTotals();
tellWords();
startMap();
drawSteps();
drawTokens();
startRows();
