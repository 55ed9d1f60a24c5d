/** Applies one step of a chain that has coded windows (docs/formats.md 3.5). Each window is decoded given the tensor's bytes, and replaces them. */
import { crc32 } from "node:zlib";
import { type ErrorPlace, WeightDiffError } from "../../errors.js";
import { indexBytes, plainBytes, readIndex } from "../../formats/coded/index.js";
import { unitOf, WINDOW_UNITS } from "../../formats/coded/units.js";
import { quote } from "../../formats/quote.js";
import { readFully } from "../io/disk.js";
import { openPayload } from "../io/payload.js";
import type { UpdateStep } from "../job/job.js";
import type { StepRun, StepSetup } from "./step-run.js";
import { decodeWindow } from "./windows.js";

/** Starts the step and reads its index. @throws {WeightDiffError} with `why`; so does everything that the step does. */
export async function startCoded({ input, range, coded }: UpdateStep, setup: StepSetup): Promise<StepRun> {
  const { kernel, files, place, remote } = setup;
  const { coder, codedUpdate } = setup.areas;
  if (coder === null || codedUpdate === null || coded === undefined) {
    throw new TypeError("a coded step, and no memory for it");
  }
  const tensor = { name: place.tensor ?? "", ...coded };
  const unit = unitOf(coded.dtype);
  const memory = new Uint8Array(kernel.memory);
  const index = new Uint8Array(indexBytes(tensor));
  const end = range.end - index.length;
  const windows = await named(place, async () => {
    if (end >= range.begin) {
      await readFully(await files.input(input), index, end);
    }
    return readIndex(index, tensor, range, { file: place.file ?? "" });
  });
  const own = { begin: range.begin, end: Math.max(range.begin, end) };
  const length = { least: 0, most: Number.POSITIVE_INFINITY };
  const payload = await openPayload(files, { input, range: own, compression: "none", length, place }, remote);
  let next = 0;
  return {
    apply: (at, count) =>
      named(place, async () => {
        for (let done = 0; done < count; next++) {
          const window = windows[next];
          const plain = plainBytes(tensor, next);
          if (window === undefined || done + plain > count) {
            throw new TypeError("a coded step got parts that are not its windows");
          }
          const stored = memory.subarray(codedUpdate.coded, codedUpdate.coded + window.length);
          await payload.read(stored);
          if (crc32(stored) !== window.crc32) {
            const what = `coded window ${next} does not have its CRC-32`;
            throw new WeightDiffError("CRC_MISMATCH", what, "the file is damaged: fetch it again", { at: place });
          }
          const units = plain / unit.width;
          const from = { at: codedUpdate.coded, length: window.length, units };
          const decoder = decodeWindow(kernel, coder, unit, from, place);
          decoder.decode(at + done, at + done, units);
          decoder.end();
          done += plain;
        }
      }),
    async end() {
      if (next < windows.length) {
        throw new TypeError("a coded step has windows left");
      }
    },
    close: payload.close,
  };
}

/** How many bytes go to a coded step at a time. */
export function codedPart(dtype: Parameters<typeof unitOf>[0]): number {
  return WINDOW_UNITS * unitOf(dtype).width;
}

const DAMAGED: ReadonlySet<string> = new Set(["FORMAT_INVALID", "CRC_MISMATCH"]);

/** Turns an error about the bytes into an error about the chain. */
async function named<T>(place: ErrorPlace, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof WeightDiffError && DAMAGED.has(error.code) && error.why === null) {
      const { code, fact, hint, at } = error;
      const what = fact.startsWith("tensor ") ? fact : `tensor ${quote(place.tensor ?? "")}: ${fact}`;
      throw new WeightDiffError(code, what, hint, { at: { ...place, ...at }, why: "frame", cause: error });
    }
    throw error;
  }
}
