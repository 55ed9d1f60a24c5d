/** Rotary positions: the frequencies of each kind, and the turn itself (transformers 5.23, modeling_rope_utils.py and modeling_llama.py). */
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import { invFreq, ROPE_THETA } from "../kernel/inv-freq.js";
import type { ConfigReader } from "./config-reader.js";

export interface Rope {
  /** F32: radians a position, one for each pair of elements that turns. */
  readonly inverse: Float32Array;
}

const { fround } = Math;

type Rule = (plain: Float32Array, config: ConfigReader) => Float32Array;

/** Add a row to add a kind. */
const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ["default", (plain) => plain],
  ["linear", (plain, config) => plain.map((frequency) => frequency / fround(config.positive("factor")))],
  // Up to max_position_embeddings, which no text may pass, it is the default.
  ["dynamic", (plain) => plain],
  ["llama3", llama3],
]);

function llama3(plain: Float32Array, config: ConfigReader): Float32Array {
  const factor = config.positive("factor");
  const low = config.positive("low_freq_factor");
  const high = config.positive("high_freq_factor");
  const context = config.positive("original_max_position_embeddings");
  if (high <= low) {
    throw config.invalid(`high_freq_factor is ${high}, low_freq_factor ${low}`);
  }
  return plain.map((frequency) => {
    const length = fround(fround(2 * Math.PI) / frequency);
    if (length > context / low) {
      return fround(frequency / factor);
    }
    if (length < context / high) {
      return frequency;
    }
    const smooth = fround(fround(fround(context / length) - low) / (high - low));
    return fround(fround(fround(fround(1 - smooth) * frequency) / factor) + fround(smooth * frequency));
  });
}

/**
 * The frequencies that a config asks for, by the keys of transformers 4 (rope_theta, rope_scaling, rotary_emb_base) or 5 (rope_parameters).
 * @param size elements of a head that turn; even. @throws {WeightDiffError} FORMAT_UNSUPPORTED for a kind that is not run, FORMAT_INVALID.
 */
export function ropeOf(config: ConfigReader, size: number): Rope {
  const scaling = config.part("rope_parameters") ?? config.part("rope_scaling");
  if (scaling?.hasParts() === true) {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      "its rotary positions differ from layer to layer",
      `these kinds run, one for all layers: ${[...RULES.keys()].join(", ")}`,
      { at: { file: config.path } },
    );
  }
  const theta =
    scaling?.number("rope_theta") ?? config.number("rope_theta") ?? config.number("rotary_emb_base") ?? ROPE_THETA;
  if (!(theta > 0)) {
    throw config.invalid(`the base of its rotary frequencies is ${theta}`);
  }
  const kind = scaling?.text("rope_type") ?? scaling?.text("type") ?? "default";
  const rule = RULES.get(kind);
  if (rule === undefined) {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `its rotary positions are of kind ${quote(kind)}`,
      `these run: ${[...RULES.keys()].join(", ")}`,
      { at: { file: config.path } },
    );
  }
  return { inverse: rule(invFreq(size / 2, theta, 0, size / 2), scaling ?? config) };
}

/** cos and sin of one position: F32, of an angle that is F32, too. */
export interface Turn {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

export function turnAt({ inverse }: Rope, position: number): Turn {
  const angles = inverse.map((frequency) => position * frequency);
  return { cos: angles.map(Math.cos), sin: angles.map(Math.sin) };
}

/** Turns the first elements of a head in place: element j with element j + half, not with its neighbour. */
export function rotate(values: Float32Array, at: number, { cos, sin }: Turn): void {
  const half = cos.length;
  for (let j = 0; j < half; j++) {
    const a = values[at + j] ?? 0;
    const b = values[at + half + j] ?? 0;
    const c = cos[j] ?? 0;
    const s = sin[j] ?? 0;
    values[at + j] = fround(a * c) - fround(b * s);
    values[at + half + j] = fround(b * c) + fround(a * s);
  }
}
