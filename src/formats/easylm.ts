/**
 * EasyLM's streaming checkpoints (young-geng/EasyLM EasyLM/checkpoint.py, StreamingCheckpointer): one msgpack value after the other. Each
 * is a pair of a key, which is an array of texts, and a binary that is itself msgpack: flax's extension 1, an array (flax/serialization.py:
 * shape, name of the dtype, C-ordered little-endian bytes). There is no directory. The reader walks from header to header, and reads no
 * tensor bytes.
 */
import { createHash } from "node:crypto";
import { WeightDiffError } from "../errors.js";
import { DAMAGED, INCOMPLETE } from "./damage.js";
import { type Dtype, dtypeFromTorch, tensorBytes } from "./dtype.js";
import { headerBudget, takeBytes, takeTensors } from "./header-budget.js";
import { quote } from "./quote.js";
import type { ByteSource, ShardHeader, TensorInfo } from "./tensor-info.js";

/** Bytes to read of each header. Key, shape and dtype of a LLaMA's tensors take some 90. */
const MAX_HEADER = 1024;
const MAX_KEYS = 16;
const MAX_RANK = 8;
/** A 65B model has 723 entries. Each costs a read. */
const MAX_TENSORS = 20_000;
/** flax's extension types. */
const ARRAY = 1;

/** Does a file begin like one of these: with a pair, an array of texts, a text? */
export function looksLikeEasylm(head: Uint8Array): boolean {
  const [pair = 0, keys = 0, text = 0] = head;
  return pair === 0x92 && keys > 0x90 && keys <= 0x9f && ((text > 0xa0 && text <= 0xbf) || text === 0xd9);
}

/** @throws {WeightDiffError} TRUNCATED, FORMAT_INVALID, FORMAT_UNSUPPORTED (arrays in chunks, strange dtypes), LIMIT, IO. */
export async function readEasylm(source: ByteSource, budget = headerBudget()): Promise<ShardHeader> {
  const hash = createHash("sha256");
  const tensors = new Map<string, TensorInfo>();
  for (let at = 0, count = 0; at < source.size; count++) {
    if (count >= MAX_TENSORS) {
      throw new WeightDiffError("LIMIT", `has more than ${MAX_TENSORS} entries`, undefined, {
        at: { file: source.name },
      });
    }
    const head = await source.readAt(at, Math.min(MAX_HEADER, source.size - at));
    const reader = new HeaderReader(head, at, source);
    const { path, tensor, end } = readEntry(reader);
    const name = path.join(".");
    if (tensors.has(name)) {
      throw reader.invalid(`the tensor name ${quote(name)} occurs twice`);
    }
    takeBytes(budget, reader.used, source.name);
    takeTensors(budget, 1, source.name);
    if (tensor !== null) {
      tensors.set(name, { name, path, ...tensor });
    }
    hash.update(head.subarray(0, reader.used));
    at = end;
  }
  return { format: "easylm", tensors: [...tensors.values()], metadata: new Map(), digest: hash.digest("hex") };
}

interface Entry {
  readonly path: readonly string[];
  /** Null if the value is not an array: counters of a train state. */
  readonly tensor: Pick<TensorInfo, "dtype" | "shape" | "range"> | null;
  /** The first byte after it. */
  readonly end: number;
}

function readEntry(reader: HeaderReader): Entry {
  if (reader.array("an entry") !== 2) {
    throw reader.invalid("an entry is not a pair of key and value");
  }
  const keys = reader.array("a key");
  if (keys === 0 || keys > MAX_KEYS) {
    throw reader.invalid(`a key of ${keys} parts`);
  }
  const path = Array.from({ length: keys }, () => reader.text());
  const name = quote(path.join("."));
  const end = reader.binary(`the value of ${name}`);
  const extension = reader.extension();
  if (extension === null) {
    if (reader.isMap()) {
      throw new WeightDiffError(
        "FORMAT_UNSUPPORTED",
        `tensor ${name} is stored in chunks, as flax does past 1 GiB`,
        "no published EasyLM checkpoint is: save the model as safetensors",
        { at: { file: reader.name } },
      );
    }
    return { path, tensor: null, end };
  }
  if (extension.type !== ARRAY) {
    return { path, tensor: null, end };
  }
  if (extension.end !== end || reader.array(`the value of ${name}`) !== 3) {
    throw reader.invalid(`tensor ${name} is not one array of flax`);
  }
  const rank = reader.array(`the shape of ${name}`);
  if (rank > MAX_RANK) {
    throw new WeightDiffError("LIMIT", `tensor ${name} has ${rank} dimensions`, undefined, {
      at: { file: reader.name },
    });
  }
  const shape = Array.from({ length: rank }, () => reader.size());
  const dtype = dtypeOf(reader.text(), name, reader);
  const dataEnd = reader.binary(`the elements of ${name}`);
  const range = { begin: reader.position, end: dataEnd };
  if (dataEnd !== end || tensorBytes(dtype, shape) !== range.end - range.begin) {
    throw reader.invalid(`tensor ${name}: ${range.end - range.begin} bytes for ${dtype} [${shape.join(", ")}]`);
  }
  return { path, tensor: { dtype, shape, range }, end };
}

