import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorCode } from "../../../src/errors.js";
import type { TensorInfo } from "../../../src/formats/tensor-info.js";
import { readTorchZip } from "../../../src/formats/torch-zip.js";
import { dictOf, op, pickleOf, type TensorPickle, tensorPickle, torchZip } from "../../support/hostile-files.js";
import { memorySource } from "../../support/memory-source.js";
import { refuses } from "../../support/refusal.js";

async function read(object: Uint8Array, storages?: readonly Uint8Array[]): Promise<readonly TensorInfo[]> {
  return (await readTorchZip(memorySource(torchZip(pickleOf(object), storages), "m.bin"))).tensors;
}

/** One tensor named "w" over one storage that is as long as the pickle says. */
async function readView(parts: TensorPickle, bytes = (parts.numel ?? 2) * 4): Promise<TensorInfo> {
  const [tensor] = await read(dictOf({ w: tensorPickle(parts) }), [Buffer.alloc(bytes)]);
  assert.ok(tensor);
  return tensor;
}

test("gives a contiguous tensor exactly its bytes", async () => {
  const { range, record, strides, ...rest } = await readView({ numel: 10, offset: 2, size: [2, 3], stride: [3, 1] });
  assert.deepEqual(rest, { name: "w", path: ["w"], dtype: "F32", shape: [2, 3] });
  assert.equal(strides, undefined);
  assert.equal(record?.name, "archive/data/0");
  assert.equal(range.begin, record.range.begin + 8);
  assert.equal(range.end, range.begin + 24);
});

test("gives a strided tensor the span from its first to its last element", async () => {
  const { range, record, strides } = await readView({ numel: 12, offset: 1, size: [2, 2], stride: [1, 4] });
  assert.deepEqual(strides, [1, 4]);
  assert.deepEqual([range.begin, range.end], [(record?.range.begin ?? 0) + 4, (record?.range.begin ?? 0) + 4 + 24]);
});

test("does not mind the strides of dimensions of size 1 and of empty tensors", async () => {
  assert.equal((await readView({ size: [1, 2, 1], stride: [77, 1, 0] })).strides, undefined);
  const empty = await readView({ size: [3, 0], stride: [5, 9], offset: 99 });
  assert.equal(empty.strides, undefined);
  assert.equal(empty.range.begin, empty.range.end);
  const scalar = await readView({ size: [], stride: [], offset: 1 });
  assert.equal(scalar.strides, undefined);
  assert.deepEqual(scalar.range, { begin: scalar.range.end - 4, end: scalar.record?.range.end });
});

test("names tensors by their keys, positions included", async () => {
  const t = tensorPickle();
  const nested = dictOf({
    model: dictOf({ "a.b": t, list: Buffer.concat([op.emptyList, op.none, op.append, t, op.append]) }),
    pair: op.tupleOf(op.int(3), t),
    byNumber: Buffer.concat([op.emptyDict, op.int(7), t, op.setItem]),
    text: op.text("x"),
    lr: op.float,
  });
  const tensors = await read(nested);
  assert.deepEqual(
    tensors.map(({ path }) => path),
    [
      ["model", "a.b"],
      ["model", "list", "1"],
      ["pair", "1"],
      ["byNumber", "7"],
    ],
  );
  assert.deepEqual(
    tensors.map(({ name }) => name),
    ["model.a.b", "model.list.1", "pair.1", "byNumber.7"],
  );
});

/** _rebuild_from_type_v2(rebuilder, type, (…), {}). */
const typed = (
  type: Uint8Array,
  inner: Uint8Array,
  rebuilder = op.global("torch._utils", "_rebuild_parameter"),
): Uint8Array =>
  Buffer.concat([
    op.global("torch._tensor", "_rebuild_from_type_v2"),
    op.tupleOf(rebuilder, type, inner, op.emptyDict),
    op.reduce,
  ]);
const TENSOR = op.global("torch", "Tensor");

