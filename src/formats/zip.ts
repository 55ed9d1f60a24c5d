/**
 * The part of the zip format that torch files use (PKWARE APPNOTE 6.3.10: 4.3.7 local header, 4.3.12 directory, 4.3.14-16 end records;
 * docs/formats.md 2.3). Only the central directory counts: torch leaves sizes and checksums in local headers zero. A local header is read
 * to find where its data begins, and it must name the same entry.
 */
import { WeightDiffError } from "../errors.js";
import { DAMAGED, INCOMPLETE } from "./damage.js";
import { type HeaderBudget, takeBytes } from "./header-budget.js";
import { quote } from "./quote.js";
import type { ByteRange, ByteSource } from "./tensor-info.js";

export interface ZipEntry {
  readonly name: string;
  /** As stored, 0 included. */
  readonly crc32: number;
  /** Bytes, unpacked. */
  readonly size: number;
  readonly packedSize: number;
  /** 0: stored unchanged; 8: deflated. */
  readonly method: number;
  readonly encrypted: boolean;
  /** Where its name stands in the directory. */
  readonly nameAt: ByteRange;
  /** Where its local header begins, and where the next entry or the directory begins. */
  readonly header: number;
  readonly limit: number;
}

export interface ZipDirectory {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** The central directory itself. */
  readonly bytes: Uint8Array;
}

/** In bytes. An entry takes about 100, and is held in memory while reading. */
const MAX_DIRECTORY = 25_000_000;
/** As many as a checkpoint may have tensors, and some more. */
const MAX_ENTRIES = 210_000;
const END_LENGTH = 22;
const LOCATOR_LENGTH = 20;
const END64_LENGTH = 56;
const LOCAL_LENGTH = 30;
const CENTRAL_LENGTH = 46;
const MAX_COMMENT = 0xffff;
/** The end record lies within so many bytes of the end of the file. */
export const ZIP_END = END_LENGTH + MAX_COMMENT;
const END = 0x06054b50;
const LOCATOR = 0x07064b50;
const END64 = 0x06064b50;
const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const IN_ZIP64_16 = 0xffff;
const IN_ZIP64_32 = 0xffffffff;
const ENCRYPTED = 0x2041;

/** The place of the central directory. */
interface DirectoryPlace {
  readonly count: number;
  readonly size: number;
  readonly offset: number;
}

/** @throws {WeightDiffError} TRUNCATED without an end record, FORMAT_INVALID, FORMAT_UNSUPPORTED (split archives), LIMIT */
export async function readZipDirectory(source: ByteSource, budget: HeaderBudget): Promise<ZipDirectory> {
  const { count, size, offset } = await findDirectory(source);
  if (size > MAX_DIRECTORY || count > MAX_ENTRIES) {
    throw new WeightDiffError(
      "LIMIT",
      `a zip directory of ${count} entries in ${size} bytes; more than ${MAX_ENTRIES} in ${MAX_DIRECTORY} are not read`,
      undefined,
      { at: { file: source.name } },
    );
  }
  takeBytes(budget, size, source.name);
  const bytes = await source.readAt(offset, size);
  return { entries: parseDirectory(bytes, count, offset, source.name), bytes };
}

