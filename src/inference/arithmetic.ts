/**
 * The computations between the matrices, token by token. Values are F32; sums and functions F64. The values of a token depend only on
 * itself and on the keys and values before it, in a fixed order. So they do not depend on how many tokens are computed together.
 */

/** weight * x / sqrt(mean(x²) + eps) (transformers, LlamaRMSNorm). `target` may be `source`. */
export function rmsNorm(
  source: Float32Array,
  from: number,
  target: Float32Array,
  to: number,
  weight: Float32Array,
  eps: number,
): void {
  const size = weight.length;
  let squares = 0;
  for (let i = 0; i < size; i++) {
    const value = source[from + i] ?? 0;
    squares += value * value;
  }
  const scale = 1 / Math.sqrt(squares / size + eps);
  for (let i = 0; i < size; i++) {
    target[to + i] = (weight[i] ?? 0) * Math.fround((source[from + i] ?? 0) * scale);
  }
}

/** (x - mean) / sqrt(variance + eps) * weight + bias (torch.nn.LayerNorm). */
export function layerNorm(
  source: Float32Array,
  from: number,
  target: Float32Array,
  to: number,
  weight: Float32Array,
  bias: Float32Array,
  eps: number,
): void {
  const size = weight.length;
  let sum = 0;
  for (let i = 0; i < size; i++) {
    sum += source[from + i] ?? 0;
  }
  const mean = sum / size;
  let squares = 0;
  for (let i = 0; i < size; i++) {
    const value = (source[from + i] ?? 0) - mean;
    squares += value * value;
  }
  const scale = 1 / Math.sqrt(squares / size + eps);
  for (let i = 0; i < size; i++) {
    target[to + i] = ((source[from + i] ?? 0) - mean) * scale * (weight[i] ?? 0) + (bias[i] ?? 0);
  }
}

/** x / (1 + e^-x). */
export function silu(value: number): number {
  return value / (1 + Math.exp(-value));
}

/** x / 2 * (1 + erf(x / sqrt(2))): the exact form, not the one with tanh. */
export function gelu(value: number): number {
  return 0.5 * value * (1 + erf(value * Math.SQRT1_2));
}

const ERF_STEP = 1 / 64;
const ERF_END = 6;
/** erf at multiples of the step. Every term is positive: e^-x² · 2x/sqrt(π) · Σ (2x²)^n / (1 · 3 · … · (2n + 1)). */
let erfTable: Float64Array | undefined;

function erfSeries(x: number): number {
  let term = (2 * x * Math.exp(-x * x)) / Math.sqrt(Math.PI);
  let sum = term;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return sum;
}

/** With an error below 1e-12: from the nearest multiple of the step by the first five terms of Taylor's series. */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (!(size < ERF_END)) {
    return Number.isNaN(x) ? x : Math.sign(x);
  }
  erfTable ??= Float64Array.from({ length: ERF_END / ERF_STEP + 1 }, (_, i) => erfSeries(i * ERF_STEP));
  const index = Math.round(size / ERF_STEP);
  const a = index * ERF_STEP;
  const h = size - a;
  const slope = (2 / Math.sqrt(Math.PI)) * Math.exp(-a * a);
  const aa = a * a;
  const fifth = (3 - 12 * aa + 4 * aa * aa) / 30;
  const steps = h * (1 + h * (-a + h * ((2 * aa - 1) / 3 + h * ((a * (3 - 2 * aa)) / 6 + h * fifth))));
  return Math.sign(x) * ((erfTable[index] ?? 1) + slope * steps);
}

export interface Heads {
  readonly heads: number;
  readonly keyHeads: number;
  readonly size: number;
  readonly window: number | null;
}

/**
 * softmax(q · kᵀ / sqrt(size)) · v for one token, head by head.
 * @param queries heads x size values, starting at `from`.
 * @param cache one row for each token so far: keyHeads x size keys, then as many values.
 * @param position of the token; it sees itself and the tokens before it, at most those in the window.
 */
export function attend(
  { heads, keyHeads, size, window }: Heads,
  queries: Float32Array,
  from: number,
  cache: Float32Array,
  position: number,
  target: Float32Array,
  to: number,
): void {
  const row = 2 * keyHeads * size;
  const first = window === null ? 0 : Math.max(0, position - window + 1);
  const scale = size ** -0.5;
  const scores = new Float64Array(position + 1 - first);
  const sums = new Float64Array(size);
  for (let head = 0; head < heads; head++) {
    const key = Math.floor(head / (heads / keyHeads)) * size;
    const query = from + head * size;
    let most = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < scores.length; i++) {
      const at = (first + i) * row + key;
      let sum = 0;
      for (let d = 0; d < size; d++) {
        sum += (queries[query + d] ?? 0) * (cache[at + d] ?? 0);
      }
      scores[i] = sum * scale;
      most = Math.max(most, sum * scale);
    }
    let total = 0;
    for (let i = 0; i < scores.length; i++) {
      const weight = Math.exp((scores[i] ?? 0) - most);
      scores[i] = weight;
      total += weight;
    }
    sums.fill(0);
    for (let i = 0; i < scores.length; i++) {
      const weight = (scores[i] ?? 0) / total;
      const at = (first + i) * row + keyHeads * size + key;
      for (let d = 0; d < size; d++) {
        sums[d] = (sums[d] ?? 0) + weight * (cache[at + d] ?? 0);
      }
    }
    target.set(sums, to + head * size);
  }
}

/** Are all values finite? x - x is 0 only for finite x, so the sum of all is 0 only if all are. */
export function allFinite(values: Float32Array): boolean {
  let sum = 0;
  for (const value of values) {
    sum += value - value;
  }
  return sum === 0;
}
