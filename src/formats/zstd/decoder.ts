/**
 * Decodes the blocks of a frame: with Node's libzstd if it has one (22.15, 23.8 and later), else with the same library in WebAssembly. Both
 * run synchronously, so a worker that computes waits for no other thread. They get only bytes that were walked (walk.ts): one frame with a
 * bounded window, which ends where its bytes end. They may differ in the damage that they find inside a block (with 64 bits, libzstd checks
 * less of the literals than with 32). The tensor's checksum finds such damage in any case.
 */
import { nodeDecompress, type Zlib } from "./handle.js";
import { loadWasmDecompress } from "./wasm.js";

/** Decodes one frame. */
interface Decoder {
  /** Takes the next compressed bytes. Call it only once all earlier bytes are decoded. These bytes must not change before they are decoded. */
  push(bytes: Uint8Array): void;
  /** Decodes into `target`. @returns the number of decoded bytes, which is less than `target` holds only if the input is used up; null if the frame is damaged. */
  read(target: Uint8Array): number | null;
  close(): void;
}

export type OpenDecoder = () => Decoder;

/** "fastest": the fastest decoder that this Node has. "wasm": the one that works on every Node. */
export type DecoderKind = "fastest" | "wasm";

let wasm: Promise<() => Zlib> | undefined;

/** Loads a decoder, once in each thread. */
export async function loadDecoder(kind: DecoderKind = "fastest"): Promise<OpenDecoder> {
  if (kind === "fastest" && decodesHere()) {
    return () => startDecoder(nodeDecompress() as Zlib);
  }
  wasm ??= loadWasmDecompress();
  const open = await wasm;
  return () => startDecoder(open());
}

/** A frame with nine stored bytes, to try a decoder with. */
const TRIAL = Buffer.from("\x28\xb5\x2f\xfd\x20\x09\x49\x00\x00abcdefghi", "latin1");

/** Do the undocumented parts of Node (handle.ts) still work as they did when this was written? */
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
    return false; // whatever failed, the other decoder works
  } finally {
    decoder.close();
  }
}

function startDecoder(zlib: Zlib): Decoder {
  let input: Uint8Array = new Uint8Array();
  let at = 0;
  return {
    push(bytes) {
      input = bytes;
      at = 0;
    },
    read(target) {
      let filled = 0;
      while (filled < target.length) {
        const step = zlib.run(input, at, target, filled, false);
        if (step === null || (step.taken === 0 && step.given === 0 && at < input.length)) {
          return null;
        }
        at += step.taken;
        filled += step.given;
        // A decoder holds back bytes for which there was no room. The input is used up only when no more bytes come.
        if (step.given === 0 && at === input.length) {
          break;
        }
      }
      return filled;
    },
    close: zlib.close,
  };
}