/** Finds the end record: the last one whose comment reaches exactly to the end of the file, since a comment may hold PK\5\6. */
async function findDirectory(source: ByteSource): Promise<DirectoryPlace> {
  const tailStart = Math.max(0, source.size - ZIP_END);
  const tail = view(await source.readAt(tailStart, source.size - tailStart));
  let at = tail.byteLength - END_LENGTH;
  while (at >= 0 && !(u32(tail, at) === END && at + END_LENGTH + u16(tail, at + 20) === tail.byteLength)) {
    at -= 1;
  }
  if (at < 0) {
    throw new WeightDiffError("TRUNCATED", "begins as a zip file, but has no end record", INCOMPLETE, {
      at: { file: source.name },
    });
  }
  const plain = { count: u16(tail, at + 10), size: u32(tail, at + 12), offset: u32(tail, at + 16) };
  const end = tailStart + at;
  const hasLocator = at >= LOCATOR_LENGTH && u32(tail, at - LOCATOR_LENGTH) === LOCATOR;
  if (u16(tail, at + 4) % IN_ZIP64_16 !== 0 || u16(tail, at + 6) % IN_ZIP64_16 !== 0) {
    throw new WeightDiffError("FORMAT_UNSUPPORTED", "is one part of a zip archive of several files", undefined, {
      at: { file: source.name },
    });
  }
  const place = hasLocator
    ? await readEnd64(source, big(tail, at - LOCATOR_LENGTH + 8, source.name), end, plain)
    : plain;
  const limit = hasLocator ? end - LOCATOR_LENGTH - END64_LENGTH : end;
  if (place.offset + place.size > limit) {
    throw invalid(
      source.name,
      `the zip directory at ${place.offset}, ${place.size} bytes long, does not lie before its end record`,
    );
  }
  return place;
}

/** The 64-bit end record. If the plain one is not saturated, both must agree. */
async function readEnd64(
  source: ByteSource,
  offset: number,
  end: number,
  plain: DirectoryPlace,
): Promise<DirectoryPlace> {
  if (offset + END64_LENGTH > end - LOCATOR_LENGTH) {
    throw invalid(source.name, `the zip64 end record at ${offset} does not lie before its locator`);
  }
  const record = view(await source.readAt(offset, END64_LENGTH));
  const place = {
    count: big(record, 32, source.name),
    size: big(record, 40, source.name),
    offset: big(record, 48, source.name),
  };
  const agrees = (stated: number, saturated: number, actual: number): boolean =>
    stated === saturated || stated === actual;
  if (
    u32(record, 0) !== END64 ||
    !agrees(plain.count, IN_ZIP64_16, place.count) ||
    !agrees(plain.size, IN_ZIP64_32, place.size) ||
    !agrees(plain.offset, IN_ZIP64_32, place.offset)
  ) {
    throw invalid(source.name, "the two zip end records contradict each other");
  }
  return place;
}

/** An entry whose limit is the end of the file, until the next entry is known. */
interface PlacedEntry extends ZipEntry {
  limit: number;
}

function parseDirectory(bytes: Uint8Array, count: number, offset: number, file: string): Map<string, ZipEntry> {
  const directory = view(bytes);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: PlacedEntry[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (found.length === count) {
      throw invalid(file, `the zip end record states ${count} entries, the directory has more`);
    }
    const variable = at + CENTRAL_LENGTH;
    if (variable > bytes.length || u32(directory, at) !== CENTRAL) {
      throw invalid(file, `zip directory entry ${found.length} is malformed`);
    }
    const extra = variable + u16(directory, at + 28);
    const comment = extra + u16(directory, at + 30);
    const next = comment + u16(directory, at + 32);
    if (next > bytes.length) {
      throw invalid(file, `zip directory entry ${found.length} runs past the directory`);
    }
    const { size, packedSize, header } = wideFields(directory, at, extra, comment, file);
    found.push({
      name: text.toString("utf8", variable, extra),
      nameAt: { begin: variable, end: extra },
      encrypted: (u16(directory, at + 8) & ENCRYPTED) !== 0,
      method: u16(directory, at + 10),
      crc32: u32(directory, at + 16),
      size,
      packedSize,
      header,
      limit: offset,
    });
    at = next;
  }
  if (found.length !== count) {
    throw invalid(file, `the zip end record states ${count} entries, the directory has ${found.length}`);
  }
  return checkPlaces(found, file);
}

/**
 * Sizes and offset: 32 bits each. If one is saturated, its 64 bits are in extra field 1, which holds only the needed ones, in this order.
 */