test("reads a tensor with attributes, and one with a class that is a plain tensor's", async () => {
  const parts = op.tupleOf(tensorPickle());
  for (const type of [TENSOR, op.global("torch.nn.parameter", "Parameter")]) {
    const [tensor] = await read(dictOf({ w: typed(type, parts) }));
    assert.deepEqual([tensor?.name, tensor?.dtype], ["w", "F32"]);
  }
});

test("walks into sets and counters", async () => {
  const held = Buffer.concat([op.emptyList, tensorPickle(), op.append]);
  const set = Buffer.concat([op.global("__builtin__", "set"), op.tupleOf(held), op.reduce]);
  const counter = Buffer.concat([op.global("collections", "Counter"), op.tupleOf(dictOf({ a: op.int(1) })), op.reduce]);
  const empty = Buffer.concat([op.global("builtins", "set"), op.emptyTuple, op.reduce]);
  assert.deepEqual(
    (await read(dictOf({ set, counter, empty }))).map(({ name }) => name),
    ["set.0"],
  );
});

test("gives a tensor at the top the empty name", async () => {
  const [tensor] = await read(tensorPickle());
  assert.deepEqual([tensor?.name, tensor?.path], ["", []]);
});

test("passes over sizes, devices and dtypes", async () => {
  const size = Buffer.concat([op.global("torch", "Size"), op.tupleOf(op.tupleOf(op.int(1))), op.reduce]);
  const device = Buffer.concat([op.global("torch", "device"), op.tupleOf(op.text("cpu")), op.reduce]);
  assert.deepEqual(await read(dictOf({ size, device, dtype: op.global("torch", "float16") })), []);
});

const view = (parts: TensorPickle): Buffer => dictOf({ w: tensorPickle(parts) });
const call = (name: string, ...args: readonly Uint8Array[]): Buffer =>
  dictOf({ w: Buffer.concat([op.global("torch._utils", name), op.tupleOf(...args), op.reduce]) });
const storage = (...items: readonly Uint8Array[]): Buffer =>
  dictOf({ w: Buffer.concat([op.tupleOf(...items), op.persistent]) });
const F32 = op.global("torch", "FloatStorage");
const withMetadata = (metadata: Uint8Array): Buffer => {
  const plain = tensorPickle();
  return dictOf({ w: Buffer.concat([plain.subarray(0, -2), metadata, op.tuple, op.reduce]) });
};

