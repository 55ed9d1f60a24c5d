/**
 * What the promises of one step cost, and nothing else: `node step-floor.js BASE STEP OUT` takes each tensor of the step in slime's layout, in one
 * thread and with our own primitives: reads the base's bytes, decodes the payload, XORs, takes xxh3-128 and sha256, and writes past the page
 * cache. It checks nothing, and says the processor seconds of each part.
 */
import { createHash } from "node:crypto";
import { constants, fsyncSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";
import { loadChecksums } from "../../src/formats/checksum.js";
import { loadDecoder } from "../../src/formats/zstd/decoder.js";
import { KERNEL_WASM_URL, loadKernel } from "../../src/kernel/load.js";

const WINDOW = 1 << 21;
/** Bytes decoded at a time. */
const PIECE = 1 << 18;
const PAGE = 4096;

interface Stored {
  readonly start: number;
  readonly tensors: Readonly<Record<string, { readonly data_offsets: readonly [number, number] }>>;
}

function headerOf(fd: number): Stored {
  const size = Buffer.alloc(8);
  readSync(fd, size, 0, 8, 0);
  const text = Buffer.alloc(Number(size.readBigUInt64LE()));
  readSync(fd, text, 0, text.length, 8);
  const { __metadata__: _, ...tensors } = JSON.parse(text.toString()) as Stored["tensors"];
  return { start: 8 + text.length, tensors };
}

const costs = new Map<string, number>();
function timed<T>(part: string, work: () => T): T {
  const before = process.cpuUsage();
  const done = work();
  const { user, system } = process.cpuUsage(before);
  costs.set(part, (costs.get(part) ?? 0) + (user + system) / 1e6);
  return done;
}

const [base = "", step = "", out = ""] = argv.slice(2);
const model = openSync(join(base, "model.safetensors"), "r");
const shard = openSync(join(step, "model-00000-of-00001.safetensors"), "r");
const target = openSync(out, constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY | (constants.O_DIRECT ?? 0));
const [from, changes] = [headerOf(model), headerOf(shard)];
const kernel = loadKernel(WINDOW + PIECE + PAGE, readFileSync(KERNEL_WASM_URL));
const memory = new Uint8Array(kernel.memory);
const windowAt = kernel.base;
const pieceAt = windowAt + WINDOW;
const open = await loadDecoder();
const create = await loadChecksums(["xxh3-128"]);
let written = 0;
for (const [name, { data_offsets: ends }] of Object.entries(changes.tensors)) {
  const payload = Buffer.alloc(ends[1] - ends[0]);
  readSync(shard, payload, 0, payload.length, changes.start + ends[0]);
  const decoder = open();
  decoder.push(payload);
  const [xxh3, sha256] = [create("xxh3-128"), createHash("sha256")];
  const [begin = 0, end = 0] = from.tensors[name]?.data_offsets ?? [];
  for (let at = begin; at < end; at += WINDOW) {
    const count = Math.min(WINDOW, end - at);
    const window = memory.subarray(windowAt, windowAt + count);
    timed("read", () => readSync(model, window, 0, count, from.start + at));
    for (let done = 0; done < count; done += PIECE) {
      const part = Math.min(PIECE, count - done);
      timed("zstd", () => decoder.read(memory.subarray(pieceAt, pieceAt + part)));
      timed("XOR", () => kernel.xor(pieceAt, windowAt + done, part));
    }
    timed("xxh3", () => xxh3.update(window));
    timed("sha256", () => sha256.update(window));
    timed("write", () => writeSync(target, window, 0, count, written));
    written += count;
  }
  xxh3.digest();
  sha256.digest();
  decoder.close();
}
timed("write", () => fsyncSync(target));
console.log(JSON.stringify(Object.fromEntries([...costs].map(([part, cost]) => [part, Number(cost.toFixed(2))]))));
