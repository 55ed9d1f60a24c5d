/** config.json: the few values that this tool needs, and its text, in which single values can be edited. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { WeightDiffError } from "../errors.js";
import { decodeText } from "../files/file-source.js";
import { readBytes } from "../files/small-files.js";
import { parseJson, topLevelSpans } from "../formats/json.js";
import { ROPE_THETA } from "../kernel/inv-freq.js";
import type { Checkpoint } from "./checkpoint.js";
import { refusePlaceholder } from "./side-files.js";
import { tiedByDefault } from "./tied-families.js";

const TIE = "tie_word_embeddings";
/** Real ones have a few hundred bytes. */
const MAX_CONFIG_BYTES = 1_000_000;

/** A value of an unexpected type counts as absent, so that an odd config stops no recovery. */
const shape = z.object({
  _name_or_path: z.string().optional().catch(undefined),
  model_type: z.string().optional().catch(undefined),
  architectures: z.array(z.string()).optional().catch(undefined),
  torch_dtype: z.string().optional().catch(undefined),
  dtype: z.string().optional().catch(undefined),
  vocab_size: z.number().optional().catch(undefined),
  intermediate_size: z.number().optional().catch(undefined),
  tie_word_embeddings: z.boolean().optional().catch(undefined),
  text_config: z
    .object({ tie_word_embeddings: z.boolean().optional().catch(undefined) })
    .optional()
    .catch(undefined),
  hidden_size: z.number().optional().catch(undefined),
  num_attention_heads: z.number().optional().catch(undefined),
  num_hidden_layers: z.number().optional().catch(undefined),
  rope_theta: z.number().positive().optional().catch(undefined),
  rotary_emb_base: z.number().positive().optional().catch(undefined),
  rope_parameters: z
    .object({ rope_theta: z.number().positive().optional().catch(undefined) })
    .optional()
    .catch(undefined),
  rms_norm_eps: z.number().optional().catch(undefined),
  max_position_embeddings: z.number().optional().catch(undefined),
  max_sequence_length: z.number().optional().catch(undefined),
  hidden_act: z.string().optional().catch(undefined),
  num_key_value_heads: z.number().optional().catch(undefined),
  quantization_config: z.unknown().optional(),
  auto_map: z.unknown().optional(),
});

