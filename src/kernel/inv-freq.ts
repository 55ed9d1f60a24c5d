/** The rotary frequencies, which models compute. */

/** The base if a config names none (transformers, LlamaConfig). */
export const ROPE_THETA = 10_000;

/**
 * inv_freq as transformers computes it: `1.0 / (base ** (torch.arange(0, dim, 2).float() / dim))` with dim = 2 count, each step rounded to
 * F32 (modeling_llama.py). Equal to torch 2.13 for every head size of the LLaMA and Pythia families (8 to 128). For dim 256, one value of
 * 128 differs by one unit in the last place, since torch's vector pow does not round correctly.
 * @param count number of values in the whole buffer; only those from `begin` to `end` are computed.
 * @returns F32 values.
 */
export function invFreq(count: number, base: number, begin: number, end: number): Float32Array {
  return Float32Array.from({ length: end - begin }, (_, i) => {
    const exponent = Math.fround((2 * (begin + i)) / (2 * count));
    return 1 / Math.fround(base ** exponent);
  });
}
