/**
 * The layout of a safetensors file that is to be written: the place of everything in it, before any tensor byte is known (the format:
 * docs/formats.md 1.1).
 */
import { WeightDiffError } from "../errors.js";
import { quote } from "./quote.js";
import { bytesOf, MAX_HEADER } from "./safetensors.js";
import type { ByteRange, TensorInfo } from "./tensor-info.js";

/** The data section of a written shard begins on a page, so that tensors can go to disk by direct I/O. */
const PAGE = 4096;

/** The place of everything in a shard, before any tensor byte is known. */
export interface ShardLayout {
  /** The first bytes of the file: length, JSON and padding. */
  readonly header: Uint8Array;
  /** Absolute byte ranges, in the order of the given tensors. */
  readonly ranges: readonly ByteRange[];
  /** Bytes of the whole file. */
  readonly size: number;
  /** Before this offset, every tensor begins and ends on a page. From here on, none is a whole number of pages. */
  readonly directEnd: number;
}

interface ShardLayoutOptions {
  /** The file's name in messages. */
  readonly name: string;
  /** `__metadata__`. The default is {"format": "pt"}, without which older transformers refuse the file (docs/formats.md 1.1). */
  readonly metadata?: ReadonlyMap<string, string>;
  /** False keeps the given order, for a file that is written only by ordinary I/O. */
  readonly paged?: boolean;
}

/**
 * Lays out a shard: first the tensors of whole pages, then the rest, each group in the given order. So no page is written both by direct
 * and by ordinary I/O.
 * @throws {WeightDiffError} FORMAT_UNSUPPORTED for a name that safetensors cannot hold; FORMAT_INVALID for a name that occurs twice, or a
 * shape that overflows; LIMIT for a header that no reader accepts.
 */
export function layoutShard(
  tensors: readonly Pick<TensorInfo, "name" | "dtype" | "shape">[],
  { name: file, metadata = new Map([["format", "pt"]]), paged = true }: ShardLayoutOptions,
): ShardLayout {
  const names = new Set<string>();
  const sized = tensors.map(({ name, dtype, shape }, index) => {
    const tensor = `${file}: tensor ${quote(name)}`;
    if (name === "__metadata__" || /\p{Surrogate}/u.test(name)) {
      throw new WeightDiffError("FORMAT_UNSUPPORTED", `${tensor} has a name that safetensors cannot hold`);
    }
    if (names.has(name)) {
      throw new WeightDiffError("FORMAT_INVALID", `${tensor} occurs twice`);
    }
    names.add(name);
    return { name, dtype, shape, index, bytes: bytesOf(dtype, shape, name, file) };
  });
  const isPaged = ({ bytes }: { readonly bytes: number }): boolean => paged && bytes > 0 && bytes % PAGE === 0;
  const direct = sized.filter(isPaged);
  const rest = sized.filter((tensor) => !isPaged(tensor));

  const fields = [...metadata].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, text]) => `${json(key)}:${json(text)}`);
  const entries = [`"__metadata__":{${fields.join(",")}}`];
  const offsets: ByteRange[] = new Array(sized.length);
  let at = 0;
  for (const { name, dtype, shape, index, bytes } of [...direct, ...rest]) {
    const end = at + bytes;
    entries.push(`${json(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":[${at},${end}]}`);
    offsets[index] = { begin: at, end };
    at = end;
  }
  const text = new TextEncoder().encode(`{${entries.join(",")}}`);
  const unit = paged ? PAGE : 8;
  const dataStart = Math.ceil((8 + text.length) / unit) * unit;
  const size = dataStart + at;
  if (dataStart - 8 > MAX_HEADER || !Number.isSafeInteger(size)) {
    throw new WeightDiffError(
      "LIMIT",
      `the header of ${tensors.length} tensors would take ${text.length} bytes; readers refuse more than ${MAX_HEADER}`,
      undefined,
      { at: { file }, advice: [{ to: "put fewer tensors into a file", option: "maxShardSize" }] },
    );
  }
  const header = new Uint8Array(dataStart).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(dataStart - 8), true);
  header.set(text, 8);
  return {
    header,
    ranges: offsets.map(({ begin, end }) => ({ begin: dataStart + begin, end: dataStart + end })),
    size,
    directEnd: dataStart + direct.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

function json(text: string): string {
  return JSON.stringify(text);
}
