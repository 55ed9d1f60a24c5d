/**
 * Multiplies rows of a matrix by the inputs of several tokens, in plain TypeScript: the oracle of assembly/multiply.ts, and the fallback.
 */
import { assertSize, assertSpan } from "./memory.js";

/** Positions in the kernel's memory; all values are F32. */
export interface Product {
  /** rows x columns, row by row. */
  readonly weights: number;
  readonly rows: number;
  readonly columns: number;
  /** tokens x columns. */
  readonly inputs: number;
  readonly tokens: number;
  /** The product of row r with the input of token t goes to the value t * stride + r. */
  readonly outputs: number;
  readonly stride: number;
}

export interface Multiply {
  /**
   * Computes each product in F32, with every step rounded: lane k mod 4 adds the columns k in order, then (0 + 1) + (2 + 3), then the
   * columns past the last multiple of four, one by one. So a product does not depend on the rows and tokens beside it.
   */
  multiply(product: Product): void;
}

export function assertProduct(memory: ArrayBuffer, from: number, product: Product): void {
  const { weights, rows, columns, inputs, tokens, outputs, stride } = product;
  for (const size of [rows, columns, tokens, stride]) {
    assertSize(size, 1);
  }
  assertSpan(memory, from, weights, 4 * rows * columns);
  assertSpan(memory, from, inputs, 4 * tokens * columns);
  assertSpan(memory, from, outputs, 4 * (stride * (tokens - 1) + rows));
}

export function scalarMultiply(memory: ArrayBuffer): Multiply {
  const view = new DataView(memory);
  const value = (at: number): number => view.getFloat32(at, true);
  return {
    multiply(product) {
      assertProduct(memory, 0, product);
      const { weights, rows, columns, inputs, tokens, outputs, stride } = product;
      const whole = columns - (columns % 4);
      const lanes = new Float32Array(4);
      for (let r = 0; r < rows; r++) {
        for (let t = 0; t < tokens; t++) {
          const term = (k: number): number =>
            Math.fround(value(weights + 4 * (r * columns + k)) * value(inputs + 4 * (t * columns + k)));
          lanes.fill(0);
          for (let k = 0; k < whole; k++) {
            lanes[k % 4] = (lanes[k % 4] ?? 0) + term(k);
          }
          const [a = 0, b = 0, c = 0, d = 0] = lanes;
          let sum = Math.fround(Math.fround(a + b) + Math.fround(c + d));
          for (let k = whole; k < columns; k++) {
            sum = Math.fround(sum + term(k));
          }
          view.setFloat32(outputs + 4 * (t * stride + r), sum, true);
        }
      }
    },
  };
}
