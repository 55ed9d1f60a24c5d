/** Weight files byte by byte, right or wrong as a test needs them. */
import { crc32 } from "node:zlib";

/** A header as text (or as what JSON makes of it) and zeros, or the given bytes, for data. */
export function safetensorsFile(header: unknown, data: number | Uint8Array = 0): Uint8Array {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  return Buffer.concat([u64(text.length), text, typeof data === "number" ? Buffer.alloc(data) : data]);
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  /** What the local header calls the entry, if not `name`. */
  readonly localName?: string;
  /** What the directory states, if not the truth. */
  readonly size?: number;
  readonly header?: number;
  readonly crc?: number;
}

export interface ZipOptions {
  readonly comment?: Uint8Array;
  /** Stated number of entries, offset and size of the directory, if not the truth. */
  readonly count?: number;
  readonly offset?: number;
  readonly length?: number;
}

/** A zip of stored entries with bare local headers, as torch writes them. */
export function zipFile(parts: readonly ZipPart[], options: ZipOptions = {}): Buffer {
  const body: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, data, method = 0, flags = 0x808, localName = name, ...stated } of parts) {
    const local = Buffer.concat([
      Buffer.from("PK\x03\x04"),
      ...[20, flags, method, 0, 0].map(u16),
      ...[0, 0, 0].map(u32),
      u16(Buffer.byteLength(localName)),
      u16(0),
      Buffer.from(localName),
    ]);
    const { size = data.length, header = at, crc = crc32(data) } = stated;
    directory.push(
      Buffer.from("PK\x01\x02"),
      ...[20, 20, flags, method, 0, 0].map(u16),
      ...[crc, size, size].map(u32),
      ...[Buffer.byteLength(name), 0, 0, 0, 0].map(u16),
      ...[0, header].map(u32),
      Buffer.from(name),
    );
    body.push(local, data);
    at += local.length + data.length;
  }
  const central = Buffer.concat(directory);
  const { comment = Buffer.alloc(0), count = parts.length, offset = at, length = central.length } = options;
  return Buffer.concat([
    ...body,
    central,
    Buffer.from("PK\x05\x06"),
    ...[0, 0, count, count].map(u16),
    ...[length, offset].map(u32),
    u16(comment.length),
    comment,
  ]);
}

/** The same with the 64-bit end record that torch always writes, and more than 65,535 entries need. */
export function zip64File(parts: readonly ZipPart[]): Buffer {
  const { body, directory } = zipParts(parts);
  return Buffer.concat([body, directory, zip64End(parts.length, directory.length, body.length)]);
}

/** What stands before the end record: the entries with their local headers, and the directory. */
export function zipParts(parts: readonly ZipPart[]): { readonly body: Buffer; readonly directory: Buffer } {
  const plain = zipFile(parts, { count: parts.length % 65536 });
  const end = plain.length - 22;
  const offset = plain.readUInt32LE(end + 16);
  return { body: plain.subarray(0, offset), directory: plain.subarray(offset, end) };
}

/** @param length of the directory of `count` entries, which begins at `offset`. */
export function zip64End(count: number, length: number, offset: number): Buffer {
  return Buffer.concat([
    Buffer.from("PK\x06\x06"),
    u64(44),
    ...[45, 45].map(u16),
    ...[0, 0].map(u32),
    ...[count, count, length, offset].map(u64),
    Buffer.from("PK\x06\x07"),
    u32(0),
    u64(offset + length),
    u32(1),
    Buffer.from("PK\x05\x06"),
    ...[0, 0, 0xffff, 0xffff].map(u16),
    ...[0xffffffff, 0xffffffff].map(u32),
    u16(0),
  ]);
}

