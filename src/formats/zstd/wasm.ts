/**
 * libzstd in WebAssembly, from zstddec, for a Node without zstd. zstddec's own loop (decodeStreaming) ignores libzstd's return value and never
 * ends on a damaged frame. So this file calls libzstd's ZSTD_decompressStream itself (zstd.h, "Streaming decompression"; the structs and their
 * use are those of zstddec 0.3.4, src/zstddec-stream.ts).
 */
import { WeightDiffError } from "../../errors.js";
import type { Zlib } from "./handle.js";

/** The exports of zstddec's module that are used here (its src/types.ts). Pointers and sizes have 32 bits. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  malloc(bytes: number): number;
  ZSTD_createDCtx(): number;
  ZSTD_decompressStream(context: number, output: number, input: number): number;
  ZSTD_freeDCtx(context: number): void;
}

/** The most bytes that go in and come out in one step. All frames of a thread share the buffers, since they take turns. */
const INPUT = 64 << 10;
const OUTPUT = 128 << 10;
/** { pointer, size, position }: ZSTD_inBuffer and ZSTD_outBuffer. */
const STRUCT = 12;

/** Loads the module. @returns a function that starts a frame. */
export async function loadWasmDecompress(): Promise<() => Zlib> {
  const { ZSTDDecoder } = await import("zstddec/stream");
  let exports: Exports | undefined;
  const loader = new ZSTDDecoder();
  const init = loader._init;
  loader._init = (result) => {
    init(result);
    exports = result.instance.exports as unknown as Exports;
  };
  await loader.init();
  if (exports === undefined) {
    throw new TypeError("zstddec was loaded before");
  }
  const library = exports;
  const place = library.malloc(INPUT + OUTPUT + 2 * STRUCT);
  return () => decompress(library, place);
}

function decompress(library: Exports, place: number): Zlib {
  const context = library.ZSTD_createDCtx();
  if (context === 0) {
    throw new WeightDiffError("LIMIT", "no memory is left for another zstd frame", "read fewer files at a time");
  }
  const outputAt = place + INPUT;
  const inStruct = outputAt + OUTPUT;
  const outStruct = inStruct + STRUCT;
  return {
    run(input, from, output, to) {
      const before = new DataView(library.memory.buffer);
      const [most, room] = [Math.min(input.length - from, INPUT), Math.min(output.length - to, OUTPUT)];
      new Uint8Array(library.memory.buffer).set(input.subarray(from, from + most), place);
      [place, most, 0].forEach((value, i) => {
        before.setUint32(inStruct + 4 * i, value, true);
      });
      [outputAt, room, 0].forEach((value, i) => {
        before.setUint32(outStruct + 4 * i, value, true);
      });
      // An error is -1 to -119, as a size_t (ZSTD_isError).
      if (library.ZSTD_decompressStream(context, outStruct, inStruct) < 0) {
        return null;
      }
      // The memory may have grown.
      const after = new DataView(library.memory.buffer);
      const given = after.getUint32(outStruct + 8, true);
      output.set(new Uint8Array(library.memory.buffer, outputAt, given), to);
      return { taken: after.getUint32(inStruct + 8, true), given };
    },
    close() {
      library.ZSTD_freeDCtx(context);
    },
  };
}
