/**
 * The reference's integrity check: the sum of all elements of the recovered state dict (stanford_alpaca weight_diff.py, recover).
 * Per-tensor F32 sums are added in F32 in the order of the state dict of 2023; the value depends on that order, on torch's
 * thread count and on whether the dict held the rotary buffers (docs/arithmetic.md 7).
 */
import type { Shape } from "../formats/tensor-info.js";
import { invFreq, ROPE_THETA } from "../kernel/inv-freq.js";
import { INPUT_EMBEDDING } from "../known/embeddings.js";

export interface NaiveSums {
  /** The sum over every tensor but rotary_emb.inv_freq. */
  readonly withoutInvFreq: number;
  /** The sum with those buffers, which transformers kept in the state dict until 4.31. */
  readonly withInvFreq: number;
}

/** Rotary buffers that no file holds: how many layers have one, its length, and rope_theta. */
export interface RotaryBuffers {
  readonly layers: number;
  readonly count: number;
  readonly theta: number;
}

export interface SumVerdict {
  readonly verdict: "pass" | "pass-within-noise" | "fail";
  readonly expected: number;
  /** The one of the two sums that comes closest. */
  readonly found: number;
  readonly includesInvFreq: boolean;
  /** Why, in words. */
  readonly reason: string;
}

/** The script's own tolerance. */
const TOLERANCE = 1e-2;
/** The most by which two correct runs of the reference differ, by thread count and vector width (docs/arithmetic.md 7). */
const NOISE = 0.04;
/** The longest rotary buffer that is believed: the largest head has some hundred values. */
const MAX_ROTARY = 65_536;
/** Place of a parameter within its layer, in transformers' LLaMA of 2023 (4.28 to 4.30). */
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

/** The names in the order of the LLaMA state dict of 2023; unchanged if one of them is not of that family. */
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

/** A state dict counts a matrix under each of its names. @param twins the other names of some. */
export function withTwins(
  sums: ReadonlyMap<string, number>,
  twins: ReadonlyMap<string, string>,
): ReadonlyMap<string, number> {
  const more = [...twins].map(([name, twin]) => [twin, sums.get(name) ?? 0] as const);
  // An embedding stands before what is stored, a head behind it.
  const first = more.filter(([twin]) => INPUT_EMBEDDING.test(twin));
  const last = more.filter(([twin]) => !INPUT_EMBEDDING.test(twin));
  return new Map([...first, ...sums, ...last]);
}

/**
 * @param sums each tensor's own sum, an F32 (or an integer's exact) value.
 * @param computed buffers that neither file holds: how many layers have one, its length, and rope_theta; null if there are none.
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

/** What tensors tell of the length of a rotary buffer. */
export interface RotaryLengths {
  /** Values of a buffer that a file holds. */
  readonly stored: number | null;
  /** Rows of a layer's query matrix, those of all its heads. */
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

/** How many layers the names are of. */
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

/** The rotary buffers of a LLaMA: they count in one of the sums, stored or not. Null for other families. */
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
 * Judges the totals as the script does, and within the noise that the script itself has. `layers`: how many rotary buffers there
 * are; `tolerance`: the script's own.
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
      reason: `off by ${off.toFixed(4)}${which}: two runs of the reference with other thread counts differ as much`,
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
  // Bases that store the buffers in 16 bits shift the sum by up to 0.0003 a layer (docs/arithmetic.md 7).
  const isGap = layers > 0 && gap > NOISE && Math.abs(off - gap) <= NOISE + 0.001 * layers;
  return {
    verdict: "fail",
    expected,
    ...best,
    reason: isGap
      ? `off by ${off.toFixed(4)}, about ${(gap / layers).toFixed(2)} x ${layers} layers: inv_freq is why: the sum that was expected counts those buffers otherwise than these files do; the weights themselves may be right`
      : `off by ${off.toFixed(4)}: another base, another diff, or damaged files`,
  };
}