const REFUSED: readonly (readonly [why: string, object: Uint8Array, code: ErrorCode, message: RegExp])[] = [
  ["a view past its storage", view({ offset: 1 }), "FORMAT_INVALID", /"w" reaches past its storage: to element 2 of 2/],
  ["strides past the storage", view({ size: [2], stride: [2] }), "FORMAT_INVALID", /reaches past/],
  [
    "strides whose sum leaves 2^53",
    view({ size: [2, 2], stride: [2 ** 52, 2 ** 52] }),
    "FORMAT_INVALID",
    /reaches past/,
  ],
  ["a negative offset", view({ offset: -1 }), "FORMAT_INVALID", /not rebuilt/],
  ["a negative stride", view({ stride: [-1] }), "FORMAT_INVALID", /stride holds/],
  ["a negative size", view({ size: [-1] }), "FORMAT_INVALID", /size holds/],
  [
    "sizes whose product overflows",
    view({ size: [2 ** 40, 2 ** 40], stride: [0, 0] }),
    "FORMAT_INVALID",
    /more elements/,
  ],
  ["fewer strides than sizes", view({ size: [1, 1] }), "FORMAT_INVALID", /not rebuilt/],
  ["65 dimensions", view({ size: Array(65).fill(1), stride: Array(65).fill(1) }), "LIMIT", /65 dimensions/],
  [
    "terabytes of view",
    view({ size: [2 ** 40], stride: [0] }),
    "LIMIT",
    /"w" is a view of 4398046511104 bytes on a storage of 8/,
  ],
  ["a storage of another size", view({ numel: 3 }), "FORMAT_INVALID", /has 8 bytes, expected 3 of float32/],
  ["a storage that is not there", view({ key: "1" }), "FORMAT_INVALID", /no record "data\/1"/],
  ["a storage key that climbs", view({ key: "../version" }), "FORMAT_INVALID", /no record/],
  ["a long storage key", view({ key: "9".repeat(65) }), "LIMIT", /65 characters/],
  ["a negative storage", view({ numel: -1 }), "FORMAT_INVALID", /storage/],
  ["a storage whose size overflows", view({ numel: 2 ** 52 }), "FORMAT_INVALID", /claims/],
  ["a quantised storage", view({ type: "QInt8Storage", numel: 8 }), "FORMAT_UNSUPPORTED", /"w" has the dtype qint8/],
  ["a whole module", storage(op.text("module"), op.none), "FORMAT_UNSUPPORTED", /module/],
  [
    "a persistent id of five odd items",
    storage(op.none, F32, op.text("0"), op.none, op.int(2)),
    "FORMAT_INVALID",
    /way torch does not/,
  ],
  [
    "a persistent id with a view",
    storage(op.text("storage"), F32, op.text("0"), op.none, op.int(2), op.none),
    "FORMAT_INVALID",
    /way torch/,
  ],
  [
    "a bare storage",
    storage(op.text("storage"), F32, op.text("0"), op.none, op.int(2)),
    "FORMAT_UNSUPPORTED",
    /"w" is a bare storage/,
  ],
  [
    "a storage without a type",
    storage(op.text("storage"), op.global("torch.storage", "TypedStorage"), op.text("0"), op.none, op.int(2)),
    "FORMAT_UNSUPPORTED",
    /no plain element type/,
  ],
  ["a sparse tensor", call("_rebuild_sparse_tensor"), "FORMAT_UNSUPPORTED", /"w" is sparse/],
  ["a quantised tensor", call("_rebuild_qtensor"), "FORMAT_UNSUPPORTED", /"w" is quantised/],
  ["too few arguments", call("_rebuild_tensor_v2", op.none), "FORMAT_INVALID", /strange call/],
  ["arguments of the wrong kind", call("_rebuild_tensor_v2", ...Array(6).fill(op.none)), "FORMAT_INVALID", /no tuple/],
  ["a parameter of nothing", call("_rebuild_parameter", op.none), "FORMAT_INVALID", /without a tensor/],
  [
    "a call of a storage class",
    dictOf({ w: Buffer.concat([F32, op.emptyTuple, op.reduce]) }),
    "FORMAT_INVALID",
    /strange call/,
  ],
  [
    "a tensor of a class that no torch has",
    dictOf({ w: typed(op.global("torch", "float16"), op.tupleOf(tensorPickle())) }),
    "FORMAT_UNSUPPORTED",
    /"w" is of the class "torch\.float16"/,
  ],
  ["a typed tensor of nothing", dictOf({ w: typed(TENSOR, op.none) }), "FORMAT_INVALID", /not rebuilt by a name/],
  [
    "typed tensors in each other",
    dictOf({
      w: typed(
        TENSOR,
        op.tupleOf(typed(TENSOR, op.tupleOf(typed(TENSOR, op.tupleOf(typed(TENSOR, op.tupleOf(tensorPickle()))))))),
      ),
    }),
    "FORMAT_INVALID",
    /strange call/,
  ],
  [
    "a sharded tensor of FSDP2",
    dictOf({ w: op.global("torch.distributed._tensor.api", "DTensor") }),
    "FORMAT_UNSUPPORTED",
    /holds a sharded DTensor \(FSDP2\)$/,
  ],
  [
    "a sharded tensor of FSDP",
    dictOf({ w: op.global("torch.distributed._shard.sharded_tensor.api", "ShardedTensor") }),
    "FORMAT_UNSUPPORTED",
    /holds a sharded tensor of torch\.distributed/,
  ],
  [
    "torchao's weights",
    dictOf({ w: op.global("torchao.dtypes.affine_quantized_tensor", "AffineQuantizedTensor") }),
    "FORMAT_UNSUPPORTED",
    /holds weights quantised by torchao/,
  ],
  [
    "a lazy negative bit",
    withMetadata(Buffer.concat([op.emptyDict, op.text("neg"), Buffer.from([0x88]), op.setItem])),
    "FORMAT_UNSUPPORTED",
    /"w".*"neg"/,
  ],
  ["strange metadata", withMetadata(op.text("conj")), "FORMAT_UNSUPPORTED", /lazy bit/],
  [
    "a name that comes out twice",
    dictOf({ "a.b": tensorPickle(), a: dictOf({ b: tensorPickle() }) }),
    "FORMAT_INVALID",
    /"a\.b" occurs twice/,
  ],
];
for (const [why, object, code, message] of REFUSED) {
  test(`refuses ${why}`, async () => {
    await refuses(() => read(object), code, message);
  });
}

