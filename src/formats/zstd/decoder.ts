/**
 * What decodes the blocks of a frame: Node's libzstd where it has one (22.15, 23.8 and later), elsewhere the same library in WebAssembly.
 * Both go synchronously, so that a worker that computes waits for no other thread. They are fed only what was walked (walk.ts): one frame,
 * of a bounded window, that ends where its bytes do. What is damaged inside a block they need not find alike (with 64 bits libzstd checks
 * less of the literals than with 32): the checksum of the tensor finds it in any case.
 */
import { nodeDecompress, type Zlib } from "./handle.js";
import { loadWasmDecompress } from "./wasm.js";

/** One frame on its way out. */
export interface Decoder {
  /** Takes the next compressed bytes; they are read later. Only after all that came before are decoded. */
  push(bytes: Uint8Array): void;
  /** Decodes into `target`. @returns how many bytes came: fewer than it holds only where the bytes are used up; null where the frame is damaged. */
  read(target: Uint8Array): number | null;
  close(): void;
}

export type OpenDecoder = () => Decoder;

/** Which decoder: what is fastest here, or the one that every Node has. */
export type DecoderKind = "fastest" | "wasm";

let wasm: Promise<() => Zlib> | undefined;

/** Loads a decoder. In each thread it is loaded once. */
export async function loadDecoder(kind: DecoderKind = "fastest"): Promise<OpenDecoder> {
  if (kind === "fastest" && decodesHere()) {
    return () => startDecoder(nodeDecompress() as Zlib);
  }
  wasm ??= loadWasmDecompress();
  const open = await wasm;
  return () => startDecoder(open());
}

/** Nine bytes as they are, and what a decoder must make of them. */
const TRIAL = Buffer.from("\x28\xb5\x2f\xfd\x20\x09\x49\x00\x00abcdefghi", "latin1");

/** Is Node's inside as it was when this was written? */
function decodesHere(): boolean {
  const zlib = nodeDecompress();
  if (zlib === null) {
    return false;
  }
  const decoder = startDecoder(zlib);
  try {
    const target = Buffer.alloc(10);
    decoder.push(TRIAL.subarray(0, 12));
    const first = decoder.read(target) ?? 0;
    decoder.push(TRIAL.subarray(12));
    const rest = decoder.read(target.subarray(first));
    return rest !== null && first + rest === 9 && target.toString() === "abcdefghi\0";
  } catch {
    return false; // whatever it is, the other decoder is there
  } finally {
    decoder.close();
  }
}

function startDecoder(zlib: Zlib): Decoder {
  let input: Uint8Array = new Uint8Array();
  return {
    push(bytes) {
      input = bytes;
    },
    read(target) {
      let filled = 0;
      while (filled < target.length) {
        const step = zlib.run(input, target.subarray(filled), false);
        if (step === null || (step.taken === 0 && step.given === 0 && input.length > 0)) {
          return null;
        }
        input = input.subarray(step.taken);
        filled += step.given;
        // A decoder holds back what had no room; the bytes are used up only once nothing comes.
        if (step.given === 0 && input.length === 0) {
          break;
        }
      }
      return filled;
    },
    close: zlib.close,
  };
}
