/** `node decode-once.js CHAIN`: reads every payload of a chain in slime's layout and decodes it, in one thread, and nothing else. */
import { openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";
import { loadDecoder } from "../../src/formats/zstd/decoder.js";
import { startFrame } from "../../src/formats/zstd/frame.js";

const [chain = ""] = argv.slice(2);
const open = await loadDecoder();
const target = new Uint8Array(1 << 18);
const piece = new Uint8Array(1 << 16);
for (const version of readdirSync(chain).filter((name) => name.startsWith("weight_v"))) {
  for (const file of readdirSync(join(chain, version)).filter((name) => name.endsWith(".safetensors"))) {
    const path = join(chain, version, file);
    const shard = openSync(path, "r");
    const head = readFileSync(path).subarray(0, 1 << 20);
    const start = 8 + Number(head.readBigUInt64LE(0));
    const { __metadata__: _, ...tensors } = JSON.parse(head.toString("utf8", 8, start)) as Readonly<
      Record<string, { readonly data_offsets: readonly [number, number] }>
    >;
    for (const {
      data_offsets: [begin, end],
    } of Object.values(tensors)) {
      const frame = startFrame(open, { least: 0, most: Number.MAX_SAFE_INTEGER }, { file: path });
      for (let at = begin; at < end; ) {
        const count = readSync(shard, piece, 0, Math.min(piece.length, end - at), start + at);
        frame.push(piece.subarray(0, count));
        at += count;
        while (frame.read(target) === target.length) {
          // The next.
        }
      }
      frame.end();
      frame.read(target);
      frame.close();
    }
  }
}