function wideFields(
  directory: DataView,
  at: number,
  extra: number,
  end: number,
  file: string,
): Pick<ZipEntry, "size" | "packedSize" | "header"> {
  let from = end;
  let to = end;
  for (let field = extra; field + 4 <= end; ) {
    const fieldEnd = field + 4 + u16(directory, field + 2);
    if (fieldEnd > end) {
      break;
    }
    if (u16(directory, field) === 1) {
      from = field + 4;
      to = fieldEnd;
      break;
    }
    field = fieldEnd;
  }
  const widen = (narrow: number): number => {
    if (narrow !== IN_ZIP64_32) {
      return narrow;
    }
    if (from + 8 > to) {
      throw invalid(file, "a zip entry lacks its 64-bit sizes");
    }
    from += 8;
    return big(directory, from - 8, file);
  };
  const size = widen(u32(directory, at + 24));
  const packedSize = widen(u32(directory, at + 20));
  return { size, packedSize, header: widen(u32(directory, at + 42)) };
}

/** No name occurs twice, and no entry reaches into the next one or into the directory. */
function checkPlaces(found: PlacedEntry[], file: string): Map<string, ZipEntry> {
  found.sort((a, b) => a.header - b.header);
  const entries = new Map<string, ZipEntry>();
  for (const [index, entry] of found.entries()) {
    entry.limit = found[index + 1]?.header ?? entry.limit;
    if (entry.header + LOCAL_LENGTH + lengthOf(entry.nameAt) + entry.packedSize > entry.limit) {
      throw invalid(file, `the zip entry ${quote(entry.name)} overlaps the next one or lies outside the file`);
    }
    if (entries.has(entry.name)) {
      throw invalid(file, `the zip entry ${quote(entry.name)} occurs twice`);
    }
    entries.set(entry.name, entry);
  }
  return entries;
}

/** The place of the bytes of a stored entry. @throws {WeightDiffError} FORMAT_UNSUPPORTED if deflated or encrypted; FORMAT_INVALID */
export async function locateEntry(source: ByteSource, { bytes }: ZipDirectory, entry: ZipEntry): Promise<ByteRange> {
  const what = `the zip entry ${quote(entry.name)}`;
  if (entry.encrypted || entry.method !== 0) {
    const how = entry.encrypted ? "encrypted" : entry.method === 8 ? "deflated" : `packed by method ${entry.method}`;
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `${what} is ${how}; torch stores entries as they are, and only that is read`,
      "load and re-save it with torch.save, or unpack it and pack it again with zip -0 -r",
      { at: { file: source.name } },
    );
  }
  if (entry.packedSize !== entry.size) {
    throw invalid(source.name, `${what} is stored, but states ${entry.size} and ${entry.packedSize} bytes`);
  }
  const length = lengthOf(entry.nameAt);
  const local = view(await source.readAt(entry.header, LOCAL_LENGTH + length));
  const name = new Uint8Array(local.buffer, local.byteOffset + LOCAL_LENGTH, length);
  if (
    u32(local, 0) !== LOCAL ||
    u16(local, 8) !== entry.method ||
    u16(local, 26) !== length ||
    Buffer.compare(name, bytes.subarray(entry.nameAt.begin, entry.nameAt.end)) !== 0
  ) {
    throw invalid(source.name, `${what} has a local header that does not match the directory`);
  }
  const begin = entry.header + local.byteLength + u16(local, 28);
  const end = begin + entry.size;
  if (end > entry.limit) {
    throw invalid(source.name, `${what} overlaps the next one`);
  }
  return { begin, end };
}

function invalid(file: string, what: string): WeightDiffError {
  return new WeightDiffError("FORMAT_INVALID", what, DAMAGED, { at: { file } });
}

function lengthOf({ begin, end }: ByteRange): number {
  return end - begin;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function u16(from: DataView, at: number): number {
  return from.getUint16(at, true);
}

function u32(from: DataView, at: number): number {
  return from.getUint32(at, true);
}

function big(from: DataView, at: number, file: string): number {
  const value = Number(from.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) {
    throw invalid(file, `a zip field states ${value} bytes`);
  }
  return value;
}
