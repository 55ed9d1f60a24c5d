/**
 * The safetensors format (huggingface/safetensors README, "Format"; `SafeTensors::read_metadata` and `Metadata::validate` in
 * tensor.rs, 0.8): u64 little-endian header length, JSON header, data without holes up to the end of the file. Stricter than
 * the Rust library in two points: duplicate keys are refused, and so are headers above 25 MB.
 */
import { createHash } from "node:crypto";
import { WeightDiffError } from "../errors.js";
import { DAMAGED, INCOMPLETE } from "./damage.js";
import { type Dtype, tensorBytes } from "./dtype.js";
import { type HeaderBudget, headerBudget, takeBytes, takeTensors } from "./header-budget.js";
import { JsonScanner } from "./json-scanner.js";
import type { Lend } from "./lent-memory.js";
import { type Names, tensorNames } from "./names.js";
import { quote } from "./quote.js";
import { entryReader } from "./safetensors-entry.js";
import { StatedTensors, StatedTexts } from "./stated-tensors.js";
import type { ByteSource, Shape, ShardHeader, TensorInfo } from "./tensor-info.js";
import { NamedTexts, type TensorTable } from "./tensor-table.js";

/** In bytes. Parsing takes many times the size in memory. The largest real headers (20,000 tensors) stay below 3 MB. */
export const MAX_HEADER = 25_000_000;
/** Entries of `__metadata__`. Most files have a handful; an update of an RL trainer has a checksum for each of its tensors. */
const MAX_METADATA = 250_000;

/** A header in columns. */
export interface HeaderTable {
  readonly tensors: TensorTable;
  readonly metadata: NamedTexts;
  /** As in ShardHeader. */
  readonly digest: string;
}

/**
 * Reads and validates a header. Tensors are ordered by offset, then by name.
 * @param budget what the headers of the whole checkpoint may still take.
 * @throws {WeightDiffError} TRUNCATED, LIMIT, FORMAT_INVALID, FORMAT_UNSUPPORTED (a dtype newer than 0.8)
 */
export async function readSafetensors(source: ByteSource, budget = headerBudget()): Promise<ShardHeader> {
  const { tensors, metadata, digest } = await readHeaderTable(source, budget);
  return { format: "safetensors", tensors: [...tensors], metadata: new Map(metadata), digest };
}

/**
 * The same in columns.
 * @param names where the names get their numbers. @param lend gives the memory for the header, in which the metadata stays.
 * @throws {WeightDiffError} as readSafetensors.
 */
export async function readHeaderTable(
  source: ByteSource,
  budget = headerBudget(),
  names = tensorNames(),
  lend?: Lend,
): Promise<HeaderTable> {
  const { name: file, size } = source;
  if (size < 8) {
    throw new WeightDiffError("TRUNCATED", `${size} bytes cannot hold a safetensors header`, INCOMPLETE, {
      at: { file },
    });
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
    throw new WeightDiffError("TRUNCATED", `has ${size} bytes, but its header alone takes ${dataStart}`, INCOMPLETE, {
      at: { file },
    });
  }
  takeBytes(budget, Number(length), file);
  const bytes = await source.readAt(8, Number(length), lend?.(Number(length)));
  const { tensors, metadata } = parseHeader(bytes, file, budget, names);
  placeTensors(tensors, { dataStart, size, file });
  const digest = createHash("sha256").update(prefix).update(bytes).digest("hex");
  return { tensors, metadata, digest };
}

function parseHeader(
  bytes: Uint8Array,
  file: string,
  budget: HeaderBudget,
  names: Names,
): Pick<HeaderTable, "tensors" | "metadata"> {
  const scanner = new JsonScanner(bytes, `${file}: header`);
  const special = names.add("__metadata__");
  const stated = new StatedTensors(names, roomFor(names, bytes));
  const texts = new StatedTexts(roomFor(names, bytes));
  const readEntry = entryReader(scanner, stated, names, file);
  scanner.named(names, (id) => {
    if (id === special) {
      readMetadata(scanner, texts, names, file);
    } else {
      takeTensors(budget, 1, file);
      readEntry(id);
    }
  });
  scanner.end();
  return { tensors: stated.table(), metadata: new NamedTexts(names, bytes, texts.columns()) };
}

/** How many entries a header may well have: as many as others before it, as far as its bytes go. */
function roomFor(names: Names, bytes: Uint8Array): number {
  return Math.min(names.size, Math.ceil(bytes.length / 64));
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

function readMetadata(scanner: JsonScanner, texts: StatedTexts, names: Names, file: string): void {
  if (scanner.peek() === "n") {
    scanner.literal();
    return;
  }
  scanner.named(names, (id) => {
    if (scanner.peek() !== '"') {
      refuseOtherThanText(scanner.peek(), names.textOf(id), file);
    }
    texts.ids.push(id);
    texts.starts.push(scanner.skipString());
    texts.ends.push(scanner.position);
    if (texts.ids.size > MAX_METADATA) {
      const what = `__metadata__ has more than ${MAX_METADATA} entries`;
      throw new WeightDiffError("LIMIT", what, DAMAGED, { at: { file } });
    }
  });
}

/**
 * Checks that each tensor begins where the last one ended, and the last one ends at the end of the file: no holes, no overlaps, no rest. The
 * size of a stream is Infinity, since it is unknown. Then makes the ranges absolute.
 */
function placeTensors(
  tensors: TensorTable,
  { dataStart, size, file }: { readonly dataStart: number; readonly size: number; readonly file: string },
): void {
  const { begins, ends } = tensors.columns;
  let expected = 0;
  for (let row = 0; row < tensors.length; row++) {
    const begin = begins[row] ?? 0;
    const end = ends[row] ?? 0;
    if (begin !== expected || end < begin || end - begin !== tensors.bytesOf(row)) {
      throw misplaced(tensors.at(row), expected, file);
    }
    expected = end;
    begins[row] = dataStart + begin;
    ends[row] = dataStart + end;
  }
  const total = dataStart + expected;
  if (total !== size && Number.isFinite(size)) {
    throw new WeightDiffError(
      "TRUNCATED",
      `has ${size} bytes, but its header describes ${total}`,
      size < total ? INCOMPLETE : DAMAGED,
      { at: { file } },
    );
  }
}

/** The error for a tensor that does not begin where it should, or has another length. */
function misplaced({ name, dtype, shape, range }: TensorInfo, expected: number, file: string): WeightDiffError {
  const { begin, end } = range;
  const what =
    begin !== expected || end < begin
      ? `has data_offsets [${begin}, ${end}], expected to begin at ${expected}: tensors overlap or leave a hole`
      : `has ${end - begin} bytes, but ${dtype} ${shapeText(shape)} takes ${bytesOf(dtype, shape, name, file)}`;
  return new WeightDiffError("FORMAT_INVALID", `tensor ${quote(name)} ${what}`, DAMAGED, {
    at: { file, tensor: name },
  });
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
