/**
 * Converts a sentencepiece model into the object of a tokenizer.json, as convert_slow_tokenizer.py of transformers 4.28.1 does for LLaMA's
 * (LlamaConverter). The result gives the same ids as sentencepiece for every text. A tokenizer.model has no merges: they follow from the
 * pieces.
 */
import { WeightDiffError } from "../../errors.js";
import { PIECE, readSentencePiece, type SentencePieceModel } from "../../formats/sentencepiece.js";

/** The settings in tokenizer_config.json and added_tokens.json. */
export interface SlowSettings {
  /** Does every text begin with the beginning-of-text token? */
  readonly addBos: boolean;
  /** Null, or "" as in decapoda's uploads: the one in the model file. */
  readonly bosToken: string | null;
  readonly added: readonly AddedToken[];
}

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

const SPACE = "\u2581";
const BPE = 2;
/** The longest piece of LLaMA's tokenizer has 16 characters, of Mistral's 64. A piece has as many cuts as characters. */
const MAX_PIECE = 1000;
/** Merges never produce these pieces: sentencepiece keeps them apart from the words (model_interface.cc, InitializePieces). */
const APART: ReadonlySet<number> = new Set([PIECE.unknown, PIECE.control, PIECE.byte]);

/** @throws {WeightDiffError} FORMAT_INVALID; FORMAT_UNSUPPORTED for features that only sentencepiece itself has. */
export function fromSentencePiece(bytes: Uint8Array, settings: SlowSettings): object {
  const model = readSentencePiece(bytes);
  refuseOthers(model);
  const { pieces } = model;
  const vocab = new Map(pieces.map(({ text }, id) => [text, id]));
  if (vocab.size !== pieces.length) {
    throw new WeightDiffError("FORMAT_INVALID", "has a piece twice", "get the file again");
  }
  const known = new Set(settings.added.map(({ content }) => content));
  const own = pieces.flatMap(({ text, type }, id): readonly AddedToken[] =>
    known.has(text) || text === ""
      ? []
      : type === PIECE.unknown || type === PIECE.control
        ? [{ id, content: text, special: true }]
        : type === PIECE.userDefined
          ? [{ id, content: text, special: false }]
          : [],
  );
  const named = settings.bosToken === null ? undefined : vocab.get(settings.bosToken);
  const bos = pieces[named ?? model.bos]?.text;
  if (settings.addBos && bos === undefined) {
    throw new WeightDiffError("FORMAT_INVALID", `has no piece ${model.bos}, with which every text should begin`);
  }
  return {
    added_tokens: [...own, ...settings.added].map((token) => ({ ...token, normalized: false })),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: SPACE },
        { type: "Replace", pattern: { String: " " }, content: SPACE },
      ],
    },
    pre_tokenizer: null,
    post_processor: settings.addBos
      ? { type: "TemplateProcessing", single: [{ SpecialToken: { id: bos } }, { Sequence: { id: "A" } }] }
      : null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: SPACE }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      unk_token: pieces[model.unknown]?.text ?? null,
      fuse_unk: true,
      byte_fallback: model.byteFallback,
      vocab: Object.fromEntries(vocab),
      merges: mergesOf(model, vocab),
    },
  };
}

function refuseOthers({ pieces, modelType, ...model }: SentencePieceModel): void {
  const long = pieces.find(({ text }) => text.length > MAX_PIECE);
  const what =
    pieces.length === 0
      ? "it has no pieces"
      : modelType !== BPE
        ? `it is ${["", "a unigram", "", "a word", "a character"][modelType] ?? "another"} model, not BPE`
        : model.charsmap
          ? "it replaces characters before all else (precompiled_charsmap)"
          : model.removesSpaces
            ? "it removes spaces (remove_extra_whitespaces)"
            : !model.dummyPrefix
              ? "it puts no space before a text (add_dummy_prefix)"
              : !model.escapesSpaces || model.spaceAsSuffix
                ? "it keeps spaces in another way"
                : pieces.some(({ type }) => type === PIECE.unused)
                  ? "it has pieces that are not used"
                  : long !== undefined
                    ? `a piece of it has ${long.text.length} characters, at most ${MAX_PIECE} are read`
                    : null;
  if (what !== null) {
    throw new WeightDiffError("FORMAT_UNSUPPORTED", what, MAKE_JSON);
  }
}

/** The remedy for a tokenizer that is not supported. */
export const MAKE_JSON =
  "make a tokenizer.json with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)";

interface Cut {
  readonly pair: readonly [string, string];
  readonly left: number;
  readonly right: number;
}

/** Every cut of a piece into two other pieces, by their ids, ordered by the score of the piece, the best first. */
function mergesOf({ pieces }: SentencePieceModel, vocab: ReadonlyMap<string, number>): readonly (readonly string[])[] {
  const found: { readonly score: number; readonly cuts: readonly Cut[] }[] = [];
  for (const { text, score, type } of pieces) {
    if (APART.has(type)) {
      continue;
    }
    const cuts: Cut[] = [];
    for (let at = 1; at < text.length; at++) {
      const left = vocab.get(text.slice(0, at));
      const right = left === undefined ? undefined : vocab.get(text.slice(at));
      if (left !== undefined && right !== undefined) {
        cuts.push({ pair: [text.slice(0, at), text.slice(at)], left, right });
      }
    }
    if (cuts.length > 0) {
      found.push({ score, cuts: cuts.sort((a, b) => a.left - b.left || a.right - b.right) });
    }
  }
  return found.sort((a, b) => b.score - a.score).flatMap(({ cuts }) => cuts.map(({ pair }) => pair));
}
