/**
 * Rotary positions: the frequencies of each kind, and the rotation itself (transformers 5.23, modeling_rope_utils.py and
 * modeling_llama.py).
 */
import { quote } from "../formats/quote.js";
import { invFreq } from "../kernel/inv-freq.js";
import type { ConfigReader } from "./config-reader.js";
import type { ModelFamily } from "./families.js";

export interface Rope {
  /** F32: radians per position, one for each pair of elements that is rotated. */
  readonly inverse: Float32Array;
}

const { fround } = Math;

/** @param scaling the object that names the kind; the config if there is no such object. */
type Rule = (plain: Float32Array, scaling: ConfigReader, config: ConfigReader) => Float32Array;

/** Add a row to add a kind. */
const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ["default", (plain) => plain],
  ["linear", (plain, scaling) => plain.map((frequency) => frequency / fround(scaling.positive("factor")))],
  // Up to max_position_embeddings, which no text may exceed, it equals the default.
  ["dynamic", (plain) => plain],
  ["llama3", llama3],
]);

function llama3(plain: Float32Array, scaling: ConfigReader, config: ConfigReader): Float32Array {
  const factor = scaling.positive("factor");
  const low = scaling.positive("low_freq_factor");
  const high = scaling.positive("high_freq_factor");
  const original = "original_max_position_embeddings";
  const context =
    config.orNull(original, config.positive) ??
    scaling.orNull(original, scaling.positive) ??
    config.positive("max_position_embeddings");
  if (high <= low) {
    throw scaling.invalid(`high_freq_factor is ${high}, low_freq_factor ${low}`);
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
 * The frequencies that a config asks for, by the keys of transformers 4 (rope_theta, rope_scaling) or 5 (rope_parameters). If both are
 * given, transformers uses rope_scaling.
 * @param size elements of a head.
 * @param keys the family's keys for the base, and for the share of a head that is rotated.
 * @throws {WeightDiffError} FORMAT_UNSUPPORTED for a kind that is not supported; FORMAT_INVALID.
 */
export function ropeOf(config: ConfigReader, size: number, keys: ModelFamily["rope"]): Rope {
  const scaling = config.part("rope_scaling") ?? config.part("rope_parameters");
  if (scaling?.hasParts() === true) {
    throw config.unsupported(
      "its rotary positions differ from layer to layer",
      `these kinds run, one for all layers: ${[...RULES.keys()].join(", ")}`,
    );
  }
  const theta = scaling?.orNull("rope_theta", scaling.number) ?? config.number(keys.theta);
  if (!(theta > 0)) {
    throw config.invalid(`the base of its rotary frequencies is ${theta}`);
  }
  const kind = scaling?.orNull("rope_type", scaling.text) ?? scaling?.orNull("type", scaling.text) ?? "default";
  const rule = RULES.get(kind);
  if (rule === undefined) {
    throw config.unsupported(
      `its rotary positions are of kind ${quote(kind)}`,
      `these run: ${[...RULES.keys()].join(", ")}`,
    );
  }
  const turning = Math.floor(size * shareOf(config, scaling, keys));
  const odd = turning % 2;
  if (turning < 1 || turning + odd > size) {
    throw config.invalid(`${turning} elements of a head turn, expected an even number from 2 to ${size}`);
  }
  if (odd !== 0) {
    // transformers gives the last of them a frequency of its own.
    throw config.unsupported(`${turning} of ${size} elements of a head turn`, "an even number runs");
  }
  return { inverse: rule(invFreq(turning / 2, theta, 0, turning / 2), scaling ?? config, config) };
}

const SHARE = "partial_rotary_factor";

/** The share of a head that is rotated. */
function shareOf(config: ConfigReader, scaling: ConfigReader | null, { share }: ModelFamily["rope"]): number {
  const given = scaling?.orNull(SHARE, scaling.number) ?? null;
  if (share !== null) {
    return given ?? config.number(share);
  }
  const whole = given ?? config.orNull(SHARE, config.number) ?? 1;
  if (whole !== 1) {
    throw config.unsupported(`${SHARE} is ${whole}`, "1 runs for this family");
  }
  return whole;
}

/** cos and sin of one position, in F32, of an F32 angle. */
export interface Turn {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

export function turnAt({ inverse }: Rope, position: number): Turn {
  const angles = inverse.map((frequency) => position * frequency);
  return { cos: angles.map(Math.cos), sin: angles.map(Math.sin) };
}

/** Rotates the first elements of a head in place: element j with element j + half, not with its neighbour. */
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
