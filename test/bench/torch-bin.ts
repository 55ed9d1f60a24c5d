/**
 * Writes `.bin` files as `torch.save` of a state dict does (docs/formats.md 2.3, 2.4): a zip of stored records aligned to 64 bytes, sizes
 * and CRC-32 in descriptors and in the directory, zip64 where needed, and a protocol 2 pickle of an OrderedDict of tensors.
 * With holes in place of values, hundreds of gigabytes take no disk: such records state CRC-32 0, "not computed", as torch can.
 */
import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import { crc32 } from "node:zlib";

export interface BinTensor {
  readonly name: string;
  readonly dtype: "F16" | "BF16" | "F32";
  readonly shape: readonly number[];
}

/** The bytes of a tensor, in pieces. */
export type Fill = (tensor: BinTensor) => Iterable<Uint8Array>;

const STORAGE = { F16: "HalfStorage", BF16: "BFloat16Storage", F32: "FloatStorage" } as const;
const WIDTH = { F16: 2, BF16: 2, F32: 4 } as const;
const ALIGNMENT = 64;
const MAX_32 = 0xffffffff;
/** Bit 3: sizes follow the data. Bit 11: names are UTF-8. */
const FLAGS = 0x0808;
const LOCAL_LENGTH = 30;

export function binBytes({ dtype, shape }: BinTensor): number {
  return shape.reduce((product, size) => product * size, WIDTH[dtype]);
}

interface Written {
  readonly name: string;
  readonly at: number;
  readonly size: number;
  readonly crc: number;
}

/** Writes the file. `fill` null leaves holes. */
export async function writeTorchBin(path: string, tensors: readonly BinTensor[], fill: Fill | null): Promise<void> {
  const file = await open(path, "w");
  try {
    const stem = basename(path).replace(/\.bin$/, "");
    const entries: Written[] = [];
    let at = 0;
    const record = async (name: string, size: number, pieces: Iterable<Uint8Array> | null): Promise<void> => {
      const entry = await writeRecord(file, at, `${stem}/${name}`, size, pieces);
      entries.push(entry.written);
      at = entry.end;
    };
    const text = (name: string, bytes: Uint8Array): Promise<void> => record(name, bytes.length, [bytes]);
    await text("data.pkl", pickle(tensors));
    await text(".format_version", Buffer.from("1"));
    await text(".storage_alignment", Buffer.from(String(ALIGNMENT)));
    await text("byteorder", Buffer.from("little"));
    for (const [key, tensor] of tensors.entries()) {
      await record(`data/${key}`, binBytes(tensor), fill === null ? null : fill(tensor));
    }
    await text("version", Buffer.from("3\n"));
    await text(".data/serialization_id", Buffer.from("0".repeat(40)));
    await writeAll(file, directory(entries, at), at);
  } finally {
    await file.close();
  }
}

async function writeRecord(
  file: FileHandle,
  at: number,
  name: string,
  size: number,
  pieces: Iterable<Uint8Array> | null,
): Promise<{ readonly written: Written; readonly end: number }> {
  const nameBytes = Buffer.from(name);
  // The padding is an extra field of its own: two bytes of tag, two of length.
  const bare = at + LOCAL_LENGTH + nameBytes.length + 4;
  const padding = (ALIGNMENT - (bare % ALIGNMENT)) % ALIGNMENT;
  const extra = Buffer.concat([Buffer.from("FB"), u16(padding), Buffer.alloc(padding, "Z")]);
  const header = [u32(0x04034b50), u16(0), u16(FLAGS), Buffer.alloc(18), u16(nameBytes.length), u16(extra.length)];
  await writeAll(file, Buffer.concat([...header, nameBytes, extra]), at);
  let end = bare + padding;
  const dataEnd = end + size;
  let crc = 0;
  for (const piece of pieces ?? []) {
    crc = crc32(piece, crc);
    await writeAll(file, piece, end);
    end += piece.length;
  }
  if (pieces !== null && end !== dataEnd) {
    throw new RangeError(`${name}: ${size} bytes announced, ${size - dataEnd + end} given`);
  }
  const width = size >= MAX_32 ? u64 : u32;
  const descriptor = Buffer.concat([u32(0x08074b50), u32(crc), width(size), width(size)]);
  await writeAll(file, descriptor, dataEnd);
  return { written: { name, at, size, crc }, end: dataEnd + descriptor.length };
}

