/**
 * The safetensors format (huggingface/safetensors README, "Format"; `SafeTensors::read_metadata` and `Metadata::validate` in
 * tensor.rs, 0.8): u64 little-endian header length, JSON header, data without holes up to the end of the file. Stricter than
 * the Rust library in two points: duplicate keys are refused, and so are headers above 25 MB.
 */
import { createHash } from "node:crypto";
import { WeightDiffError } from "../errors.js";
import { type Dtype, isDtype, tensorBytes } from "./dtype.js";
import { type HeaderBudget, headerBudget, takeBytes, takeTensors } from "./header-budget.js";
import { JsonScanner } from "./json-scanner.js";
import { quote } from "./quote.js";
import { type ByteSource, MAX_RANK, type Shape, type ShardHeader, type TensorInfo } from "./tensor-info.js";

/** In bytes. Parsing takes many times the size in memory. The largest real headers (20,000 tensors) stay below 3 MB. */
export const MAX_HEADER = 25_000_000;
/** Entries of `__metadata__`. Most files have a handful; an update of an RL trainer has a checksum for each of its tensors. */
const MAX_METADATA = 250_000;
const DAMAGED = "the file is damaged: download it again";

/** A tensor with its range as the header states it, relative to the data section, until the header is found valid. */
interface StatedTensor extends TensorInfo {
  readonly range: { begin: number; end: number };
}

interface Header {
  readonly tensors: StatedTensor[];
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Reads and validates a header. Tensors are ordered by offset, then by name.
 * @param budget what the headers of the whole checkpoint may still take.
 * @throws {WeightDiffError} TRUNCATED, LIMIT, FORMAT_INVALID, FORMAT_UNSUPPORTED (a dtype newer than 0.8)
 */
export async function readSafetensors(source: ByteSource, budget = headerBudget()): Promise<ShardHeader> {
  const { name: file, size } = source;
  if (size < 8) {
    throw new WeightDiffError(
      "TRUNCATED",
      `${size} bytes cannot hold a safetensors header`,
      "the download is incomplete: fetch the file again",
      { at: { file } },
    );
  }
  const prefix = await source.readAt(0, 8);
  const length = Buffer.from(prefix).readBigUInt64LE();
  if (length > MAX_HEADER) {
    throw new WeightDiffError(
      "LIMIT",
      `states a header of ${length} bytes; more than ${MAX_HEADER} are not read`,
      "the file is damaged, or not a safetensors file: download it again",
      { at: { file } },
    );
  }
  const dataStart = 8 + Number(length);
  if (dataStart > size) {
    throw new WeightDiffError(
      "TRUNCATED",
      `has ${size} bytes, but its header alone takes ${dataStart}`,
      "the download is incomplete: fetch the file again",
      { at: { file } },
    );
  }
  takeBytes(budget, Number(length), file);
  const bytes = await source.readAt(8, Number(length));
  const { tensors, metadata } = parseHeader(bytes, file, budget);
  validateHeader(tensors, dataStart, size, file);
  const digest = createHash("sha256").update(prefix).update(bytes).digest("hex");
  return { format: "safetensors", tensors, metadata, digest };
}

function parseHeader(bytes: Uint8Array, file: string, budget: HeaderBudget): Header {
  const scanner = new JsonScanner(bytes, `${file}: header`);
  const tensors: StatedTensor[] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  scanner.object((name) => {
    if (name === "__metadata__") {
      metadata = readMetadata(scanner, file);
    } else {
      takeTensors(budget, 1, file);
      tensors.push(readEntry(scanner, name, file));
    }
  });
  scanner.end();
  return { tensors, metadata };
}

/**
 * Some writers put numbers there. Nothing is damaged, but safetensors refuses the file as well.
 * @param first first character of the value.
 */
function refuseOtherThanText(first: string, key: string, file: string): void {
  if (/^[-\d[{tfn]/.test(first)) {
    throw new WeightDiffError(
      "FORMAT_INVALID",
      `header: __metadata__ values must be strings (${quote(key)})`,
      "save it again with text as metadata: safetensors itself does not open this file",
      { at: { file } },
    );
  }
}

function readMetadata(scanner: JsonScanner, file: string): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  if (scanner.peek() === "n") {
    scanner.literal();
  } else {
    scanner.object((key) => {
      refuseOtherThanText(scanner.peek(), key, file);
      metadata.set(key, scanner.string());
      if (metadata.size > MAX_METADATA) {
        const what = `__metadata__ has more than ${MAX_METADATA} entries`;
        throw new WeightDiffError("LIMIT", what, DAMAGED, { at: { file } });
      }
    });
  }
  return metadata;
}

/** The fields of a tensor entry, in the order of their array form. */
const FIELDS = ["dtype", "shape", "data_offsets"] as const;

/** An object, or the array [dtype, shape, data_offsets], as serde reads a struct. Other fields are skipped. */
function readEntry(scanner: JsonScanner, name: string, file: string): StatedTensor {
  const found: { dtype?: string; shape?: Shape; data_offsets?: readonly number[] } = {};
  const readField = (field: string | undefined): void => {
    if (field === "dtype") {
      found.dtype = readDtype(scanner);
    } else if (field === "shape" || field === "data_offsets") {
      found[field] = readIntegers(scanner, name, field, file);
    } else {
      scanner.skip();
    }
  };
  if (scanner.peek() === "[") {
    scanner.array((index) =>
      index < FIELDS.length
        ? readField(FIELDS[index])
        : scanner.fail(`tensor ${quote(name)} has more than dtype, shape and data_offsets`),
    );
  } else {
    scanner.object(readField);
  }
  const { dtype, shape, data_offsets: offsets } = found;
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    return scanner.fail(`tensor ${quote(name)} lacks dtype, shape or data_offsets`);
  }
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || offsets.length !== 2) {
    return scanner.fail(`tensor ${quote(name)} has ${offsets.length} data_offsets, not 2`);
  }
  if (!isDtype(dtype)) {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `tensor ${quote(name)} has the dtype ${quote(dtype)}, which safetensors 0.8 does not know`,
      undefined,
      { at: { file } },
    );
  }
  return { name, path: [name], dtype, shape, range: { begin, end } };
}

