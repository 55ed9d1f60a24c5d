/** Zstd frames: what Python's zstandard writes is read, and the same is refused by every decoder, however the bytes are cut. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { canEncode, startEncoder } from "../../../src/formats/zstd/encoder.js";
import { nodeDecompress } from "../../../src/formats/zstd/handle.js";
import { random } from "../../fuzz/mutate.js";
import { DECODERS, decodeFrame, FRAMES, frameNamed, outcomeOf } from "../../support/zstd.js";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const exactly = (bytes: number) => ({ least: bytes, most: bytes });
const CUTS = [
  { piece: 1, window: 4096 },
  { piece: 7, window: 1 },
  { piece: 1000, window: 65_537 },
  { piece: 1 << 20, window: 1 << 17 },
  { piece: 1 << 20, window: 5 << 20 },
];

for (const [name, { bytes, sha256: digest }] of Object.entries(FRAMES)) {
  test(`${name}: decodes to what Python compressed, however it is cut`, () => {
    for (const kind of DECODERS.keys()) {
      for (const cuts of CUTS.filter(({ window }) => bytes / window < 200_000)) {
        const decoded = decodeFrame(frameNamed(name), exactly(bytes), { ...cuts, kind });
        assert.equal(decoded.length, bytes, `${kind} ${JSON.stringify(cuts)}`);
        assert.equal(sha256(decoded), digest, `${kind} ${JSON.stringify(cuts)}`);
      }
    }
  });

  test(`${name}: one byte less or more than the tensor takes is a length`, () => {
    for (const kind of DECODERS.keys()) {
      for (const off of bytes === 0 ? [1] : [-1, 1]) {
        for (const piece of [1, 1 << 20]) {
          const outcome = outcomeOf(() => decodeFrame(frameNamed(name), exactly(bytes + off), { kind, piece }));
          assert.equal(outcome, "FORMAT_INVALID length", `${kind} ${off}`);
        }
      }
    }
  });
}

test("a frame that is cut off anywhere is told as that", () => {
  for (const name of ["one-byte", "sparse-checksum", "zeros-streamed", "255"]) {
    const whole = frameNamed(name);
    const step = Math.ceil(whole.length / 50);
    for (let length = 0; length < whole.length; length += length < 20 || length > whole.length - 20 ? 1 : step) {
      for (const kind of DECODERS.keys()) {
        const cut = (piece: number) =>
          outcomeOf(() => decodeFrame(whole.subarray(0, length), exactly(FRAMES[name]?.bytes ?? 0), { kind, piece }));
        assert.equal(cut(1 << 20), "TRUNCATED frame", `${name} ${length} ${kind}`);
        assert.equal(cut(3), "TRUNCATED frame", `${name} ${length} ${kind}`);
      }
    }
  }
});

const RAW = Buffer.from("abcdefgh");
/** A frame of raw blocks. @param descriptor and what follows it up to the blocks. */
const framed = (descriptor: readonly number[], ...blocks: readonly (readonly number[])[]): Uint8Array =>
  Buffer.from([0x28, 0xb5, 0x2f, 0xfd, ...descriptor, ...blocks.flat()]);
const header = (type: number, size: number, last: boolean): number[] => {
  const word = (last ? 1 : 0) | (type << 1) | (size << 3);
  return [word & 255, (word >> 8) & 255, word >> 16];
};
const raw = (last = true): number[] => [...header(0, 8, last), ...RAW];
const SIZED = [0x20, 8];
const UNSIZED = [0, 0x48];
const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]);

test("whole frames of raw and repeated blocks are read", () => {
  for (const [what, bytes] of Object.entries({
    sized: framed(SIZED, raw()),
    unsized: framed(UNSIZED, raw()),
    "size of two bytes, which begins at 256": framed([0x60, 0, 0], raw(false), [...header(1, 248, true), 120]),
    "size of four bytes": framed([0xa0, 8, 0, 0, 0], raw()),
    "size of eight bytes": framed([0xe0, 8, 0, 0, 0, 0, 0, 0, 0], raw()),
    "the smallest window": framed([0, 0], raw()),
    "the largest window": framed([0, 13 << 3], raw()),
    "a few empty blocks": framed(UNSIZED, ...Array.from({ length: 64 }, () => header(0, 0, false)), raw()),
    "an empty block at the end": framed(SIZED, raw(false), header(0, 0, true)),
  })) {
    for (const kind of DECODERS.keys()) {
      const length = what.includes("256") ? 256 : 8;
      const decoded = decodeFrame(bytes, exactly(length), { kind, piece: 2 });
      assert.equal(decoded.toString(), "abcdefgh".padEnd(length, "x"), `${what}, ${kind}`);
    }
  }
});

