/**
 * The payloads of one version, stored in columns. A mixture of experts has 35,000 in each step. As objects, those of 64 steps take gigabytes.
 * Here a payload takes some 40 bytes, and its object is made when somebody asks for it.
 */
import type { ShardFile } from "../checkpoint/shard.js";
import { CHECKSUM_DIGITS } from "../formats/checksum.js";
import type { Dtype } from "../formats/dtype.js";
import { type Names, Places } from "../formats/names.js";
import type { ByteRange, Shape, TensorInfo } from "../formats/tensor-info.js";
import type { StatedChecksum, StepCompression, StepEncoding } from "../formats/update.js";
import type { Payload, Payloads } from "./chain.js";

/** The properties that all payloads of a table share. */
export interface Common {
  readonly encoding: StepEncoding;
  readonly compression: StepCompression;
  readonly algorithm: StatedChecksum["algorithm"];
}

/** The number of no name. */
const NONE = -1;

/** A tensor as the index states it. */
type StatedTensor = Pick<TensorInfo, "dtype" | "shape">;

export class PayloadTable implements Payloads {
  readonly common: Common;
  readonly names: Names;
  readonly shards: ShardFile[] = [];
  /** For each row: the number of the name, the index of the shard, where the payload begins and ends, and the bytes of its checksum. */
  readonly #ids: Int32Array;
  readonly #shard: Uint32Array;
  readonly #range: Float64Array;
  readonly #sums: Buffer;
  readonly #sumBytes: number;
  #places: Places | null = null;
  #size = 0;
  /** For each row, if the index states it. */
  readonly #tensors: StatedTensor[] = [];

  /** @param most rows. */
  constructor(common: Common, names: Names, most: number) {
    this.common = common;
    this.names = names;
    this.#ids = new Int32Array(most).fill(NONE);
    this.#shard = new Uint32Array(most);
    this.#range = new Float64Array(2 * most);
    this.#sumBytes = CHECKSUM_DIGITS[common.algorithm] / 2;
    this.#sums = Buffer.alloc(this.#sumBytes * most);
  }

  /**
   * Adds a row, without an object for it.
   * @param id the number of the tensor's name, which must not be in the table yet.
   * @param begin where the payload begins in the shard. @param end where it ends.
   * @param sum the bytes of the checksum, which are copied.
   * @param tensor what the tensor is, if the index states it.
   */
  add(id: number, shard: ShardFile, begin: number, end: number, sum: Uint8Array, tensor?: StatedTensor): void {
    const row = this.#size;
    if (this.shards.at(-1) !== shard) {
      this.shards.push(shard);
    }
    this.#size += 1;
    this.#places = null;
    this.#ids[row] = id;
    this.#shard[row] = this.shards.length - 1;
    this.#range[2 * row] = begin;
    this.#range[2 * row + 1] = end;
    this.#sums.set(sum, row * this.#sumBytes);
    if (tensor !== undefined) {
      this.#tensors[row] = tensor;
    }
  }

  #rowOf(name: string): number {
    const id = this.names.idOf(name);
    this.#places ??= new Places(this.#ids);
    return id === undefined ? -1 : this.#places.of(id);
  }

  get size(): number {
    return this.#size;
  }

  get statesTensors(): boolean {
    return this.#tensors.length > 0;
  }

  bytesOf(name: string): number {
    const row = this.#rowOf(name);
    return row < 0 ? -1 : (this.#range[2 * row + 1] ?? 0) - (this.#range[2 * row] ?? 0);
  }

  /** Each row has one. */
  hasSum(name: string): boolean {
    return this.has(name);
  }

  has(name: string): boolean {
    return this.#rowOf(name) >= 0;
  }

  get(name: string): Payload | undefined {
    const row = this.#rowOf(name);
    return row < 0 ? undefined : this.at(row);
  }

  at(row: number): Payload {
    return new Row(this, this.#nameOf(row), row);
  }

  #nameOf(row: number): string {
    return this.names.textOf(this.#ids[row] ?? NONE);
  }

  *keys(): IterableIterator<string> {
    for (let row = 0; row < this.#size; row++) {
      yield this.#nameOf(row);
    }
  }

  *values(): IterableIterator<Payload> {
    for (let row = 0; row < this.#size; row++) {
      yield this.at(row);
    }
  }

  *[Symbol.iterator](): IterableIterator<[string, Payload]> {
    for (let row = 0; row < this.#size; row++) {
      yield [this.#nameOf(row), this.at(row)];
    }
  }

  shardOf(row: number): ShardFile {
    return this.shards[this.#shard[row] ?? 0] as ShardFile;
  }

  rangeOf(row: number): ByteRange {
    return { begin: this.#range[2 * row] ?? 0, end: this.#range[2 * row + 1] ?? 0 };
  }

  tensorOf(row: number): StatedTensor | undefined {
    return this.#tensors[row];
  }

  hexOf(row: number): string {
    return this.#sums.toString("hex", row * this.#sumBytes, (row + 1) * this.#sumBytes);
  }
}

/** One payload of a table. */
class Row implements Payload {
  readonly name: string;
  readonly #table: PayloadTable;
  readonly #row: number;

  constructor(table: PayloadTable, name: string, row: number) {
    this.name = name;
    this.#table = table;
    this.#row = row;
  }

  get shard(): ShardFile {
    return this.#table.shardOf(this.#row);
  }

  get range(): ByteRange {
    return this.#table.rangeOf(this.#row);
  }

  get encoding(): StepEncoding {
    return this.#table.common.encoding;
  }

  get compression(): StepCompression {
    return this.#table.common.compression;
  }

  get checksum(): StatedChecksum {
    return new RowChecksum(this.#table, this.#row);
  }

  get dtype(): Dtype | undefined {
    return this.#table.tensorOf(this.#row)?.dtype;
  }

  get shape(): Shape | undefined {
    return this.#table.tensorOf(this.#row)?.shape;
  }
}

/** Its checksum. A copy with `...` is empty, as a copy of the row is: nothing is a property of its own. */
class RowChecksum implements StatedChecksum {
  readonly #table: PayloadTable;
  readonly #row: number;

  constructor(table: PayloadTable, row: number) {
    this.#table = table;
    this.#row = row;
  }

  get algorithm(): StatedChecksum["algorithm"] {
    return this.#table.common.algorithm;
  }

  get hex(): string {
    return this.#table.hexOf(this.#row);
  }
}
