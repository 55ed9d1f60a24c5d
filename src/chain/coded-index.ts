/**
 * The entries of an update's index about coded payloads (docs/formats.md 3.5): the coder's version, and each tensor's dtype and shape. A reader
 * without the base needs dtype and shape to find the windows.
 */
import type { WeightDiffError } from "../errors.js";
import { CODEC, CODEC_KEY, CODED_KEY, type CodedTensor } from "../formats/coded/index.js";
import { isDtype } from "../formats/dtype.js";
import { parseJson } from "../formats/json.js";
import { quote } from "../formats/quote.js";
import { chainError } from "./chain.js";
import { jsonOf } from "./small-file.js";

/** Coded tensors by name. */
export type CodedTensors = ReadonlyMap<string, CodedTensor>;

/** Our own keys. Other readers ignore them. */
export function codedKeys(tensors: readonly CodedTensor[]): ReadonlyMap<string, string> {
  const list = tensors.map(({ name, dtype, shape }) => [name, dtype, shape]);
  return new Map([
    [CODEC_KEY, CODEC],
    [CODED_KEY, JSON.stringify(list)],
  ]);
}

/** @returns an error with `why` if the coder's version is not known, or if the list is not valid. */
export function readCodedKeys(
  metadata: ReadonlyMap<string, unknown>,
  at: { readonly file: string; readonly version: string },
): CodedTensors | WeightDiffError {
  const codec = metadata.get(CODEC_KEY);
  if (codec !== CODEC) {
    const found = typeof codec === "string" ? quote(codec) : codec === undefined ? "(missing)" : jsonOf(codec);
    const what = `${CODEC_KEY} ${found} is not known: expected ${quote(CODEC)}`;
    return chainError("unknown-compression", what, "update weight-diff, or publish it in another form", at);
  }
  const tensors = new Map<string, CodedTensor>();
  for (const entry of listIn(metadata.get(CODED_KEY), at.file) ?? [null]) {
    const tensor = tensorOf(entry);
    if (tensor === null || tensors.has(tensor.name)) {
      const what = `${CODED_KEY} is not a list of [name, dtype, shape] that names each tensor once`;
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
    return null; // the caller tells what is wrong
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
