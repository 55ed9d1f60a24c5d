/** Payloads as columns are what they are as a Map, whatever other tables of the same list of names hold. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Payload } from "../../../src/chain/chain.js";
import { type Common, PayloadTable } from "../../../src/chain/payload-table.js";
import type { ShardFile } from "../../../src/checkpoint/shard.js";
import { Names } from "../../../src/formats/names.js";

const XOR: Common = { encoding: "xor", compression: "zstd", algorithm: "xxh3-128" };

const shard = (file: string): ShardFile => ({
  file,
  path: `/chain/${file}`,
  size: 1,
  modified: "0",
  header: { digest: file },
});

type Plain = Pick<Payload, "name" | "shard" | "range" | "dtype" | "shape"> & { readonly hex: string };

function payload(name: string, seed: number, of: ShardFile): Plain {
  const begin = seed * 2 ** 33;
  return { name, shard: of, range: { begin, end: begin + seed }, hex: seed.toString(16).padStart(32, "0") };
}

function add(table: PayloadTable, { name, shard, range, hex, dtype, shape }: Plain): void {
  const tensor = dtype === undefined || shape === undefined ? undefined : { dtype, shape };
  table.add(table.names.add(name), shard, range.begin, range.end, Buffer.from(hex, "hex"), tensor);
}

/** As a Map of plain objects. */
function expected(payloads: readonly Plain[], { encoding, compression, algorithm }: Common): Map<string, unknown> {
  return new Map(
    payloads.map(({ hex, ...one }) => [
      one.name,
      { dtype: undefined, shape: undefined, ...one, encoding, compression, checksum: { algorithm, hex } },
    ]),
  );
}

function plain(found: Payload | undefined): unknown {
  if (found === undefined) {
    return undefined;
  }
  const { name, shard, range, encoding, compression, checksum, dtype, shape } = found;
  const { algorithm, hex } = checksum ?? {};
  return { name, shard, range, encoding, compression, dtype, shape, checksum: { algorithm, hex } };
}

function check(names: Names, payloads: readonly Plain[], absent: readonly string[]): PayloadTable {
  const table = new PayloadTable(XOR, names, payloads.length);
  for (const one of payloads) {
    assert.equal(table.has(one.name), false);
    add(table, one);
    assert.equal(table.has(one.name), true);
  }
  const map = expected(payloads, XOR);
  assert.equal(table.size, map.size);
  assert.deepEqual([...table.keys()], [...map.keys()]);
  assert.deepEqual([...table.values()].map(plain), [...map.values()]);
  assert.deepEqual(
    [...table].map(([name, one]) => [name, plain(one)]),
    [...map],
  );
  for (const name of [...map.keys(), ...absent]) {
    assert.deepEqual(plain(table.get(name)), map.get(name));
    assert.equal(table.has(name), map.has(name));
    assert.equal(table.hasSum(name), map.has(name));
    const { range } = payloads.find((one) => one.name === name) ?? {};
    assert.equal(table.bytesOf(name), range === undefined ? -1 : range.end - range.begin);
  }
  assert.equal(
    table.statesTensors,
    payloads.some(({ dtype }) => dtype !== undefined),
  );
  return table;
}

test("tables of the same names, of fewer, of more, in another order and of other names are Maps to whoever asks", () => {
  const [a, b] = [shard("a"), shard("b")];
  const names = Array.from({ length: 300 }, (_, index) => `model.layers.${index}.weight`);
  const all = (list: readonly string[]): Plain[] =>
    list.map((name, index) => payload(name, index + 1, index < 100 ? a : b));
  const others = ["other.weight", ...names.slice(3, 9)];
  const shared = new Names();
  for (const list of [
    names,
    names,
    names.slice(0, 40),
    [...names, "one.more"],
    names.slice(1),
    [...names].reverse(),
    names,
    others,
    [...names.slice(0, 10), ...others.slice(0, 1), ...names.slice(20)],
    [],
  ]) {
    check(shared, all(list), [...names, "one.more", "other.weight", "absent"]);
  }
});

test("a table keeps what it has while others of the same names grow", () => {
  const of = shard("a");
  const names = new Names();
  const [one, other] = [new PayloadTable(XOR, names, 3), new PayloadTable(XOR, names, 2)];
  add(one, payload("p", 1, of));
  add(other, payload("p", 2, of));
  add(one, payload("q", 3, of));
  add(other, payload("r", 4, of));
  add(one, payload("r", 5, of));
  assert.deepEqual([...one.keys()], ["p", "q", "r"]);
  assert.deepEqual([...other.keys()], ["p", "r"]);
  assert.equal(other.get("q"), undefined);
  assert.equal(other.get("r")?.range.end, 4 * 2 ** 33 + 4);
  assert.equal(one.get("r")?.checksum?.hex, "5".padStart(32, "0"));
});

test("dtypes and shapes of coded payloads stay with their rows", () => {
  const table = new PayloadTable({ ...XOR, encoding: "exact-compressed", compression: "coded" }, new Names(), 2);
  const of = shard("a");
  add(table, { ...payload("x", 1, of), dtype: "BF16", shape: [2, 3] });
  add(table, { ...payload("y", 2, of), dtype: "F32", shape: [] });
  assert.deepEqual([table.get("x")?.dtype, table.get("x")?.shape], ["BF16", [2, 3]]);
  assert.deepEqual([table.get("y")?.dtype, table.get("y")?.shape], ["F32", []]);
});
