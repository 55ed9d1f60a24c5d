/**
 * tokenizer.model: a sentencepiece model, which is a protobuf message (sentencepiece_model.proto of google/sentencepiece, v0.2.0). Field
 * 1 is a piece, 2 what it was trained with, 3 how text is normalised.
 */
import { WeightDiffError } from "../errors.js";
import { eachField, type FieldValue } from "./protobuf.js";

/** ModelProto.SentencePiece.Type. */
export const PIECE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

interface TokenPiece {
  readonly text: string;
  /** Pieces with a higher score are merged sooner. */
  readonly score: number;
  /** One of PIECE. */
  readonly type: number;
}

export interface SentencePieceModel {
  /** By id. */
  readonly pieces: readonly TokenPiece[];
  /** TrainerSpec.ModelType: 1 unigram, 2 BPE, 3 word, 4 char. */
  readonly modelType: number;
  readonly byteFallback: boolean;
  readonly spaceAsSuffix: boolean;
  /** Ids of the unknown token, and of the token that begins a text. Past the last piece if there is none. */
  readonly unknown: number;
  readonly bos: number;
  /** Does it have a table of characters that are replaced before anything else? */
  readonly charsmap: boolean;
  readonly dummyPrefix: boolean;
  readonly removesSpaces: boolean;
  readonly escapesSpaces: boolean;
}

const WHAT = "sentencepiece model";
/** Both fields of a model file are messages, and so is every extension. */
const isMessage = (value: FieldValue): value is Uint8Array => value instanceof Uint8Array;

/**
 * Passes the texts of the pieces to `take`, in the order of their ids, and reads nothing else.
 * @throws {WeightDiffError} FORMAT_INVALID.
 */
export function eachPiece(bytes: Uint8Array, take: (text: string) => void): void {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  eachMessage(bytes, (field, message) => {
    if (field === 1) {
      take(pieceOf(message, decoder).text);
    }
  });
}

/** @throws {WeightDiffError} FORMAT_INVALID. */
export function readSentencePiece(bytes: Uint8Array): SentencePieceModel {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const pieces: TokenPiece[] = [];
  const trainer = new Map<number, FieldValue>();
  const normalizer = new Map<number, FieldValue>();
  eachMessage(bytes, (field, message) => {
    if (field === 1) {
      pieces.push(pieceOf(message, decoder));
    } else if (field === 2 || field === 3) {
      const fields = field === 2 ? trainer : normalizer;
      eachField(message, WHAT, (inner, value) => fields.set(inner, value));
    }
  });
  const number = (fields: ReadonlyMap<number, FieldValue>, field: number, otherwise: number): number => {
    const value = fields.get(field);
    return typeof value === "number" ? value : otherwise;
  };
  const charsmap = normalizer.get(2);
  return {
    pieces,
    modelType: number(trainer, 3, 1),
    spaceAsSuffix: number(trainer, 24, 0) !== 0,
    byteFallback: number(trainer, 35, 0) !== 0,
    unknown: number(trainer, 40, 0),
    bos: number(trainer, 41, 1),
    charsmap: charsmap instanceof Uint8Array && charsmap.length > 0,
    dummyPrefix: number(normalizer, 3, 1) !== 0,
    removesSpaces: number(normalizer, 4, 1) !== 0,
    escapesSpaces: number(normalizer, 5, 1) !== 0,
  };
}

function eachMessage(bytes: Uint8Array, take: (field: number, message: Uint8Array) => void): void {
  eachField(bytes, WHAT, (field, value) => {
    if (!isMessage(value)) {
      throw new WeightDiffError("FORMAT_INVALID", `is no ${WHAT}`);
    }
    take(field, value);
  });
}

/** A piece without a text is blank. */
function pieceOf(message: Uint8Array, decoder: InstanceType<typeof TextDecoder>): TokenPiece {
  let text = "";
  let score = 0;
  let type: number = PIECE.normal;
  eachField(message, WHAT, (field, value) => {
    if (field === 1 && value instanceof Uint8Array) {
      text = decoder.decode(value);
    } else if (field === 2 && value instanceof Uint8Array && value.length === 4) {
      score = new DataView(value.buffer, value.byteOffset).getFloat32(0, true);
    } else if (field === 3 && typeof value === "number") {
      type = value;
    }
  });
  return { text, score, type };
}