/** numpy and torch use the same names. */
function dtypeOf(text: string, name: string, { name: file }: HeaderReader): Dtype {
  const dtype = dtypeFromTorch(text);
  if (dtype === undefined || text === "complex64") {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `tensor ${name} has the dtype ${quote(text)}, which is not supported`,
      "save the model in float32, float16 or bfloat16",
      { at: { file } },
    );
  }
  return dtype;
}

/** The few kinds of msgpack values that occur in a header (msgpack spec.md, "Formats"). */
class HeaderReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #start: number;
  readonly #source: ByteSource;
  #at = 0;

  /** @param bytes the bytes that begin at `start` of the source. */
  constructor(bytes: Uint8Array, start: number, source: ByteSource) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#start = start;
    this.#source = source;
  }

  get name(): string {
    return this.#source.name;
  }

  /** Bytes read so far. */
  get used(): number {
    return this.#at;
  }

  /** The position in the file. */
  get position(): number {
    return this.#start + this.#at;
  }

  /** @returns its length. */
  array(what: string): number {
    const byte = this.#byte();
    if ((byte & 0xf0) === 0x90) {
      return byte & 0x0f;
    }
    throw this.invalid(`${what} is not a short msgpack array`);
  }

  text(): string {
    const byte = this.#byte();
    const length = (byte & 0xe0) === 0xa0 ? byte & 0x1f : byte === 0xd9 ? this.#byte() : -1;
    if (length < 0) {
      throw this.invalid("a part of a key, or a dtype, is not a short text");
    }
    const bytes = this.#bytes.subarray(this.#at, this.#at + this.#take(length));
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw this.invalid("a key is not UTF-8");
    }
  }

  /** A number from 0. */
  size(): number {
    const byte = this.#byte();
    if (byte < 0x80) {
      return byte;
    }
    const width = byte >= 0xcc && byte <= 0xcf ? 2 ** (byte - 0xcc) : 0;
    if (width === 0) {
      throw this.invalid("a size of a shape is not a whole number from 0");
    }
    // Above 2^53, the product of the shape overflows.
    return width === 8 ? Number(this.#view.getBigUint64(this.#skip(8))) : this.#unsigned(width);
  }

  /** @returns the end of the bytes, which begin at `position`. */
  binary(what: string): number {
    const byte = this.#byte();
    if (byte < 0xc4 || byte > 0xc6) {
      throw this.invalid(`${what} is not a msgpack binary`);
    }
    return this.#endOf(this.#unsigned(2 ** (byte - 0xc4)), what);
  }

  /** Null if something else comes next, which is then not consumed. */
  extension(): { readonly type: number; readonly end: number } | null {
    const byte = this.#bytes[this.#at] ?? 0;
    const fixed = byte >= 0xd4 && byte <= 0xd8;
    if (!fixed && (byte < 0xc7 || byte > 0xc9)) {
      return null;
    }
    this.#at += 1;
    const length = fixed ? 2 ** (byte - 0xd4) : this.#unsigned(2 ** (byte - 0xc7));
    const type = this.#byte();
    return { type, end: this.#endOf(length, "an extension") };
  }

  isMap(): boolean {
    const byte = this.#bytes[this.#at] ?? 0;
    return (byte & 0xf0) === 0x80 || byte === 0xde || byte === 0xdf;
  }

  invalid(what: string): WeightDiffError {
    return new WeightDiffError(
      "FORMAT_INVALID",
      `is not the EasyLM checkpoint that it begins as: ${what} (near byte ${this.position})`,
      DAMAGED,
      { at: { file: this.name } },
    );
  }

  #endOf(length: number, what: string): number {
    const end = this.position + length;
    if (end > this.#source.size) {
      throw this.#truncated(`${what} ends at byte ${end}`);
    }
    return end;
  }

  #truncated(what: string): WeightDiffError {
    return new WeightDiffError("TRUNCATED", `has ${this.#source.size} bytes, but ${what}`, INCOMPLETE, {
      at: { file: this.name },
    });
  }

  #byte(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  #unsigned(width: number): number {
    const at = this.#skip(width);
    return width === 1 ? this.#view.getUint8(at) : width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  /** @returns where the skipped bytes begin. */
  #skip(length: number): number {
    this.#take(length);
    return this.#at - length;
  }

  #take(length: number): number {
    if (this.#at + length > this.#bytes.length) {
      if (this.position + length > this.#source.size) {
        throw this.#truncated("a header goes on");
      }
      throw new WeightDiffError(
        "LIMIT",
        `a header of more than ${MAX_HEADER} bytes at byte ${this.#start}`,
        undefined,
        { at: { file: this.name } },
      );
    }
    this.#at += length;
    return length;
  }
}
