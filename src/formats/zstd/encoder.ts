/**
 * Writes one zstd frame as the trainers do: level 1, the content size in the header, no checksum, no dictionary. Only Node's own libzstd
 * (22.15, 23.8 and later) writes such a frame piece by piece. No library in WebAssembly can state the size before it has seen all bytes.
 */
import { WeightDiffError } from "../../errors.js";
import { nodeCompress } from "./handle.js";

interface Encoder {
  /** @param put takes the compressed bytes. They are overwritten after it returns. */
  push(bytes: Uint8Array, put: (bytes: Uint8Array) => void): void;
  /** Call it after the last bytes. */
  end(put: (bytes: Uint8Array) => void): void;
  close(): void;
}

/** Can this Node write zstd frames? */
export function canEncode(): boolean {
  const zlib = nodeCompress(0);
  zlib?.close();
  return zlib !== null;
}

/** @throws {WeightDiffError} USAGE if this Node cannot write zstd frames. */
export function refuseNoEncoder(): void {
  if (!canEncode()) {
    throw noEncoder();
  }
}

function noEncoder(): WeightDiffError {
  return new WeightDiffError(
    "USAGE",
    `Node ${process.versions.node} has no zstd to write with`,
    "use Node 22.15 or later",
    { advice: [{ to: "write what only weight-diff reads", option: "encoding", value: "exact-compressed" }] },
  );
}

/** The most compressed bytes that one call of `put` gets. */
const OUTPUT = 128 << 10;

/** Starts a frame that holds exactly `size` bytes. @throws {WeightDiffError} USAGE if this Node cannot write one. @throws {RangeError} if more or fewer bytes are pushed. */
export function startEncoder(size: number): Encoder {
  const zlib = nodeCompress(size);
  if (zlib === null) {
    throw noEncoder();
  }
  const output = new Uint8Array(OUTPUT);
  const run = (bytes: Uint8Array, last: boolean, put: (bytes: Uint8Array) => void): void => {
    for (let at = 0; ; ) {
      const step = zlib.run(bytes, at, output, 0, last);
      if (step === null) {
        throw new RangeError(`a frame of ${size} bytes got another number of them`);
      }
      put(output.subarray(0, step.given));
      at += step.taken;
      if (step.given < output.length && at === bytes.length) {
        return;
      }
    }
  };
  return {
    push: (bytes, put) => run(bytes, false, put),
    end: (put) => run(new Uint8Array(), true, put),
    close: zlib.close,
  };
}