/** By `why`: what must be refused, though some decoders let it pass. */
const REFUSED: Readonly<Record<string, readonly (readonly [what: string, bytes: Uint8Array])[]>> = {
  frame: [
    ["zeros behind it", Buffer.concat([framed(SIZED, raw()), Buffer.alloc(4)])],
    ["a second frame", Buffer.concat([framed(SIZED, raw()), framed(SIZED, raw())])],
    ["two frames that together have the length", Buffer.concat([framed([0x20, 8], raw()), frameNamed("empty")])],
    ["a skippable frame first", Buffer.concat([skippable, framed(SIZED, raw())])],
    ["a skippable frame behind", Buffer.concat([framed(SIZED, raw()), skippable])],
    ["the magic number of zstd 0.7", Buffer.from([0x27, 0xb5, 0x2f, 0xfd, 0x20, 8, ...raw()])],
    ["zlib", Buffer.from("789c4b4c4a4e494d4bcf000008780325", "hex")],
    ["a dictionary", framed([0x21, 7, 8], raw())],
    ["the reserved bit", framed([0x28, 8], raw())],
    ["a block of the reserved type", framed(SIZED, [...header(3, 8, true), ...RAW])],
    ["a block of more than 128 KiB", framed(UNSIZED, [...header(0, 131_073, true)])],
    ["a block of more than its window", framed([0, 0], [...header(1, 1025, true), 1])],
    ["a window of more than 8 MiB", framed([0, (13 << 3) | 1], raw())],
    ["a window of 2 GiB", framed([0, 21 << 3], raw())],
    ["the window of 3.75 TiB, the largest that there is", framed([0, 255], raw())],
    ["a compressed block of one byte", framed(UNSIZED, [...header(2, 1, true), 0])],
    ["a compressed block of noise", framed(UNSIZED, [...header(2, 8, true), ...RAW])],
    ["a wrong checksum", framed([0x24, 8], [...raw(), 1, 2, 3, 4])],
    ["2000 empty blocks", framed(UNSIZED, ...Array.from({ length: 2000 }, () => header(0, 0, false)), raw())],
    ["less than it states", framed([0x20, 8], [...header(0, 7, true), ...RAW.subarray(1)])],
  ],
  length: [
    ["it states 2^32", framed([0xe0, 0, 0, 0, 0, 1, 0, 0, 0], raw())],
    ["it states 2^64 - 1", framed([0xe0, 255, 255, 255, 255, 255, 255, 255, 255], raw())],
    ["it states one byte less", framed([0x20, 7], raw())],
    ["it holds more than it states", framed([0x20, 8], raw(false), raw())],
    ["it holds less and states nothing", framed(UNSIZED, [...header(0, 7, true), ...RAW.subarray(1)])],
    ["it holds more and states nothing", framed(UNSIZED, [...header(1, 9, true), 0])],
    [
      "128 MiB in 4 kB",
      framed(UNSIZED, ...Array.from({ length: 1024 }, (_, i) => [...header(1, 131_072, i === 1023), 0])),
    ],
  ],
};
for (const [why, inputs] of Object.entries(REFUSED)) {
  for (const [what, bytes] of inputs) {
    test(`refused as ${why}: ${what}`, () => {
      for (const kind of DECODERS.keys()) {
        for (const piece of [1, 5, 1 << 20]) {
          const outcome = outcomeOf(() => decodeFrame(bytes, exactly(8), { kind, piece, window: 5 }));
          assert.equal(outcome, `FORMAT_INVALID ${why}`, `${kind}, pieces of ${piece}`);
        }
      }
    });
  }
}