test("accepts metadata whose bits are false", async () => {
  const off = Buffer.concat([op.emptyDict, op.text("conj"), op.no, op.setItem]);
  assert.equal((await read(withMetadata(off))).length, 1);
  assert.equal((await read(withMetadata(op.none))).length, 1);
});

test("takes a strided view of up to 16 MiB, or four times its storage", async () => {
  const count = 2 ** 22;
  assert.deepEqual((await readView({ size: [count], stride: [0] })).strides, [0]);
  await refuses(() => readView({ size: [count + 1], stride: [0] }), "LIMIT", /16777220/);
  const large = { numel: 2 ** 21, stride: [0, 1] };
  assert.ok(await readView({ ...large, size: [4, 2 ** 21] }));
  await refuses(() => readView({ ...large, size: [5, 2 ** 21] }), "LIMIT", /on a storage of 8388608/);
});

test("does not hang on shared structure", async () => {
  const doubled = Array.from({ length: 90 }, (_, index) =>
    Buffer.concat([op.put(index), op.pop, op.get(index), op.get(index), Buffer.from([0x86])]),
  );
  await refuses(() => read(Buffer.concat([op.emptyTuple, ...doubled])), "LIMIT", /too large to walk/);
});

test("does not follow a list into itself", async () => {
  const loop = Buffer.concat([op.emptyList, op.put(0), op.get(0), op.append]);
  await refuses(() => read(loop), "LIMIT", /nested deeper than 100/);
});

test("does not follow 20,000 nested lists", async () => {
  const deep = Buffer.concat([Buffer.alloc(20_000, "]"), Buffer.alloc(19_999, "a")]);
  await refuses(() => read(deep), "LIMIT", /nested deeper than 100/);
});

test("bounds the names that one long shared key makes", async () => {
  const shared = Buffer.concat([tensorPickle(), op.put(0), op.pop, op.emptyList, op.put(1), op.pop]);
  const many = Buffer.concat([op.get(1), ...Array(1000).fill(Buffer.concat([op.get(0), op.append]))]);
  const key = op.text("k".repeat(100_000));
  const object = Buffer.concat([shared, op.emptyDict, op.mark, key, many, op.setItems]);
  await refuses(() => read(object), "LIMIT", /headers of the checkpoint take more than 64000000 bytes/);
});

test("bounds the tensors that one recalled over and over makes", async () => {
  const again = Buffer.alloc(3 * 300_001, Buffer.from("h\0a"));
  const object = Buffer.concat([tensorPickle(), op.put(0), op.pop, op.emptyList, again]);
  await refuses(() => read(object), "LIMIT", /more than 200000 tensors/);
});

test("bounds the name of a bare storage, which one long key at many depths makes", async () => {
  const depth = 70;
  const key = Buffer.concat([op.text("k".repeat(1_000_000)), op.put(0), op.pop, op.pop]);
  const storage = Buffer.concat([
    op.tupleOf(op.text("storage"), op.global("torch", "FloatStorage"), op.text("0"), op.text("cpu"), op.int(2)),
    op.persistent,
  ]);
  const inner = Buffer.concat([op.emptyDict, op.get(0)]);
  const object = Buffer.concat([
    op.emptyDict,
    key,
    op.emptyDict,
    op.get(0),
    ...Array<Uint8Array>(depth).fill(inner),
    storage,
    ...Array<Uint8Array>(depth + 1).fill(op.setItem),
  ]);
  await refuses(() => read(object), "LIMIT", /headers of the checkpoint take more than 64000000 bytes/);
});
