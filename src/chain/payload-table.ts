/**
 * The payloads of one version, stored in columns. A mixture of experts has 35,000 in each step. As objects, those of 64 steps take gigabytes.
 * Here a payload takes some 40 bytes, and its object is made when somebody asks for it.
 */
import type { ShardFile } from "../checkpoint/shard.js";
import type { Dtype } from "../formats/dtype.js";
import type { ByteRange, Shape } from "../formats/tensor-info.js";
import type { StatedChecksum, StepCompression, StepEncoding } from "../formats/update.js";
import type { Payload, Payloads } from "./chain.js";

/** The properties that all payloads of a table share. */
export interface Common {
  readonly encoding: StepEncoding;
  readonly compression: StepCompression;
  readonly algorithm: StatedChecksum["algorithm"];
}

/** A payload that has a checksum. */
export type StatedPayload = Pick<Payload, "name" | "range" | "dtype" | "shape"> & {
  readonly shard: ShardFile;
  readonly checksum: StatedChecksum;
};

/** Names by row. Tables may share one list, of which each takes the first names. The list only grows. */
class Names {
  readonly list: string[];
  readonly #rows: Map<string, number>;
  /** The latest name that was looked up, and its row: a plan looks up one name in all tables, then the next name. */
  #asked: string | null = null;
  #found: number | undefined;

  constructor(list: string[]) {
    this.list = list;
    this.#rows = new Map(list.map((name, row) => [name, row]));
  }

  rowOf(name: string): number | undefined {
    if (this.#asked !== name) {
      this.#asked = name;
      this.#found = this.#rows.get(name);
    }
    return this.#found;
  }

  add(name: string): void {
    this.#asked = null;
    this.#rows.set(name, this.list.length);
    this.list.push(name);
  }
}

/** The names of the latest table: the steps of a chain mostly name the same tensors in the same order. */
let latest = new Names([]);

export class PayloadTable implements Payloads {
  readonly common: Common;
  #names = latest;
  #size = 0;
  readonly shards: ShardFile[] = [];
  /** For each row: the index of the shard, where the payload begins and ends, and the bytes of its checksum. */
  #shard = new Uint32Array(64);
  #range = new Float64Array(128);
  #sums = Buffer.alloc(0);
  #sumBytes = 0;
  /** For each row, if the index states it. */
  readonly #tensors: { readonly dtype: Dtype; readonly shape: Shape }[] = [];

  constructor(common: Common) {
    this.common = common;
  }

  /** @param payload its name must not be in the table yet. */
  add({ name, shard, range, checksum: { hex }, dtype, shape }: StatedPayload): void {
    const row = this.#size;
    if (row === 0) {
      this.#sumBytes = hex.length / 2;
      this.#sums = Buffer.alloc(64 * this.#sumBytes);
    }
    if (row === this.#shard.length) {
      this.#shard = longer(this.#shard, Uint32Array);
      this.#range = longer(this.#range, Float64Array);
      this.#sums = Buffer.concat([this.#sums, Buffer.alloc(this.#sums.length)]);
    }
    if (this.shards.at(-1) !== shard) {
      this.shards.push(shard);
    }
    this.#name(row, name);
    this.#size += 1;
    this.#shard[row] = this.shards.length - 1;
    this.#range[2 * row] = range.begin;
    this.#range[2 * row + 1] = range.end;
    this.#sums.write(hex, row * this.#sumBytes, "hex");
    if (dtype !== undefined && shape !== undefined) {
      this.#tensors[row] = { dtype, shape };
    }
  }

  /** As soon as a name is not that of the latest table, this table gets a list of its own. */
  #name(row: number, name: string): void {
    const { list } = this.#names;
    if (list[row] === name) {
      return;
    }
    if (row < list.length || this.#names.rowOf(name) !== undefined) {
      this.#names = new Names(list.slice(0, row));
      latest = this.#names;
    }
    this.#names.add(name);
  }

  #rowOf(name: string): number | undefined {
    const row = this.#names.rowOf(name);
    return row === undefined || row >= this.#size ? undefined : row;
  }

  get size(): number {
    return this.#size;
  }

  has(name: string): boolean {
    return this.#rowOf(name) !== undefined;
  }

  get(name: string): Payload | undefined {
    const row = this.#rowOf(name);
    return row === undefined ? undefined : new Row(this, name, row);
  }

  *keys(): IterableIterator<string> {
    for (let row = 0; row < this.#size; row++) {
      yield this.#names.list[row] ?? "";
    }
  }

  *values(): IterableIterator<Payload> {
    for (const [, payload] of this) {
      yield payload;
    }
  }

  *[Symbol.iterator](): IterableIterator<[string, Payload]> {
    for (let row = 0; row < this.#size; row++) {
      const name = this.#names.list[row] ?? "";
      yield [name, new Row(this, name, row)];
    }
  }

  shardOf(row: number): ShardFile {
    return this.shards[this.#shard[row] ?? 0] as ShardFile;
  }

  rangeOf(row: number): ByteRange {
    return { begin: this.#range[2 * row] ?? 0, end: this.#range[2 * row + 1] ?? 0 };
  }

  tensorOf(row: number): { readonly dtype: Dtype; readonly shape: Shape } | undefined {
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

function longer<T extends Uint32Array | Float64Array>(column: T, make: new (length: number) => T): T {
  const twice = new make(2 * column.length);
  twice.set(column);
  return twice;
}
