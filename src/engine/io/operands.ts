/** Reads the elements of operands into the kernel's memory: one reader for each kind of operand. */
import type { WindowRange } from "../../formats/coded/index.js";
import { invFreq } from "../../kernel/inv-freq.js";
import type { CodedOperand, InvFreqOperand, Operand, StoredOperand } from "../job/job.js";
import { widthOf } from "../job/operand.js";
import type { WorkerFiles } from "./files.js";
import { gather, isScattered, runAt } from "./gather.js";

/** Elements [begin, end) of an operand, and the place in `memory` that was reserved for them. */
export interface Wanted {
  readonly begin: number;
  readonly end: number;
  /** The end of the elements that will be wanted in order, of which these are the next. */
  readonly until?: number;
  readonly memory: Uint8Array;
  readonly buffer: number;
  /** The window that has them, where the operand is coded; none where it has no elements. */
  readonly coded?: WindowRange | undefined;
}

interface Reader<O extends Operand> {
  /** Puts the elements there. @returns where the first one is: at the start of the buffer, or within its first page. */
  readonly load: (operand: O, wanted: Wanted, files: WorkerFiles) => Promise<number>;
  /** How many bytes that reads from a file. */
  readonly bytes: (operand: O, wanted: Wanted) => number;
}

const STORED: Reader<StoredOperand> = {
  bytes: ({ dtype }, { begin, end }) => widthOf(dtype) * (end - begin),
  async load(operand, { begin, end, until = end, memory, buffer }, files) {
    const width = widthOf(operand.dtype);
    const length = (end - begin) * width;
    if (isScattered(operand)) {
      const run = runAt(operand, begin, end);
      if (run !== null) {
        return length === 0
          ? buffer
          : files.read(run.input, run.position, length, memory, buffer, run.position + length);
      }
      await gather(files.input, operand, begin, end - begin, memory.subarray(buffer, buffer + length));
      return buffer;
    }
    const position = operand.range.begin + begin * width;
    return length === 0
      ? buffer
      : files.read(operand.input, position, length, memory, buffer, operand.range.begin + until * width);
  },
};

const INV_FREQ: Reader<InvFreqOperand> = {
  bytes: () => 0,
  async load({ count, theta }, { begin, end, memory, buffer }) {
    const view = new DataView(memory.buffer, buffer, (end - begin) * 4);
    invFreq(count, theta, begin, end).forEach((value, i) => {
      view.setFloat32(i * 4, value, true);
    });
    return buffer;
  },
};

/** Coded elements come as one window, as it is stored: the job decodes it. */
const CODED: Reader<CodedOperand> = {
  bytes: (_, { coded }) => coded?.length ?? 0,
  async load({ input, range }, { coded, memory, buffer }, files) {
    return coded === undefined
      ? buffer
      : files.read(input, range.begin + coded.position, coded.length, memory, buffer, range.end);
  },
};

/** Add a row to add a kind. */
const READERS: { readonly [K in Operand["kind"]]: Reader<Extract<Operand, { readonly kind: K }>> } = {
  stored: STORED,
  "inv-freq": INV_FREQ,
  coded: CODED,
};

/** The reader for the operand's kind. The type of the table makes sure that every kind has its reader. */
export function readerOf(operand: Operand): Reader<Operand> {
  return READERS[operand.kind] as Reader<Operand>;
}
