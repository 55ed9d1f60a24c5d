import assert from "node:assert/strict";
import { test } from "node:test";
import { type ErrorCode, WeightDiffError } from "../../../src/errors.js";
import { type Unpickled, unpickle } from "../../../src/formats/pickle.js";
import { op, pickleOf } from "../../support/hostile-files.js";
import { refuses } from "../../support/refusal.js";

const ALLOWED = new Set(["collections.OrderedDict", "torch.Size"]);

function run(bytes: Uint8Array): Unpickled {
  return unpickle(bytes, 0, {
    name: "m.bin",
    allows: (name) => ALLOWED.has(name),
    runsOut: () => new WeightDiffError("TRUNCATED", "m.bin: ends early"),
  });
}
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const list = (...items: readonly unknown[]): unknown => ({ kind: "list", items });
const tuple = (...items: readonly unknown[]): unknown => ({ kind: "tuple", items });
const dict = (...entries: readonly [unknown, unknown][]): unknown => ({ kind: "dict", entries: new Map(entries) });

/** Each made by Python's pickle.dumps or pickletools. */
const VALUES: readonly (readonly [what: string, pickle: Uint8Array, value: unknown])[] = [
  ["None", pickleOf(op.none), null],
  ["True and False", pickleOf(hex("88 89 86")), tuple(true, false)],
  [
    "integers of each width",
    pickleOf(hex("28 4bff 4d0001 4affffffff 8a00 8a05ffffffff00 74")),
    tuple(255, 256, -1, 0, 2 ** 32 - 1),
  ],
  ["integers past 2^53", pickleOf(hex("8a08 0000000000002000")), 2n ** 53n],
  ["negative long integers", pickleOf(hex("8b 02000000 00ff")), -256],
  ["floats, which are not integers", pickleOf(op.float), { kind: "opaque" }],
  [
    "bytes of each kind",
    pickleOf(hex("28 4301ff 4201000000ff 8e0100000000000000ff 960000000000000000 74")),
    tuple(...Array(4).fill({ kind: "opaque" })),
  ],
  [
    "strings of each kind",
    pickleOf(hex("28 580200 0000 c3a9 8c0161 8d0100000000000000 62 550163 5401000000 64 74")),
    tuple("é", "a", "b", "c", "d"),
  ],
  ["a string that begins with a byte order mark", pickleOf(op.text("\ufeffa")), "\ufeffa"],
  [
    "tuples of each length",
    pickleOf(hex("28 29 4e85 4e4e86 4e4e4e87 74")),
    tuple(tuple(), tuple(null), tuple(null, null), tuple(null, null, null)),
  ],
  ["lists", pickleOf(hex("5d 4b01 61 28 4b02 4b03 65")), list(1, 2, 3)],
  ["dicts", pickleOf(op.emptyDict, hex("4b01 4b02 73 28 580100000061 4b03 75")), dict([1, 2], ["a", 3])],
  ["what is popped", pickleOf(op.none, hex("4b01 30 28 4b02 31 28 30")), null],
  ["frames and memoized strings", hex("80 04 95 0700000000000000 8c0161 94 6800 86 2e"), tuple("a", "a")],
  ["an OrderedDict", pickleOf(op.global("collections", "OrderedDict"), op.emptyTuple, op.reduce), dict()],
  [
    "an OrderedDict of Python 2",
    pickleOf(op.global("collections", "OrderedDict"), hex("5d 5d 5501 61 61 4b01 61 61 85 52")),
    dict(["a", 1]),
  ],
  ["sets, which are lists without their order", pickleOf(hex("8f 28 4b01 4b02 90")), list(1, 2)],
  ["frozen sets", pickleOf(hex("28 4b01 91")), tuple(1)],
  [
    "numbers under keys that are no names, which are dropped",
    pickleOf(op.emptyDict, hex("28 88 4b01 4e 4b02 473ff8000000000000 4b03 29 4e 580100000061 4b04 75")),
    dict(["a", 4]),
  ],
  ["the state of an OrderedDict, which is dropped", pickleOf(op.emptyDict, op.emptyDict, op.build), dict()],
  [
    "a call, which is not made",
    pickleOf(op.global("torch", "Size"), op.emptyTuple, op.reduce),
    { kind: "call", name: "torch.Size", args: [] },
  ],
  ["a reference out of the pickle", pickleOf(op.text("k"), op.persistent), { kind: "persistent", id: "k" }],
];
for (const [what, pickle, value] of VALUES) {
  test(`reads ${what}`, () => {
    assert.deepEqual(run(pickle).value, value);
  });
}

test("recalls one and the same value", () => {
  const { value } = run(pickleOf(hex("5d 7105 6805 86 7200000001 30 6a00000001")));
  const pair = value as { readonly items: readonly unknown[] };
  assert.equal(pair.items.length, 2);
  assert.equal(pair.items[0], pair.items[1]);
});

test("says where the pickle ended and what it referred to", () => {
  const one = pickleOf(op.text("k"), op.persistent);
  const { end, persistent } = run(Buffer.concat([one, one]));
  assert.equal(end, one.length);
  assert.deepEqual(persistent, [{ kind: "persistent", id: "k" }]);
});

