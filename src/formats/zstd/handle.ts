/**
 * Runs Node's libzstd synchronously. Node's streams have an undocumented handle with a method `writeSync` (lib/zlib.js, processChunkSync).
 * Decoding through the documented, asynchronous interface took twice as long. decoder.ts tries the handle before it uses it. Where there is
 * none, callers work without it.
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
  /** After a write: the free bytes of the output, then the bytes of the input that were not taken. */
  readonly _writeState?: Uint32Array;
  on(event: "error", listener: () => void): void;
}

interface StreamOptions {
  readonly params?: Readonly<Record<number, number>>;
  readonly pledgedSrcSize?: number;
}

/** Node 22.15 added these. The installed types are those of Node 20. */
const { createZstdDecompress, createZstdCompress, constants } = zlib as unknown as {
  readonly createZstdDecompress?: (options: StreamOptions) => Stream;
  readonly createZstdCompress?: (options: StreamOptions) => Stream;
  readonly constants: Readonly<Record<string, number>>;
};

export interface Zlib {
  /**
   * Takes `input` from byte `from` on, and fills `output` from byte `to` on.
   * @param last true if no bytes come after `input`. @returns the number of bytes taken and given; null after an error, from which it does not recover.
   */
  run(
    input: Uint8Array,
    from: number,
    output: Uint8Array,
    to: number,
    last: boolean,
  ): { readonly taken: number; readonly given: number } | null;
  close(): void;
}

/**
 * Closed decoders, which are used again. Node 22 and 24 free a closed decoder's memory only when its object is collected, and nothing speeds
 * that up. A reset frees most of it. Encoders are not used again: on Node 22 a reset makes them forget their level.
 */
const idle: Zlib[] = [];

/** @param again may it be used for another frame once it is closed? */
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
    run(input, from, output, to, last) {
      const [most, room] = [input.length - from, output.length - to];
      handle.writeSync(last ? end : goOn, input, from, most, output, to, room);
      return failed ? null : { taken: most - (state[1] ?? most), given: room - (state[0] ?? room) };
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

/** Null if this Node has no zstd. The frames' windows have at most 8 MiB (walk.ts). */
export function nodeDecompress(): Zlib | null {
  const { ZSTD_d_windowLogMax: windowLogMax = 0 } = constants;
  const params = { [windowLogMax]: 23 };
  return createZstdDecompress === undefined ? null : (idle.pop() ?? drive(createZstdDecompress({ params }), true));
}

/** Level 1, as the trainers write. The header states `size`, the number of bytes that must come. There is no checksum. Null if this Node has no zstd. */
export function nodeCompress(size: number): Zlib | null {
  const {
    ZSTD_c_compressionLevel: level = 0,
    ZSTD_c_contentSizeFlag: stated = 0,
    ZSTD_c_checksumFlag: sum = 0,
  } = constants;
  const params = { [level]: 1, [stated]: 1, [sum]: 0 };
  return createZstdCompress === undefined ? null : drive(createZstdCompress({ params, pledgedSrcSize: size }), false);
}
