/** The operands of pickle opcodes: little-endian numbers, counted text, lines. Every read is first checked against the end. */
import { WeightDiffError } from "../errors.js";
import { TAMPERED } from "./damage.js";

export interface PickleRules {
  /** The pickle's name in messages: "pytorch_model.bin". */
  readonly name: string;
  /** Is the global known? All others are refused. */
  readonly allows: (globalName: string) => boolean;
  /** For a global that is refused: what the file holds, if the name tells, and what to do. */
  readonly explains?: (globalName: string) => { readonly what: string; readonly hint: string } | undefined;
  /** The error for a pickle that goes on past the last byte. */
  readonly runsOut: () => WeightDiffError;
}

/** The bytes of one or more pickles, and how far they have been read. */
export interface PickleInput {
  readonly rules: PickleRules;
  readonly bytes: Uint8Array;
  /** A view of the same bytes. */
  readonly view: DataView;
  at: number;
}

/** Bytes of a global's module or name. The longest known one has 42. */
const MAX_GLOBAL = 256;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function invalid(input: PickleInput, what: string): WeightDiffError {
  return new WeightDiffError("FORMAT_INVALID", `pickle ${what} (at byte ${input.at})`, TAMPERED, {
    at: { file: input.rules.name },
  });
}

/** Skips `count` bytes. @returns where they begin */
export function take(input: PickleInput, count: number): number {
  const begin = input.at;
  if (count > input.bytes.length - begin) {
    throw input.rules.runsOut();
  }
  input.at = begin + count;
  return begin;
}

export function u8(input: PickleInput): number {
  return input.view.getUint8(take(input, 1));
}

export function u32(input: PickleInput): number {
  return input.view.getUint32(take(input, 4), true);
}

export function u64(input: PickleInput): number {
  // Lengths above 2^53 lose digits, but still fail in `take`.
  return Number(input.view.getBigUint64(take(input, 8), true));
}

export function text(input: PickleInput, length: number): string {
  const begin = take(input, length);
  try {
    return UTF8.decode(input.bytes.subarray(begin, begin + length));
  } catch {
    throw invalid(input, "holds a string that is not UTF-8");
  }
}

/** A little-endian two's complement integer. 64 bytes are more than any number that torch writes (its magic number has 10). */
export function long(input: PickleInput, length: number): number | bigint {
  const begin = take(input, length);
  if (length > 64) {
    throw new WeightDiffError("LIMIT", `pickle holds an integer of ${length} bytes`, undefined, {
      at: { file: input.rules.name },
    });
  }
  let value = 0n;
  for (let index = length - 1; index >= 0; index -= 1) {
    value = (value << 8n) | BigInt(input.view.getUint8(begin + index));
  }
  const signed = BigInt.asIntN(length * 8, value);
  return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
}

export function line(input: PickleInput): string {
  const length = input.bytes.subarray(input.at, input.at + MAX_GLOBAL + 1).indexOf(0x0a);
  if (length < 0) {
    throw input.bytes.length - input.at <= MAX_GLOBAL ? input.rules.runsOut() : invalid(input, "names nothing");
  }
  const name = text(input, length);
  input.at += 1;
  return name;
}
