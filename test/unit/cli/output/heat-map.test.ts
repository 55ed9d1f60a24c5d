/** Numbers as blocks: what fits the width, and what a terminal may show of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { heatMap, scaleText } from "../../../../src/cli/output/heat-map.js";

const ROWS = [
  { name: "q", cells: [0.001, 0.01, 0.1, 1] },
  { name: "long_name", cells: [0, null, 1, 0.5] },
];

test("the scale of the map is logarithmic; an unchanged cell is a dot, and a missing one is a space", () => {
  assert.deepEqual(heatMap(ROWS, { width: 80, colour: false }), ["  q          ▁▃▆█", "  long_name  · ██"]);
  assert.equal(scaleText(ROWS), "· unchanged, ▁ 0.00100 to █ 1.00, logarithmic");
});

test("neighbours share a column where the width is short, and the largest counts", () => {
  assert.deepEqual(heatMap(ROWS, { width: 15, colour: false }), ["  q         ▃█", "  …ng_name  ·█"]);
  for (const width of [1, 10, 20, 40]) {
    for (const line of heatMap([{ name: "n".repeat(60), cells: Array.from({ length: 126 }, (_, i) => i + 1) }], {
      width,
      colour: false,
    })) {
      assert.ok([...line].length <= Math.max(width, 14), `${width}: ${line}`);
      assert.ok(line.endsWith("█"));
    }
  }
});

test("colours only where they are wanted", () => {
  assert.ok(heatMap(ROWS, { width: 80, colour: true })[0]?.includes("\u001b[38;5;17m▁\u001b[39m"));
  assert.ok(!heatMap(ROWS, { width: 80, colour: false }).join().includes("\u001b"));
});

test("the map shows unchanged cells, NaN and infinity as what they are", () => {
  const rows = [{ name: "a", cells: [0, Number.NaN, Number.POSITIVE_INFINITY, null] }];
  assert.deepEqual(heatMap(rows, { width: 80, colour: false }), ["  a  ·??"]);
  assert.equal(scaleText(rows), "· nothing changed, ? NaN or infinity");
  assert.equal(scaleText([{ name: "a", cells: [0, null] }]), "· nothing changed");
  assert.deepEqual(heatMap([], { width: 80, colour: false }), []);
});
