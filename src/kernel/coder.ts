/**
 * The loops of coded windows (docs/formats.md 3), which both kernels have. Units and words are little-endian. A state takes CODER_BYTES: eight
 * lanes of 32 bits, then where words and extra bits begin and end, and how many extra bits have been read or written.
 */
import type { Unit } from "../formats/coded/units.js";
import { assertSpan } from "./memory.js";

export const CODER_BYTES = 112;
/** Offsets in a state. */
export const STATE = { words: 32, wordsEnd: 36, extra: 40, extraEnd: 44, bits: 48 } as const;
export const LANES = 8;
/** The bytes of an entry in an encoder's table. */
export const ENTRY_BYTES = 16;
/** Frequencies of a table add up to 2^TABLE_BITS. */
export const TABLE_BITS = 11;
export const SLOTS = 1 << TABLE_BITS;
/** A lane lies in [LEAST_LANE, 2^32). An encoder starts with LEAST_LANE, so a decoder ends with it. */
export const LEAST_LANE = 1 << 16;
/** How many tokens are decoded at a time. */
export const TOKEN_CHUNK = 4096;

/** The bytes of 256 x 256 counters of 32 bits, twice. */
export const COUNTER_BYTES = 2 * 256 * 256 * 4;

interface TokenPlaces {
  /** The units of the base, and those of the tuned tensor. */
  readonly from: number;
  readonly tuned: number;
  /** One byte for each unit. */
  readonly tokens: number;
  readonly classes: number;
  /** COUNTER_BYTES: counters of 32 bits, by class and token, to which the loops add; then as many zeros, which the loops may use. */
  readonly histogram: number;
  readonly state: number;
}

interface EncodePlaces extends Pick<TokenPlaces, "tokens" | "classes" | "state"> {
  /**
   * The positions of 256 tables by class, of 32 bits each. A table has 256 entries of ENTRY_BYTES by token: ceil(2^43 / frequency) in 64 bits, the
   * frequency, and the sum of the frequencies before it.
   */
  readonly tables: number;
}

interface DecodePlaces {
  readonly from: number;
  readonly target: number;
  /** TOKEN_CHUNK bytes. */
  readonly tokens: number;
  /** The positions of 256 tables by class, of 32 bits each. A table has SLOTS entries: token << 23 | frequency << 11 | offset in the token's slots. */
  readonly tables: number;
  readonly state: number;
}

export interface Coder {
  /**
   * Turns units into tokens: of their differences from the base's units, or of the units alone. Writes extra bits where the state says, after
   * those that are there. 4 bytes for each unit and 8 more must be free there.
   */
  tokenise(unit: Unit, alone: boolean, places: TokenPlaces, units: number): void;
  /**
   * Turns tokens into words, from the last unit to the first. Writes the words downwards from where the state says, at most 2 bytes for each
   * unit. It may also write to the 8 bytes below them.
   */
  encode(units: number, places: EncodePlaces): void;
  /**
   * Turns words and extra bits into units. All calls but the last take a multiple of LANES units. @returns false if words or extra bits end too
   * early. Then up to 32 bytes after them may have been read, and the written units mean nothing.
   */
  decode(unit: Unit, alone: boolean, places: DecodePlaces, units: number): boolean;
}

export function assertCoding(
  memory: ArrayBuffer,
  base: number,
  { from, tuned, tokens, classes, histogram, state }: TokenPlaces,
  width: number,
  units: number,
): void {
  assertSpan(memory, base, from, units * width);
  assertSpan(memory, base, tuned, units * width);
  assertSpan(memory, base, tokens, units);
  assertSpan(memory, base, classes, units);
  assertSpan(memory, base, histogram, COUNTER_BYTES);
  assertSpan(memory, base, state, CODER_BYTES);
}

export function assertDecoding(
  memory: ArrayBuffer,
  base: number,
  { from, target, tokens, tables, state }: DecodePlaces,
  width: number,
  units: number,
): void {
  assertSpan(memory, base, from, units * width);
  assertSpan(memory, base, target, units * width);
  assertSpan(memory, base, tokens, TOKEN_CHUNK);
  assertSpan(memory, base, tables, 256 * 4);
  assertSpan(memory, base, state, CODER_BYTES);
  const view = new DataView(memory, state);
  // The kernel may read so many bytes after them before it notices their end.
  assertSpan(memory, base, view.getUint32(STATE.wordsEnd, true), 64);
  assertSpan(memory, base, view.getUint32(STATE.extraEnd, true), 64);
}
