/**
 * The reference's integrity check: the sum of all elements of the recovered state dict (stanford_alpaca weight_diff.py, recover). Sums the
 * F32 values of each tensor, and adds these sums in F32 in the order of the state dict of 2023. The value depends on that order, on torch's
 * thread count, and on whether the state dict held the rotary buffers (docs/arithmetic.md 7).
 */
import type { Shape } from "../formats/tensor-info.js";
import { invFreq, ROPE_THETA } from "../kernel/inv-freq.js";
import { INPUT_EMBEDDING } from "../known/embeddings.js";

export interface NaiveSums {
  /** The sum of all tensors except rotary_emb.inv_freq. */
  readonly withoutInvFreq: number;
  /** The sum with those buffers. transformers kept them in the state dict up to 4.31. */
  readonly withInvFreq: number;
}

/** Rotary buffers that no file holds: the number of layers that have one, its length in elements, and rope_theta. */
export interface RotaryBuffers {
  readonly layers: number;
  readonly count: number;
  readonly theta: number;
}

export interface SumVerdict {
  readonly verdict: "pass" | "pass-within-noise" | "fail";
  readonly expected: number;
  /** The one of the two sums that is closer. */
  readonly found: number;
  readonly includesInvFreq: boolean;
  /** Why, in words. */
  readonly reason: string;
}

/** The tolerance of the script. */
const TOLERANCE = 1e-2;
/** The largest difference between two correct runs of the reference, by thread count and vector width (docs/arithmetic.md 7). */
const NOISE = 0.04;
/** The longest rotary buffer that is plausible: the largest heads have a few hundred values. */
const MAX_ROTARY = 65_536;
/** The order of the parameters within a layer, in transformers' LLaMA of 2023 (4.28 to 4.30). */
const IN_LAYER = [
  "self_attn.q_proj.weight",
  "self_attn.k_proj.weight",
  "self_attn.v_proj.weight",
  "self_attn.o_proj.weight",
  "self_attn.rotary_emb.inv_freq",
  "mlp.gate_proj.weight",
  "mlp.down_proj.weight",
  "mlp.up_proj.weight",
  "input_layernorm.weight",
  "post_attention_layernorm.weight",
];
const OUTSIDE = new Map([
  ["model.embed_tokens.weight", -1],
  ["model.norm.weight", Number.MAX_SAFE_INTEGER - 1],
  ["lm_head.weight", Number.MAX_SAFE_INTEGER],
]);

/** The names in the order of the LLaMA state dict of 2023. Unchanged if a name does not belong to that family. */
export function stateDictOrder(names: readonly string[]): readonly string[] {
  const ranks = new Map(names.map((name) => [name, rank(name)]));
  if ([...ranks.values()].includes(null)) {
    return names;
  }
  return [...names].sort((a, b) => (ranks.get(a) ?? 0) - (ranks.get(b) ?? 0));
}

function rank(name: string): number | null {
  const match = /^model\.layers\.(\d{1,6})\.(.+)$/.exec(name);
  const place = IN_LAYER.indexOf(match?.[2] ?? "");
  return OUTSIDE.get(name) ?? (match === null || place < 0 ? null : Number(match[1]) * IN_LAYER.length + place);
}

const QUERIES = /^model\.layers\.\d{1,6}\.self_attn\.q_proj\.weight$/;
const isInvFreq = (name: string): boolean => name.endsWith("rotary_emb.inv_freq");

/**
 * Adds tied matrices under their other names, since a state dict counts a matrix once for each of its names.
 * @param twins the other name, by stored name.
 */
export function withTwins(
  sums: ReadonlyMap<string, number>,
  twins: ReadonlyMap<string, string>,
): ReadonlyMap<string, number> {
  const more = [...twins].map(([name, twin]) => [twin, sums.get(name) ?? 0] as const);
  // An embedding comes before the stored tensors, a head after them.
  const first = more.filter(([twin]) => INPUT_EMBEDDING.test(twin));
  const last = more.filter(([twin]) => !INPUT_EMBEDDING.test(twin));
  return new Map([...first, ...sums, ...last]);
}

/**
 * @param sums the sum of each tensor by name: an F32 value, or an exact integer.
 * @param computed the buffers that neither file holds; null if there are none.
 */
