/**
 * Applies one step of a chain to a tensor, window by window and in order. Its payload is as long as the tensor and is XORed, or it has positions and
 * their values (formats/update.ts). Whatever a payload holds, nothing is written outside of the tensor.
 */
import { type ErrorPlace, WeightDiffError } from "../../errors.js";
import { quote } from "../../formats/quote.js";
import { POSITION_BYTES, payloadLength, type StepEncoding } from "../../formats/update.js";
import { openPayload, type PayloadReader } from "../io/payload.js";
import type { UpdateStep } from "../job/job.js";
import { startCoded } from "./coded-step.js";
import type { StepRun, StepSetup } from "./step-run.js";

/** How many decoders are open for a step. */
const DECODERS: Readonly<Record<StepEncoding, number>> = {
  xor: 1,
  overwrite: 2,
  xor_sparse: 2,
  elements: 2,
  "exact-compressed": 1,
};

/** Takes steps from a given one on as long as they need at most so many decoders together. @returns where they end; at least one step is taken, if there is any. */
export function openTogether(steps: readonly UpdateStep[], from: number, decoders: number): number {
  let to = from;
  for (let left = decoders; to < steps.length; to++) {
    left -= DECODERS[steps[to]?.encoding ?? "xor"];
    if (left < 0 && to > from) {
      break;
    }
  }
  return to;
}

export function startStep(step: UpdateStep, setup: StepSetup): Promise<StepRun> {
  return step.encoding === "xor"
    ? startDense(step, setup)
    : step.encoding === "exact-compressed"
      ? startCoded(step, setup)
      : startScattered(step, setup);
}

async function startDense(step: UpdateStep, setup: StepSetup): Promise<StepRun> {
  const { kernel, files, scratch, scratchBytes, bytes, place, remote } = setup;
  const memory = new Uint8Array(kernel.memory);
  const payload = await openPayload(files, { ...step, length: payloadLength("xor", bytes), place }, remote);
  const decoded = memory.subarray(scratch, scratch + scratchBytes);
  return {
    async apply(at, count) {
      for (let done = 0; done < count; done += scratchBytes) {
        const part = Math.min(scratchBytes, count - done);
        const filling = fill(payload, part === scratchBytes ? decoded : decoded.subarray(0, part), place);
        if (filling !== null) {
          await filling;
        }
        kernel.xor(scratch, at + done, part);
      }
    },
    end: () => nothingLeft(payload, place),
    close: payload.close,
  };
}

function wrong(
  why: "length" | "positions-order" | "positions-range",
  what: string,
  place: ErrorPlace,
  hint = "the file is damaged, or its publisher is at fault: fetch it again",
): WeightDiffError {
  return new WeightDiffError("FORMAT_INVALID", `tensor ${quote(place.tensor ?? "")}: ${what}`, hint, {
    at: place,
    why,
  });
}

/** Null if the bytes are there at once. A promise for each piece of a long chain would take longer than reading the piece. */
function fill(payload: PayloadReader, target: Uint8Array, place: ErrorPlace): Promise<void> | null {
  const check = (count: number): void => {
    if (count < target.length) {
      throw wrong("length", "the payload ends too early", place);
    }
  };
  const count = payload.read(target);
  if (typeof count !== "number") {
    return count.then(check);
  }
  check(count);
  return null;
}

async function nothingLeft(payload: PayloadReader, place: ErrorPlace): Promise<void> {
  if ((await payload.read(new Uint8Array(1))) > 0) {
    throw wrong("length", "the payload goes on after its last value", place);
  }
}

/** How many values, and their positions, are changed at a time. */
const BATCH = 8192;
/** The hint for positions that were written modulo 2^32. */
const WRAPS = 2 ** 32;

/** Positions and their values, which come from two places at the same pace. */
interface Scatter {
  readonly positions: PayloadReader;
  readonly values: PayloadReader;
  readonly count: number;
  /** The bytes of a stored position. */
  readonly stored: number;
  /** Reads the position at `at` of a batch, in units. A gap counts from the last position. */
  readonly read: (batch: DataView, at: number, last: number) => number;
  /** The bytes that are changed at a position. */
  readonly unit: number;
  readonly xors: boolean;
  /** Call it after the last position. Refuses a payload with bytes left. */
  readonly ends: readonly PayloadReader[];
}

