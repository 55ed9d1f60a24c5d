/**
 * Names of the matrices with a row for each token, as data: input embeddings, output heads that may be tied to them, and biases that are
 * tied with them. From `_tied_weights_keys` of the classes that AutoModelForCausalLM loads, and of DistilBERT's
 * (transformers 5.23.0).
 */

const INPUTS = [
  "embed_tokens",
  "embed_in",
  "wte",
  "word_embeddings",
  "word_embedding",
  "tokens_embed",
  "tok_embeddings",
  "transformer\\.w",
  "(backbone|rwkv|transformer)\\.embeddings",
];
const OUTPUTS = [
  "lm_head(\\.decoder)?",
  "embed_out",
  "output_projection",
  "proj_out",
  "generator_lm_head",
  "lm_loss",
  "pred_layer\\.proj",
  "cls\\.predictions\\.decoder",
  "vocab_projector",
];

/** Input embeddings of all families. */
export const INPUT_EMBEDDING = new RegExp(`(^|\\.)(${INPUTS.join("|")})\\.weight$`);
/** Output heads. The heads of ModernBERT's decoder, GIT and RWKV are missing: their names (decoder, output, head) may mean anything. */
export const OUTPUT_EMBEDDING = new RegExp(`(^|\\.)(${OUTPUTS.join("|")})\\.weight$`);
/** Biases of output heads, with a value for each token: [V], in BART's family [1, V]. */
const OUTPUT_BIAS = new RegExp(`(^|\\.)((${OUTPUTS.join("|")}|predictions)\\.bias|final_logits_bias)$`);
/** The embedding that encoder and decoder share, see commonEmbedding. */
const COMMON = /^(\w+\.)?shared\.weight$/;
/** Embeddings and heads: the only matrices that may have new rows. */
export const EMBEDDING = new RegExp(`${INPUT_EMBEDDING.source}|${OUTPUT_EMBEDDING.source}|${COMMON.source}`);

/** Has the tensor one value for each token of the vocabulary: is it the bias of an output head? */
export function isVocabularyBias(name: string, shape: readonly number[]): boolean {
  return OUTPUT_BIAS.test(name) && (shape.length === 1 || (shape.length === 2 && shape[0] === 1));
}

/** A bias of the head that is tied to another parameter, in models like BERT, where head and embedding are tied. */
interface TiedBias {
  /** Its name in files and the first one in a state_dict, and its other name. */
  readonly first: RegExp;
  readonly second: RegExp;
  /** Only in models with an embedding or a head of this name. */
  readonly of: RegExp;
}

export const TIED_BIASES: readonly TiedBias[] = [
  { first: /(^|\.)predictions\.bias$/, second: /(^|\.)predictions\.decoder\.bias$/, of: /./ },
  {
    first: /(^|\.)lm_head\.bias$/,
    second: /(^|\.)lm_head\.decoder\.bias$/,
    of: /(^|\.)(embeddings\.word_embeddings|lm_head\.decoder)\.weight$/,
  },
];

/** The input embedding and the output head among the names. Null if there is none, or if several names rank equal. */
export function embeddingsOf(names: Iterable<string>): {
  readonly input: string | null;
  readonly output: string | null;
} {
  const inputs: string[] = [];
  const outputs: string[] = [];
  for (const name of names) {
    if (INPUT_EMBEDDING.test(name) && !ENCODER.test(name)) {
      inputs.push(name);
    } else if (OUTPUT_EMBEDDING.test(name)) {
      outputs.push(name);
    }
  }
  return { input: outermost(inputs), output: outermost(outputs) };
}

/**
 * The embedding that encoder and decoder share, as T5, BART and their families name it. transformers ties encoder.embed_tokens and
 * decoder.embed_tokens to it: files of torch.save hold all three names, those of save_pretrained this one (modeling_t5.py and modeling_bart.py
 * 5.23.0, _tied_weights_keys). Null if no name, or more than one, is such.
 */
export function commonEmbedding(names: Iterable<string>): string | null {
  const found = [...names].filter((name) => COMMON.test(name));
  return found.length === 1 ? (found[0] ?? null) : null;
}

/** Names of the common embedding in files: its own, and those that encoder and decoder have for it. */
export const COMMON_EMBEDDING = /^(\w+\.)?(shared|(encoder|decoder)\.embed_tokens)\.weight$/;
const ENCODER = /(^|\.)encoder\./;

/** The name with the fewest parts: it belongs to the model itself, not to one of its towers. */
function outermost(names: readonly string[]): string | null {
  const depth = (name: string): number => name.split(".").length;
  const least = names.reduce((most, name) => Math.min(most, depth(name)), Number.POSITIVE_INFINITY);
  const found = names.filter((name) => depth(name) === least);
  return found.length === 1 ? (found[0] ?? null) : null;
}