/** "I32", or {"I32": null}, which serde reads as the same. */
function readDtype(scanner: JsonScanner): string {
  if (scanner.peek() === '"') {
    return scanner.string();
  }
  const names: string[] = [];
  scanner.object((key) => {
    names.push(key);
    if (scanner.literal() !== null) {
      scanner.fail("a dtype carries a value");
    }
  });
  const [name] = names;
  return name === undefined || names.length !== 1 ? scanner.fail("a dtype is not one name") : name;
}

/** Of the list that is being read: one that grows in a list of its own leaves room for sixteen more. */
const integers: number[] = new Array(MAX_RANK).fill(0);

function readIntegers(scanner: JsonScanner, name: string, field: string, file: string): readonly number[] {
  let count = 0;
  scanner.array((index) => {
    if (index >= MAX_RANK) {
      const what = `tensor ${quote(name)} has a ${field} of more than ${MAX_RANK} numbers`;
      throw new WeightDiffError("LIMIT", what, DAMAGED, { at: { file, tensor: name } });
    }
    integers[index] = scanner.integer();
    count = index + 1;
  });
  return integers.slice(0, count);
}

/**
 * Each tensor begins where the last one ended, and the last one ends at the end of the file: no holes, no overlaps, no rest. The size of a
 * stream is Infinity, since it is unknown.
 */
function validateHeader(tensors: StatedTensor[], dataStart: number, size: number, file: string): void {
  const invalid = (name: string, what: string): WeightDiffError =>
    new WeightDiffError("FORMAT_INVALID", `tensor ${quote(name)} ${what}`, DAMAGED, { at: { file, tensor: name } });
  tensors.sort((a, b) => a.range.begin - b.range.begin || a.range.end - b.range.end || (a.name < b.name ? -1 : 1));
  let expected = 0;
  for (const { name, dtype, shape, range } of tensors) {
    const { begin, end } = range;
    if (begin !== expected || end < begin) {
      const what = `has data_offsets [${begin}, ${end}], expected to begin at ${expected}`;
      throw invalid(name, `${what}: tensors overlap or leave a hole`);
    }
    const bytes = bytesOf(dtype, shape, name, file);
    if (end - begin !== bytes) {
      throw invalid(name, `has ${end - begin} bytes, but ${dtype} ${shapeText(shape)} takes ${bytes}`);
    }
    expected = end;
    range.begin += dataStart;
    range.end += dataStart;
  }
  const total = dataStart + expected;
  if (total !== size && Number.isFinite(size)) {
    throw new WeightDiffError(
      "TRUNCATED",
      `has ${size} bytes, but its header describes ${total}`,
      size < total ? "the download is incomplete: fetch the file again" : DAMAGED,
      { at: { file } },
    );
  }
}

/** @throws {WeightDiffError} FORMAT_INVALID for a shape that overflows, or that is not a whole number of bytes. */
export function bytesOf(dtype: Dtype, shape: Shape, name: string, file: string): number {
  const bytes = tensorBytes(dtype, shape);
  if (bytes === undefined) {
    const what = `tensor ${quote(name)} is ${dtype} ${shapeText(shape)}, which is too large or no whole number of bytes`;
    throw new WeightDiffError("FORMAT_INVALID", what, undefined, { at: { file, tensor: name } });
  }
  return bytes;
}

/** For example "[32001, 4096]". Cut if a hostile header lists thousands of dimensions. */
function shapeText(shape: Shape): string {
  return `[${shape.slice(0, 8).join(", ")}${shape.length > 8 ? ", …" : ""}]`;
}