const REFUSED: readonly (readonly [why: string, pickle: Uint8Array, code: ErrorCode, message: RegExp])[] = [
  ["an empty pickle", Buffer.alloc(0), "TRUNCATED", /ends early/],
  ["a pickle without STOP", pickleOf(op.none).subarray(0, -1), "TRUNCATED", /ends early/],
  ["protocol 0", Buffer.from("N."), "FORMAT_INVALID", /protocol 2 to 5/],
  ["protocol 1", hex("80 01 4e 2e"), "FORMAT_INVALID", /protocol 2 to 5/],
  ["protocol 6", hex("80 06 4e 2e"), "FORMAT_INVALID", /protocol 2 to 5/],
  ["values left over", pickleOf(op.none, op.none), "FORMAT_INVALID", /left over/],
  ["a mark left over", hex("80 02 4e 28 4e 2e"), "FORMAT_INVALID", /left over/],
  ["STOP on an empty stack", pickleOf(), "FORMAT_INVALID", /more values/],
  ["REDUCE on an empty stack", pickleOf(op.reduce), "FORMAT_INVALID", /more values/],
  ["taking values from below a mark", pickleOf(op.none, op.mark, hex("85")), "FORMAT_INVALID", /more values/],
  ["a tuple without a mark", pickleOf(op.tuple), "FORMAT_INVALID", /mark/],
  ["appending to a tuple", pickleOf(op.emptyTuple, op.none, op.append), "FORMAT_INVALID", /not a list/],
  ["setting items of a list", pickleOf(op.emptyList, op.none, op.none, op.setItem), "FORMAT_INVALID", /not a dict/],
  ["an odd number of items", pickleOf(op.emptyDict, op.mark, op.none, op.setItems), "FORMAT_INVALID", /not a dict/],
  ["a dict key that comes twice", pickleOf(op.emptyDict, hex("4b01 4e 73 4b01 4e 73")), "FORMAT_INVALID", /"1" twice/],
  [
    "a list under a key that is a tuple",
    pickleOf(op.emptyDict, op.emptyTuple, op.emptyList, op.setItem),
    "FORMAT_UNSUPPORTED",
    /keys/,
  ],
  ["an unknown memo entry", pickleOf(op.get(7)), "FORMAT_INVALID", /entry 7/],
  ["memoizing nothing", pickleOf(op.put(0)), "FORMAT_INVALID", /not there/],
  ["a string that is not UTF-8", pickleOf(hex("550180")), "FORMAT_INVALID", /UTF-8/],
  ["half a surrogate pair", pickleOf(hex("5803000000eda080")), "FORMAT_INVALID", /UTF-8/],
  ["a string past the end", pickleOf(hex("58ffffffff61")), "TRUNCATED", /ends early/],
  ["a string of 2^64 - 1 bytes", pickleOf(hex("8dffffffffffffffff61")), "TRUNCATED", /ends early/],
  ["a huge integer", pickleOf(hex("8bffffff00"), Buffer.alloc(0xffffff)), "LIMIT", /16777215 bytes/],
  [
    "os.system",
    pickleOf(op.global("posix", "system"), hex("5501 61 85 52")),
    "PICKLE_GLOBAL",
    /m\.bin: pickle asks for "posix\.system"/,
  ],
  ["os.system by STACK_GLOBAL", pickleOf(op.text("os"), op.text("system"), hex("93")), "PICKLE_GLOBAL", /"os\.system"/],
  ["a global named by a number", pickleOf(op.none, op.none, hex("93")), "FORMAT_INVALID", /is not a string/],
  ["a global without an end", pickleOf(Buffer.from(`cos${"x".repeat(1000)}`)), "FORMAT_INVALID", /names nothing/],
  ["a call of what is no global", pickleOf(op.none, op.emptyTuple, op.reduce), "FORMAT_INVALID", /calls/],
  ["a call without a tuple", pickleOf(op.global("torch", "Size"), op.none, op.reduce), "FORMAT_INVALID", /calls/],
  ["state on a list", pickleOf(op.emptyList, op.emptyDict, op.build), "FORMAT_INVALID", /state/],
  [
    "an OrderedDict of numbers",
    pickleOf(op.global("collections", "OrderedDict"), hex("4b01 85 52")),
    "FORMAT_INVALID",
    /OrderedDict/,
  ],
  ["an instance opcode", pickleOf(hex("28 69 6f730a 73797374656d0a")), "FORMAT_UNSUPPORTED", /0x69/],
  ["the extension registry", pickleOf(hex("82 01")), "FORMAT_UNSUPPORTED", /0x82/],
];
for (const [why, pickle, code, message] of REFUSED) {
  test(`refuses ${why}`, async () => {
    await refuses(() => run(pickle), code, message);
  });
}

test("bounds the stack, the marks, the memo and the objects", async () => {
  const many = 500_001;
  await refuses(() => run(pickleOf(Buffer.alloc(many, op.none))), "LIMIT", /stack/);
  await refuses(() => run(pickleOf(Buffer.alloc(many, op.mark))), "LIMIT", /marks/);
  await refuses(() => run(pickleOf(op.none, Buffer.alloc(12_000_001, 0x94))), "LIMIT", /MB of objects/);
  const far = Buffer.concat(Array.from({ length: 3_000_001 }, (_, k) => op.put(2 ** 31 + k)));
  await refuses(() => run(pickleOf(op.none, far)), "LIMIT", /MB of objects/);
  await refuses(() => run(pickleOf(op.emptyList, Buffer.alloc(12 * many, "]a"))), "LIMIT", /MB of objects/);
});

test("bounds an OrderedDict that is made over and over of one recalled list", async () => {
  const pairs = Array.from({ length: 2000 }, (_, index) => [
    hex("5d"),
    op.int(index),
    op.append,
    op.none,
    op.append,
    op.append,
  ]);
  const again = Buffer.concat([op.get(1), op.get(0), hex("85"), op.reduce, op.pop]);
  const setUp = [op.global("collections", "OrderedDict"), op.put(1), op.pop, op.emptyList, ...pairs.flat(), op.put(0)];
  await refuses(() => run(pickleOf(...setUp, ...Array(5000).fill(again))), "LIMIT", /MB of objects/);
});