export interface ModelConfig {
  readonly path: string;
  /** Without a byte order mark. */
  readonly text: string;
  /** The repository or path from which transformers had loaded the model; null if the config does not state it. */
  readonly nameOrPath: string | null;
  /** Is the output head the input embedding? As the config states, or else as its family does by default; null for other families. */
  readonly tied: boolean | null;
  /** Base of the rotary frequencies; 10000 if the config does not state it. */
  readonly ropeTheta: number;
  /** Elements of one head; null if the config does not tell. */
  readonly headSize: number | null;
  readonly layers: number | null;
  /** For example "llama", "gpt_neox". Null, like everything below, if the config does not state it. */
  readonly modelType: string | null;
  /** The first class of `architectures`, for example "LlamaForCausalLM". */
  readonly architecture: string | null;
  /** rms_norm_eps. */
  readonly normEps: number | null;
  /** The context length. Early conversions call it max_sequence_length. */
  readonly context: number | null;
  readonly activation: string | null;
  readonly heads: number | null;
  readonly keyValueHeads: number | null;
  readonly vocabSize: number | null;
  readonly hiddenSize: number | null;
  readonly intermediateSize: number | null;
  /** As torch spells it. */
  readonly dtype: string | null;
  readonly quantised: boolean;
  /** Is the model defined by code beside the weights, and not by transformers? */
  readonly ownCode: boolean;
  /** The whole object. It and the objects in it have no prototype. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** The config of the checkpoint. Meta's layout has none, so it is derived. @throws {WeightDiffError} as readConfig. */
export async function configOf({
  configText,
  directory,
}: Pick<Checkpoint, "configText" | "directory">): Promise<ModelConfig | null> {
  return configText === null ? readConfig(directory) : parseConfig(configText, join(directory ?? "", "config.json"));
}

/** The config.json of a directory; null if there is none. @throws {WeightDiffError} NOT_WEIGHTS, FORMAT_INVALID, LIMIT, IO. */
export async function readConfig(directory: string | null): Promise<ModelConfig | null> {
  if (directory === null) {
    return null;
  }
  const path = join(directory, "config.json");
  const info = await stat(path).catch(() => null);
  if (info === null || !info.isFile()) {
    return null;
  }
  if (info.size > MAX_CONFIG_BYTES) {
    throw new WeightDiffError("LIMIT", `${info.size} bytes, at most ${MAX_CONFIG_BYTES} are read`, "fetch it again", {
      at: { file: path },
    });
  }
  const bytes = await readBytes(path, MAX_CONFIG_BYTES);
  await refusePlaceholder(path, "config.json");
  // Windows editors add a byte order mark, with which Python's json would refuse the output's config.
  return parseConfig(decodeText(bytes, path).replace(/^\ufeff/, ""), path);
}

function parseConfig(text: string, path: string): ModelConfig {
  const json = parseJson(text, path, "python");
  const parsed = shape.safeParse(json);
  if (!parsed.success) {
    throw new WeightDiffError("FORMAT_INVALID", "not a JSON object", "fetch it again", { at: { file: path } });
  }
  const values = parsed.data;
  const heads = values.num_attention_heads;
  const modelType = values.model_type ?? null;
  return {
    path,
    text,
    nameOrPath: values._name_or_path ?? null,
    tied: values.tie_word_embeddings ?? values.text_config?.tie_word_embeddings ?? tiedByDefault(modelType),
    ropeTheta: values.rope_theta ?? values.rope_parameters?.rope_theta ?? values.rotary_emb_base ?? ROPE_THETA,
    headSize: values.hidden_size !== undefined && heads !== undefined && heads > 0 ? values.hidden_size / heads : null,
    layers: values.num_hidden_layers ?? null,
    modelType,
    architecture: values.architectures?.[0] ?? null,
    normEps: values.rms_norm_eps ?? null,
    context: values.max_position_embeddings ?? values.max_sequence_length ?? null,
    activation: values.hidden_act ?? null,
    heads: heads ?? null,
    keyValueHeads: values.num_key_value_heads ?? null,
    vocabSize: values.vocab_size ?? null,
    hiddenSize: values.hidden_size ?? null,
    intermediateSize: values.intermediate_size ?? null,
    dtype: values.torch_dtype ?? values.dtype ?? null,
    quantised: values.quantization_config !== undefined && values.quantization_config !== null,
    ownCode: values.auto_map !== undefined && values.auto_map !== null,
    values: json as Readonly<Record<string, unknown>>,
  };
}

/**
 * The config with the dtype and vocabulary that were written. Only these values change; all other text stays.
 * @param dtype as torch spells it; null changes nothing.
 * @param vocabSize rows that were written; null changes nothing.
 * @param tied are embedding and head one matrix? Null changes nothing; otherwise the key is added if the text lacks it.
 */
export function editConfig(
  config: ModelConfig,
  dtype: string | null,
  vocabSize: number | null,
  tied: boolean | null = null,
): string {
  let text = Buffer.from(config.text);
  const spans = topLevelSpans(text, config.path, "python");
  const start = config.text.indexOf("{") + 1;
  const missing = tied !== null && !spans.has(TIE) ? { start, end: start } : undefined;
  const edits = [
    { span: dtype === null ? undefined : spans.get("torch_dtype"), value: JSON.stringify(dtype) },
    { span: dtype === null ? undefined : spans.get("dtype"), value: JSON.stringify(dtype) },
    { span: vocabSize === null ? undefined : spans.get("vocab_size"), value: String(vocabSize) },
    { span: tied === null ? undefined : spans.get(TIE), value: String(tied) },
    { span: missing, value: `\n  "${TIE}": ${tied}${spans.size > 0 ? "," : ""}` },
  ];
  // The last edit comes first, so that the positions of the others stay valid.
  const found = edits.flatMap(({ span, value }) => (span === undefined ? [] : [{ span, value }]));
  for (const { span, value } of found.sort((a, b) => b.span.start - a.span.start)) {
    text = Buffer.concat([text.subarray(0, span.start), Buffer.from(value), text.subarray(span.end)]);
  }
  return text.toString();
}
