/** The matrices of a pass in order, and how many tokens go through them together. */
import type { Architecture } from "./architecture.js";
import type { Module } from "./modules.js";
import type { ProductStep, RowPart } from "./products.js";

/** Rows of the head to multiply in one step: the products of all tokens with all rows would not fit into memory. */
export const HEAD_ROWS = 8192;
/** Memory for the tokens of a pass: their inputs, here and in each of two threads, their products, and the states between. */
const TOKEN_BYTES = 64 * 2 ** 20;
const LEAST_TOKENS = 16;
const MOST_TOKENS = 512;

/** Layer by layer, matrices with the same input together; then the head, some rows at a time. */
export function stepsOf({ layers, head, hidden, heads, headSize, inner }: Architecture): readonly ProductStep[] {
  const rows = head.weight.shape[0] ?? 0;
  const chunks = Array.from({ length: Math.ceil(rows / HEAD_ROWS) }, (_, index): ProductStep => {
    const begin = index * HEAD_ROWS;
    const end = Math.min(rows, begin + HEAD_ROWS);
    const part = { name: head.weight.name, tensor: head.weight, rows: { begin, end }, first: 0 };
    return { columns: hidden, products: end - begin, parts: [part] };
  });
  return [
    ...layers.flatMap(({ attention, output, inner: gates, down }) => [
      step(hidden, attention),
      step(heads * headSize, [output]),
      step(hidden, gates),
      step(inner, [down]),
    ]),
    ...chunks,
  ];
}

/** The number of products for one token. Those of the first module come first. */
export function productsOf(modules: readonly Module[]): number {
  return modules.reduce((sum, { weight }) => sum + (weight.shape[0] ?? 0), 0);
}

function step(columns: number, modules: readonly Module[]): ProductStep {
  const parts = modules.map(({ weight }, index): RowPart => {
    const first = productsOf(modules.slice(0, index));
    return { name: weight.name, tensor: weight, rows: { begin: 0, end: weight.shape[0] ?? 0 }, first };
  });
  return { columns, products: productsOf(modules), parts };
}

export function mostTokens(steps: readonly ProductStep[], { hidden }: Architecture): number {
  const columns = Math.max(...steps.map((each) => each.columns));
  const products = Math.max(...steps.map((each) => each.products));
  const bytes = 4 * (3 * columns + products + 2 * hidden);
  return Math.min(MOST_TOKENS, Math.max(LEAST_TOKENS, Math.floor(TOKEN_BYTES / bytes)));
}
