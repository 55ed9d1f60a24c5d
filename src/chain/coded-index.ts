/**
 * What the index of an update says of payloads that are coded (docs/formats.md 3.5): the coder's version, and each tensor's dtype and shape, which a
 * reader without the base needs to find its windows.
 */
import type { WeightDiffError } from "../errors.js";
import { CODEC, CODEC_KEY, CODED_KEY, type CodedTensor } from "../formats/coded/index.js";
import { isDtype } from "../formats/dtype.js";
import { parseJson } from "../formats/json.js";
import { quote } from "../formats/quote.js";
import { chainError } from "./chain.js";
import { jsonOf } from "./small-file.js";

/** By name. */
export type CodedTensors = ReadonlyMap<string, CodedTensor>;

/** Keys of our own, which other readers pass over. */
export function codedKeys(tensors: readonly CodedTensor[]): ReadonlyMap<string, string> {
  const list = tensors.map(({ name, dtype, shape }) => [name, dtype, shape]);
  return new Map([
    [CODEC_KEY, CODEC],
    [CODED_KEY, JSON.stringify(list)],
  ]);
}

/** An error with `why` where the coder is another one, or the list is none. */
export function readCodedKeys(
  metadata: ReadonlyMap<string, unknown>,
  at: { readonly file: string; readonly version: string },
): CodedTensors | WeightDiffError {
  const codec = metadata.get(CODEC_KEY);
  if (codec !== CODEC) {
    const found = typeof codec === "string" ? quote(codec) : codec === undefined ? "(missing)" : jsonOf(codec);
    const what = `${CODEC_KEY} ${found} is not known: ${quote(CODEC)} is`;
    return chainError("unknown-compression", what, "update weight-diff, or publish it in another form", at);
  }
  const tensors = new Map<string, CodedTensor>();
  for (const entry of listIn(metadata.get(CODED_KEY), at.file) ?? [null]) {
    const tensor = tensorOf(entry);
    if (tensor === null || tensors.has(tensor.name)) {
      const what = `${CODED_KEY} is no list of [name, dtype, shape] with each tensor once`;
      return chainError("incomplete", what, "the index is damaged: fetch this version again, or stop before it", at);
    }
    tensors.set(tensor.name, tensor);
  }
  return tensors;
}

function listIn(text: unknown, file: string): readonly unknown[] | null {
  if (typeof text !== "string") {
    return null;
  }
  try {
    const list = parseJson(text, file);
    return Array.isArray(list) ? list : null;
  } catch {
    return null; // whoever asks says what is wrong
  }
}

function tensorOf(entry: unknown): CodedTensor | null {
  const [name, dtype, shape, ...rest] = Array.isArray(entry) ? entry : [];
  return typeof name === "string" &&
    typeof dtype === "string" &&
    isDtype(dtype) &&
    Array.isArray(shape) &&
    shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0) &&
    rest.length === 0
    ? { name, dtype, shape: shape.map(Number) }
    : null;
}