export function naiveSums(sums: ReadonlyMap<string, number>, computed: RotaryBuffers | null): NaiveSums {
  const order = stateDictOrder([...sums.keys()]);
  const total = (names: readonly string[], start: number): number =>
    names.reduce((sum, name) => Math.fround(sum + Math.fround(sums.get(name) ?? 0)), start);
  const withoutInvFreq = total(
    order.filter((name) => !isInvFreq(name)),
    0,
  );
  let withInvFreq = total(order, 0);
  if (computed !== null && !order.some(isInvFreq)) {
    const one = Math.fround(
      invFreq(computed.count, computed.theta, 0, computed.count).reduce((sum, value) => sum + value, 0),
    );
    for (let layer = 0; layer < computed.layers; layer++) {
      withInvFreq = Math.fround(withInvFreq + one);
    }
  }
  return { withoutInvFreq, withInvFreq };
}

/** What the tensors tell about the length of a rotary buffer. */
interface RotaryLengths {
  /** Elements of a buffer that a file holds. */
  readonly stored: number | null;
  /** Rows of a layer's query matrix: the rows of all heads together. */
  readonly queryRows: number | null;
}

export function rotaryLengths(
  tensors: Iterable<readonly [name: string, tensor: { readonly shape: Shape }]>,
): RotaryLengths {
  let stored: number | null = null;
  let queryRows: number | null = null;
  for (const [name, { shape }] of tensors) {
    if (stored === null && isInvFreq(name)) {
      stored = shape[0] ?? null;
    } else if (queryRows === null && QUERIES.test(name)) {
      queryRows = shape[0] ?? null;
    }
  }
  return { stored, queryRows };
}

/** How many layers appear in the names. */
export function layerCount(names: Iterable<string>): number {
  const layers = new Set<string>();
  for (const name of names) {
    const layer = /^model\.layers\.(\d{1,6})\./.exec(name)?.[1];
    if (layer !== undefined) {
      layers.add(layer);
    }
  }
  return layers.size;
}

/** The rotary buffers of a LLaMA. One of the two sums counts them, whether a file holds them or not. Null for other families. */
export function computedInvFreq(
  names: Iterable<string>,
  { stored, queryRows }: RotaryLengths,
  config: { readonly headSize: number | null; readonly heads: number | null; readonly ropeTheta: number } | null,
): RotaryBuffers | null {
  const layers = layerCount(names);
  const headSize = queryRows !== null && config?.heads != null ? queryRows / config.heads : (config?.headSize ?? 0);
  const count = stored ?? headSize / 2;
  return layers > 0 && Number.isInteger(count) && count > 0 && count <= MAX_ROTARY
    ? { layers, count, theta: config?.ropeTheta ?? ROPE_THETA }
    : null;
}

/**
 * Judges the totals as the script does, and allows for the noise of the script itself.
 * @param layers the number of rotary buffers.
 * @param tolerance that of the script, absolute.
 */
export function judgeSum(expected: number, sums: NaiveSums, layers: number, tolerance = TOLERANCE): SumVerdict {
  const target = Math.fround(expected);
  const choices = [
    { found: sums.withInvFreq, includesInvFreq: true },
    { found: sums.withoutInvFreq, includesInvFreq: false },
  ] as const;
  const distance = (found: number): number =>
    Number.isFinite(found) ? Math.abs(found - target) : Number.POSITIVE_INFINITY;
  const best = distance(choices[1].found) < distance(choices[0].found) ? choices[1] : choices[0];
  const off = distance(best.found);
  const which =
    sums.withInvFreq === sums.withoutInvFreq
      ? ""
      : best.includesInvFreq
        ? " with the inv_freq buffers, as transformers kept them in 2023"
        : " without the inv_freq buffers";
  if (off <= tolerance) {
    return { verdict: "pass", expected, ...best, reason: `within ${Number(tolerance.toPrecision(3))}${which}` };
  }
  if (off <= NOISE) {
    return {
      verdict: "pass-within-noise",
      expected,
      ...best,
      reason: `off by ${off.toFixed(4)}${which}: two runs of the reference with different thread counts differ as much`,
    };
  }
  if (!Number.isFinite(best.found)) {
    return {
      verdict: "fail",
      expected,
      ...best,
      reason: "the sum is no number: the weights hold NaN or infinite values, or sum to more than float32 holds",
    };
  }
  const gap = Math.abs(sums.withInvFreq - sums.withoutInvFreq);
  // Bases that store the buffers in 16 bits shift the sum by up to 0.0003 for each layer (docs/arithmetic.md 7).
  const isGap = layers > 0 && gap > NOISE && Math.abs(off - gap) <= NOISE + 0.001 * layers;
  return {
    verdict: "fail",
    expected,
    ...best,
    reason: isGap
      ? `off by ${off.toFixed(4)}, about ${(gap / layers).toFixed(2)} x ${layers} layers: inv_freq is why: the expected sum counts those buffers, these files do not, or the other way round; the weights themselves may be right`
      : `off by ${off.toFixed(4)}: another base, another diff, or damaged files`,
  };
}