/** Pickle opcodes, as bytes. */
export const op = {
  proto: Buffer.from([0x80, 2]),
  mark: Buffer.from("("),
  tuple: Buffer.from("t"),
  emptyDict: Buffer.from("}"),
  emptyList: Buffer.from("]"),
  emptyTuple: Buffer.from(")"),
  setItem: Buffer.from("s"),
  setItems: Buffer.from("u"),
  append: Buffer.from("a"),
  reduce: Buffer.from("R"),
  build: Buffer.from("b"),
  persistent: Buffer.from("Q"),
  none: Buffer.from("N"),
  pop: Buffer.from("0"),
  no: Buffer.from([0x89]),
  stop: Buffer.from("."),
  float: Buffer.from([0x47, 0x40, 0, 0, 0, 0, 0, 0, 0]),
  text: (text: string) => Buffer.concat([Buffer.from("X"), u32(Buffer.byteLength(text)), Buffer.from(text)]),
  /** BININT up to 2^31, LONG1 of eight bytes past it. */
  int: (value: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    return value === (value | 0)
      ? Buffer.concat([Buffer.from("J"), bytes.subarray(0, 4)])
      : Buffer.concat([Buffer.from([0x8a, 8]), bytes]);
  },
  global: (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`),
  put: (index: number) => Buffer.concat([Buffer.from("r"), u32(index)]),
  get: (index: number) => Buffer.concat([Buffer.from("j"), u32(index)]),
  tupleOf: (...items: readonly Uint8Array[]) => Buffer.concat([op.mark, ...items, op.tuple]),
};

export interface TensorPickle {
  readonly type?: string;
  readonly key?: string;
  readonly numel?: number;
  readonly offset?: number;
  readonly size?: readonly number[];
  readonly stride?: readonly number[];
}

/** The call of _rebuild_tensor_v2 that makes a tensor; by default of two float32 in the storage "0". */
export function tensorPickle(parts: TensorPickle = {}, legacy = false): Buffer {
  const { type = "FloatStorage", key = "0", numel = 2, offset = 0, size = [2], stride = [1] } = parts;
  const view = legacy ? [op.none] : [];
  return Buffer.concat([
    op.global("torch._utils", "_rebuild_tensor_v2"),
    op.tupleOf(
      op.tupleOf(op.text("storage"), op.global("torch", type), op.text(key), op.text("cpu"), op.int(numel), ...view),
      op.persistent,
      op.int(offset),
      op.tupleOf(...size.map(op.int)),
      op.tupleOf(...stride.map(op.int)),
      op.no,
      op.global("collections", "OrderedDict"),
      op.emptyTuple,
      op.reduce,
    ),
    op.reduce,
  ]);
}

/** One pickle from PROTO to STOP. */
export function pickleOf(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([op.proto, ...parts, op.stop]);
}

/** A dict of the given pickled values. */
export function dictOf(entries: Readonly<Record<string, Uint8Array>>): Buffer {
  const items = Object.entries(entries).flatMap(([key, value]) => [op.text(key), value]);
  return Buffer.concat([op.emptyDict, op.mark, ...items, op.setItems]);
}

/** A torch zip around a pickle; `storages` are the records data/0, data/1 …, by default the eight bytes of one. */
export function torchZip(
  pickle: Uint8Array,
  storages: readonly Uint8Array[] = [Buffer.alloc(8)],
  more: readonly ZipPart[] = [{ name: "archive/version", data: Buffer.from("3\n") }],
): Buffer {
  return zipFile([
    { name: "archive/data.pkl", data: pickle },
    ...storages.map((data, index) => ({ name: `archive/data/${index}`, data })),
    ...more,
  ]);
}

/** A legacy file around a pickle made with `tensorPickle(…, true)`. */
export function torchLegacy(pickle: Uint8Array, storages: Readonly<Record<string, Uint8Array>>, width = 4): Buffer {
  const keys = Object.keys(storages).flatMap((key) => [op.text(key), op.append]);
  return Buffer.concat([
    pickleOf(Buffer.from("8a0a6cfc9c46f9206aa85019", "hex")),
    pickleOf(op.int(1001)),
    pickleOf(op.emptyDict),
    pickle,
    pickleOf(op.emptyList, ...keys),
    ...Object.values(storages).flatMap((data) => [u64(data.length / width), data]),
  ]);
}