async function startScattered(step: UpdateStep, setup: StepSetup): Promise<StepRun> {
  const { kernel, bytes, place } = setup;
  const scatter = await (step.encoding === "elements" ? openElements(step, setup) : openBytes(step, setup));
  const { positions, values, count, stored, read, unit, xors, ends } = scatter;
  const memory = new Uint8Array(kernel.memory);
  const batch = new Uint8Array(BATCH * stored);
  const view = new DataView(batch.buffer);
  const found = new Uint8Array(BATCH * unit);
  let taken = 0;
  let inBatch = 0;
  let at = 0;
  let last = -1;
  let next = 0;
  const units = bytes / unit;
  /** The next position; Infinity after the last. */
  const advance = async (): Promise<number> => {
    if (at === inBatch) {
      inBatch = Math.min(BATCH, count - taken);
      at = 0;
      if (inBatch === 0) {
        return Number.POSITIVE_INFINITY;
      }
      await fill(positions, batch.subarray(0, inBatch * stored), place);
      await fill(values, found.subarray(0, inBatch * unit), place);
      taken += inBatch;
    }
    const position = read(view, at * stored, last);
    if (position <= last) {
      const what = `${step.encoding} positions do not rise (${last}, then ${position})`;
      const wraps = step.encoding === "overwrite" && bytes > WRAPS;
      throw wraps
        ? wrong(
            "positions-order",
            `${what}: tensors over 4 GiB wrap in this encoding`,
            place,
            "ask its publisher for xor",
          )
        : wrong("positions-order", what, place);
    }
    if (position >= units) {
      throw wrong(
        "positions-range",
        `position ${position} is past its ${units} ${unit === 1 ? "bytes" : "elements"}`,
        place,
      );
    }
    last = position;
    at++;
    return position;
  };
  let started = false;
  const start = async (): Promise<void> => {
    if (!started) {
      started = true;
      next = await advance();
    }
  };
  return {
    async ahead() {
      await start();
      return next * unit;
    },
    async apply(target, length, position, marks) {
      await start();
      const end = (position + length) / unit;
      while (next < end) {
        const to = target + next * unit - position;
        const from = (at - 1) * unit;
        for (let byte = 0; byte < unit; byte++) {
          const value = found[from + byte] ?? 0;
          memory[to + byte] = xors ? (memory[to + byte] ?? 0) ^ value : value;
          if (marks !== undefined) {
            memory[marks + to - target + byte] = 1;
          }
        }
        next = (at < inBatch ? stepOn() : null) ?? (await advance());
      }
    },
    async end() {
      await start();
      for (const payload of ends) {
        await nothingLeft(payload, place);
      }
    },
    close() {
      positions.close();
      values.close();
    },
  };

  /** As `advance`, if the batch has one more valid position: then there is nothing to wait for. */
  function stepOn(): number | null {
    const position = read(view, at * stored, last);
    if (position > last && position < units) {
      last = position;
      at++;
      return position;
    }
    return null;
  }
}

/** overwrite and xor_sparse: the values follow the positions, so two decoders read the payload, each at its own place. */
async function openBytes(step: UpdateStep, setup: StepSetup): Promise<Scatter> {
  const { files, bytes, place, remote } = setup;
  const encoding = step.encoding === "overwrite" ? "overwrite" : "xor_sparse";
  const stored = POSITION_BYTES[encoding];
  const open = (): Promise<PayloadReader> =>
    openPayload(files, { ...step, length: payloadLength(encoding, bytes), place }, remote);
  const positions = await open();
  const values = await open();
  try {
    const head = new Uint8Array(stored);
    await fill(positions, head, place);
    const count = unsigned(new DataView(head.buffer), 0, stored);
    if (count > bytes) {
      throw wrong("length", `${count} positions are stated, and it has ${bytes} bytes`, place);
    }
    await skip(values, stored + stored * count, place);
    return {
      positions,
      values,
      count,
      stored,
      read: (view, at) => unsigned(view, at, stored),
      unit: 1,
      xors: encoding === "xor_sparse",
      ends: [values],
    };
  } catch (error) {
    positions.close();
    values.close();
    throw error;
  }
}

/** A number above 2^53 is not exact, and no tensor has so many bytes. */
function unsigned(view: DataView, at: number, bytes: number): number {
  const low = view.getUint32(at, true);
  const value = bytes === 4 ? low : view.getUint32(at + 4, true) * 2 ** 32 + low;
  return Number.isSafeInteger(value) ? value : Number.POSITIVE_INFINITY;
}

async function skip(payload: PayloadReader, bytes: number, place: ErrorPlace): Promise<void> {
  const piece = new Uint8Array(Math.min(bytes, 1 << 16));
  for (let left = bytes; left > 0; left -= Math.min(piece.length, left)) {
    await fill(payload, piece.subarray(0, Math.min(piece.length, left)), place);
  }
}

/** The bytes of a position in a list of elements. */
const LIST_BYTES = { I32: 4, U16: 2, U32: 4 } as const;

async function openElements(step: UpdateStep, setup: StepSetup): Promise<Scatter> {
  const { files, width, place, remote } = setup;
  const { values, positions: list } = step;
  if (values === undefined || list === undefined) {
    throw new TypeError("a step by elements without its values");
  }
  const plain = { compression: "none", length: { least: 0, most: Number.POSITIVE_INFINITY }, place } as const;
  const stored = LIST_BYTES[list.dtype];
  const count = (step.range.end - step.range.begin) / stored;
  const positions = await openPayload(files, { ...plain, input: step.input, range: step.range }, remote);
  const found = await openPayload(files, { ...plain, ...values }, remote);
  return {
    positions,
    values: found,
    count,
    stored,
    read(view, at, last) {
      const number =
        list.dtype === "I32"
          ? view.getInt32(at, true)
          : list.dtype === "U16"
            ? view.getUint16(at, true)
            : view.getUint32(at, true);
      return list.gaps ? last + number + 1 : number;
    },
    unit: width,
    xors: false,
    ends: [positions, found],
  };
}
