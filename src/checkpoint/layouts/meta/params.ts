/**
 * params.json, which Meta put beside the weights of LLaMA and Llama 2 (docs/formats.md 2.6). It states the sizes of the model. Names and
 * shapes in the weight files must agree with them.
 */
import * as z from "zod";
import { WeightDiffError } from "../../../errors.js";
import { parseJson } from "../../../formats/json.js";

export const PARAMS = "params.json";
export const FETCH_PARAMS = `fetch ${PARAMS} from where the weights came from`;

const size = z.number().int().positive().max(1e9);

const schema = z.object({
  dim: size,
  n_heads: size,
  n_layers: size,
  n_kv_heads: size.nullish(),
  norm_eps: z.number().positive().max(1),
  /** -1: as many as the tokenizer has. */
  vocab_size: z.number().int().min(-1).max(1e9).nullish(),
  rope_theta: z.number().positive().finite().nullish(),
  use_scaled_rope: z.boolean().nullish(),
});

export interface MetaParams {
  readonly path: string;
  /** Columns of the embedding. */
  readonly dim: number;
  readonly heads: number;
  /** Null if the file does not state it: then as many as heads. */
  readonly keyValueHeads: number | null;
  readonly layers: number;
  readonly normEps: number;
  /** Null if it is left to the tokenizer. */
  readonly vocabulary: number | null;
  readonly ropeTheta: number | null;
  /** Llama 3.1 and later scale the rotary frequencies. */
  readonly scaledRope: boolean;
}

/** @throws {WeightDiffError} FORMAT_INVALID, naming the value that is missing or not a size. */
export function parseParams(text: string, path: string): MetaParams {
  const parsed = schema.safeParse(parseJson(text, path));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const key = issue?.path.join(".") ?? "";
    throw new WeightDiffError(
      "FORMAT_INVALID",
      `not the params.json of a LLaMA: ${key === "" ? "" : `${key}: `}${issue?.message ?? "not understood"}`,
      "fetch params.json again from where the weights came from",
      { at: { file: path } },
    );
  }
  const { dim, n_heads, n_layers, n_kv_heads, norm_eps, vocab_size, rope_theta, use_scaled_rope } = parsed.data;
  return {
    path,
    dim,
    heads: n_heads,
    keyValueHeads: n_kv_heads ?? null,
    layers: n_layers,
    normEps: norm_eps,
    vocabulary: typeof vocab_size === "number" && vocab_size > 0 ? vocab_size : null,
    ropeTheta: rope_theta ?? null,
    scaledRope: use_scaled_rope === true,
  };
}