test("a bomb of compressed blocks ends at the tensor's length", () => {
  for (const kind of DECODERS.keys()) {
    const outcome = outcomeOf(() => decodeFrame(frameNamed("zeros"), { least: 4, most: 1000 }, { kind }));
    assert.equal(outcome, "FORMAT_INVALID length");
    assert.equal(
      outcomeOf(() => decodeFrame(frameNamed("text"), { least: 0, most: 1000 }, { kind })),
      "FORMAT_INVALID length",
    );
  }
});

test("whatever bytes change: the cuts change nothing, and what one decoder gives another refuses only where it is wrong", {
  timeout: 120_000,
}, () => {
  const next = random(20_260_821);
  for (const name of ["sparse-flushed", "dense", "255"]) {
    const whole = frameNamed(name);
    const sound = `ok ${decodeFrame(whole, exactly(FRAMES[name]?.bytes ?? 0)).toString("base64")}`;
    for (let round = 0; round < 150; round++) {
      const bytes = Uint8Array.from(whole);
      // In the first few bytes, and anywhere.
      bytes[next(round % 2 === 0 ? 24 : bytes.length)] = next(256);
      const outcomes = [...DECODERS.keys()].map((kind) => {
        const cut = (piece: number, window: number): string =>
          outcomeOf(() => decodeFrame(bytes, exactly(FRAMES[name]?.bytes ?? 0), { kind, piece, window }));
        const outcome = cut(1 << 20, 1 << 17);
        assert.ok(cut(1 + next(30), 1 + next(70_000)) === outcome, `${name}, round ${round}, ${kind}`);
        return outcome;
      });
      // With 64 bits libzstd finds less of what is wrong in literals than with 32: the tensor's checksum finds the rest.
      if (new Set(outcomes).size > 1) {
        assert.ok(
          outcomes.every(
            (outcome) => outcome === "FORMAT_INVALID frame" || (outcome.startsWith("ok ") && outcome !== sound),
          ),
          `${name}, round ${round}: ${outcomes.map((outcome) => outcome.slice(0, 40))}`,
        );
      }
    }
  }
});

test("where Node has zstd, it is what decodes", () => {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const has = major >= 24 || (major === 23 && minor >= 8) || (major === 22 && minor >= 15);
  assert.equal(nodeDecompress() !== null, has);
  assert.deepEqual([...DECODERS.keys()], has ? ["fastest", "wasm"] : ["wasm"]);
});

test("a written frame states its size and decodes to what was put in, however it is cut", {
  skip: !canEncode() && "this Node cannot write zstd",
}, () => {
  const noise = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (Math.imul(i, 2_654_435_761) >>> 24) % 11));
  for (const [size, start] of [
    [0, "28b52ffd2000"],
    [1, "28b52ffd2001"],
    [255, "28b52ffd20ff"],
    [256, "28b52ffd600000"],
    [70_000, "28b52ffda070110100"],
    [3_000_000, "28b52ffd8048c0c62d00"],
  ] as const) {
    const content = Buffer.alloc(size, noise);
    for (const piece of [1_000, 1 << 17, 4 << 20]) {
      const out: Buffer[] = [];
      const put = (bytes: Uint8Array): void => void out.push(Buffer.from(bytes));
      const encoder = startEncoder(size);
      for (let at = 0; at < size; at += piece) {
        encoder.push(content.subarray(at, at + piece), put);
      }
      encoder.end(put);
      encoder.close();
      const frame = Buffer.concat(out);
      assert.equal(frame.toString("hex", 0, start.length / 2), start, `${size}`);
      for (const kind of DECODERS.keys()) {
        assert.ok(decodeFrame(frame, exactly(size), { kind }).equals(content), `${size} ${kind}`);
      }
    }
  }
});

test("a frame of another size than was promised is not written", {
  skip: !canEncode() && "this Node cannot write zstd",
}, () => {
  for (const count of [7, 9]) {
    const encoder = startEncoder(8);
    assert.throws(() => {
      encoder.push(new Uint8Array(count), () => {});
      encoder.end(() => {});
    }, RangeError);
    encoder.close();
  }
});

test("a Node without zstd says that it cannot write", { skip: canEncode() && "this Node can" }, () => {
  assert.throws(() => startEncoder(8), { code: "USAGE", message: /Node 20\.\d+\.\d+ has no zstd to write with/ });
});