/** Central directory and the three end records; torch always writes the zip64 ones. */
function directory(entries: readonly Written[], at: number): Buffer {
  const central = Buffer.concat(entries.flatMap(centralEntry));
  const count = entries.length;
  const end64 = [u32(0x06064b50), u64(44), u16(0), u16(0), u32(0), u32(0), u64(count), u64(count)];
  const locator = [u32(0x07064b50), u32(0), u64(at + central.length), u32(1)];
  const counts = [u16(Math.min(count, 0xffff)), u16(Math.min(count, 0xffff))];
  const end = [u32(0x06054b50), u16(0), u16(0), ...counts, u32(central.length), u32(Math.min(at, MAX_32)), u16(0)];
  return Buffer.concat([central, ...end64, u64(central.length), u64(at), ...locator, ...end]);
}

function centralEntry({ name, at, size, crc }: Written): Buffer[] {
  const nameBytes = Buffer.from(name);
  const wide = [...(size >= MAX_32 ? [u64(size), u64(size)] : []), ...(at >= MAX_32 ? [u64(at)] : [])];
  const extra = wide.length === 0 ? Buffer.alloc(0) : Buffer.concat([u16(1), u16(8 * wide.length), ...wide]);
  const sizes = [u32(Math.min(size, MAX_32)), u32(Math.min(size, MAX_32))];
  const lengths = [u16(nameBytes.length), u16(extra.length), u16(0), u16(0), u16(0), u32(0)];
  const versions = [u32(0x02014b50), u16(0), u16(0), u16(FLAGS), u16(0), u32(0)];
  return [...versions, u32(crc), ...sizes, ...lengths, u32(Math.min(at, MAX_32)), nameBytes, extra];
}

/** `OrderedDict((name, _rebuild_tensor_v2(storage key, 0, shape, strides, False, OrderedDict())), …)`. */
function pickle(tensors: readonly BinTensor[]): Buffer {
  const global = (module: string, name: string): Buffer => Buffer.from(`c${module}\n${name}\n`);
  const op = (text: string): Buffer => Buffer.from(text, "latin1");
  const string = (text: string): Buffer => {
    const bytes = Buffer.from(text);
    return Buffer.concat([op("X"), u32(bytes.length), bytes]);
  };
  const integer = (value: number): Buffer => {
    const bytes = Buffer.alloc(5, "J");
    bytes.writeInt32LE(value, 1);
    return bytes;
  };
  const tuple = (values: readonly number[]): Buffer => Buffer.concat([op("("), ...values.map(integer), op("t")]);
  const emptyDict = [global("collections", "OrderedDict"), op(")R")];
  const items = tensors.flatMap(({ name, dtype, shape }, key) => {
    const strides = shape.map((_, dim) => shape.slice(dim + 1).reduce((product, size) => product * size, 1));
    const count = shape.reduce((product, size) => product * size, 1);
    const storage = [string("storage"), global("torch", STORAGE[dtype]), string(String(key)), string("cpu")];
    const place = [op("(("), ...storage, integer(count), op("tQ"), integer(0), tuple(shape), tuple(strides)];
    return [string(name), global("torch._utils", "_rebuild_tensor_v2"), ...place, op("\x89"), ...emptyDict, op("tR")];
  });
  return Buffer.concat([op("\x80\x02"), ...emptyDict, op("("), ...items, op("u.")]);
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
