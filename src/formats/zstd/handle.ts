/**
 * Node's libzstd, driven synchronously. Its streams have a handle whose `writeSync` does that (lib/zlib.js, processChunkSync), and which
 * Node does not document; through the documented, asynchronous way decoding took twice as long. Whether it is there and does what it
 * did is tried before it is used; where it is not, callers do without.
 */
import * as zlib from "node:zlib";

interface Handle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputAt: number,
    inputBytes: number,
    output: Uint8Array,
    outputAt: number,
    outputBytes: number,
  ): void;
  reset(): void;
  close(): void;
  onerror: (message: string, errno: number, code: string) => void;
}

interface Stream {
  readonly _handle?: Handle | null;
  /** After a write: bytes of the output that are left, then bytes of the input. */
  readonly _writeState?: Uint32Array;
  on(event: "error", listener: () => void): void;
}

interface StreamOptions {
  readonly params?: Readonly<Record<number, number>>;
  readonly pledgedSrcSize?: number;
}

/** What Node 22.15 adds; the types are those of Node 20. */
const { createZstdDecompress, createZstdCompress, constants } = zlib as unknown as {
  readonly createZstdDecompress?: (options: StreamOptions) => Stream;
  readonly createZstdCompress?: (options: StreamOptions) => Stream;
  readonly constants: Readonly<Record<string, number>>;
};

export interface Zlib {
  /** @param last nothing comes after `input`. @returns bytes taken and given; null after an error, which is for good. */
  run(input: Uint8Array, output: Uint8Array, last: boolean): { readonly taken: number; readonly given: number } | null;
  close(): void;
}

/**
 * Decoders that are closed, to be used again. Node 22 and 24 give the memory of a closed one back only when its object is collected, which
 * nothing hastens; a reset gives back most of it, but on Node 22 the encoder has lost its level then.
 */
const idle: Zlib[] = [];

/** @param again is it for another frame once it is closed? */
function drive(stream: Stream, again: boolean): Zlib | null {
  const { _handle: handle, _writeState: state } = stream;
  if (typeof handle?.writeSync !== "function" || state === undefined) {
    return null;
  }
  const [goOn = 0, end = 2] = [constants.ZSTD_e_continue, constants.ZSTD_e_end];
  let failed = false;
  stream.on("error", () => {});
  handle.onerror = () => {
    failed = true;
  };
  const own: Zlib = {
    run(input, output, last) {
      handle.writeSync(last ? end : goOn, input, 0, input.length, output, 0, output.length);
      const [room = output.length, rest = input.length] = state;
      return failed ? null : { taken: input.length - rest, given: output.length - room };
    },
    close() {
      handle.reset();
      if (failed || !again) {
        handle.close();
      } else {
        idle.push(own);
      }
    },
  };
  return own;
}

/** Null where this Node has none. Frames have windows of at most 8 MiB (walk.ts). */
export function nodeDecompress(): Zlib | null {
  const { ZSTD_d_windowLogMax: windowLogMax = 0 } = constants;
  const params = { [windowLogMax]: 23 };
  return createZstdDecompress === undefined ? null : (idle.pop() ?? drive(createZstdDecompress({ params }), true));
}

/** Level 1, as the trainers write; the header states `size`, the bytes that must come, and there is no checksum. Null where this Node has none. */
export function nodeCompress(size: number): Zlib | null {
  const {
    ZSTD_c_compressionLevel: level = 0,
    ZSTD_c_contentSizeFlag: stated = 0,
    ZSTD_c_checksumFlag: sum = 0,
  } = constants;
  const params = { [level]: 1, [stated]: 1, [sum]: 0 };
  return createZstdCompress === undefined ? null : drive(createZstdCompress({ params, pledgedSrcSize: size }), false);
}
