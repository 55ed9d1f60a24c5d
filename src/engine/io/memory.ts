/** How a worker divides its kernel's memory: slots for windows in flight, blocks, and the running states. Fixed for the run. */
import { WINDOW_UNITS } from "../../formats/coded/units.js";
import { MOST_CLUSTERS } from "../../formats/coded/window.js";
import { CODER_BYTES, COUNTER_BYTES, SLOTS, TOKEN_CHUNK } from "../../kernel/coder.js";
import { HISTOGRAM_BYTES, LENGTHS, MEASURE_BYTES } from "../../kernel/measure.js";
import { PAGE } from "./disk.js";

/** Elements that pass through all stages together: 256 KiB of F32, which stays in a core's own cache. */
export const BLOCK = 65_536;

/**
 * Bytes of a tensor that all steps of a chain pass over, one after the other: some blocks of zstd's, of which nothing is left over for later.
 * With fewer each decoder finds its window gone from the processor's cache more often than the tensor's bytes are with more.
 */
export const UPDATED_PIECE = 1 << 20;

/** Rows of a matrix in a window, however narrow they are. */
export const MOST_ROWS = 1024;

/** Buffers of one window in flight. Each has a page of slack at both ends: a direct read brings whole pages. */
export interface Slot {
  readonly operands: readonly number[];
  readonly out: number;
}

/** A window of a whole file, and of the key that meets it. */
export interface FileSlot {
  readonly content: number;
  readonly key: number;
}

/** Where one operand's mean row grows, and where it stands once all rows have passed. */
export interface MeanArea {
  readonly state: number;
  readonly row: number;
}

/** Where coded windows are made and undone. */
export interface CoderAreas {
  readonly state: number;
  readonly classTables: number;
  readonly tables: number;
  readonly tokens: number;
  /** The base as units of the tuned dtype: of a block, or of a whole window. */
  readonly base: number;
  /** Only for encoding; nothing otherwise. */
  readonly classes: number;
  readonly histogram: number;
  readonly extra: number;
  /** Words are written from here downwards. */
  readonly wordsEnd: number;
}

export interface MemoryPlan {
  readonly slots: readonly Slot[];
  /** None where no job is a whole file. */
  readonly files: readonly FileSlot[];
  /** BLOCK F32 values each: an operand widened; the sum before it is rounded; make-diff's tuned and recovered values. */
  readonly rawBlock: number;
  readonly sumBlock: number;
  readonly tunedBlock: number;
  readonly recoveredBlock: number;
  readonly sumState: number;
  readonly means: readonly MeanArea[];
  /** Null where no job codes or decodes. */
  readonly coder: CoderAreas | null;
  /** Null where no payload is made. */
  readonly payload: PayloadAreas | null;
  /** Null where no update is coded. */
  readonly codedUpdate: CodedUpdateAreas | null;
  /** Null where no job is measured. */
  readonly measure: MeasureAreas | null;
  /** Null where nothing is multiplied. */
  readonly product: ProductAreas | null;
  /** Null where no sum is transposed. */
  readonly turned: TurnedAreas | null;
  /** Bytes in all. */
  readonly end: number;
}

/** A piece of a tensor before a step and after it, and which of its bytes are overwritten; with a page of slack at both ends for a direct read. */
interface PayloadAreas {
  readonly before: number;
  readonly after: number;
  readonly marks: number;
}

/** Where a step of a chain has its coded window, and the tensor's part that goes with it: as it is before the step, and after. */
interface CodedUpdateAreas {
  readonly coded: number;
  readonly before: number;
  readonly after: number;
}

/** Where transposed matrices are added as they are stored, and their sums transposed. */
export interface TurnedAreas {
  readonly tile: number;
  /** Of the start and of the term. */
  readonly blocks: readonly [number, number];
  /** A U32 for each row of a tile. */
  readonly places: number;
}

/** Where a tensor is held against its base. */
interface MeasureAreas {
  /** BLOCK F32 values each. */
  readonly base: number;
  readonly tuned: number;
  /** The base as units of the tuned dtype: of a block. */
  readonly units: number;
  /** Elements of a block of any dtype, for a base of nothing but zeros. */
  readonly zeros: number;
  readonly state: number;
  readonly histogram: number;
  readonly ones: number;
}

interface MemoryNeeds {
  /** Bytes of one operand in one window; a multiple of the page. */
  readonly windowBytes: number;
  readonly slots: number;
  /** Bytes of one window of a whole file, likewise; left out where no job is one. */
  readonly fileWindowBytes?: number | undefined;
  /** The most that one job reads. */
  readonly operands: number;
  readonly sumBytes: number;
  /** Mean rows that one job takes at a time. */
  readonly means: number;
  /** Bytes of the state of each. */
  readonly meanBytes: number;
  /** Columns of the widest mean row. */
  readonly meanColumns: number;
  /** What jobs do with coded windows. */
  readonly coder: "none" | "decode" | "encode";
  /** Is any of them a payload to be made? */
  readonly payloads?: boolean;
  /** Is any step of a chain coded? */
  readonly codedUpdates?: boolean;
  /** Is any job measured? */
  readonly measures: boolean;
  /** Only where jobs are products. */
  readonly product?: ProductNeeds | undefined;
  /** Only where sums are transposed: of the largest tile, and of a block of an operand. */
  readonly turned?: TurnedNeeds | undefined;
}

/** Bytes, and rows of a tile at the most. */
export interface TurnedNeeds {
  readonly tileBytes: number;
  readonly blockBytes: number;
  readonly rows: number;
}

/** What the products of a run are made of. */
export interface ProductNeeds {
  /** Of the widest matrix. */
  readonly columns: number;
  /** The most tokens of a step. */
  readonly tokens: number;
}

/** Where rows meet the inputs of tokens: F32 values. */
interface ProductAreas {
  /** Rows widened, a few at a time. */
  readonly weights: number;
  /** How many values of them there is room for. */
  readonly values: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** Assigns page-aligned areas from `base` up. */
export function planMemory(base: number, needs: MemoryNeeds): MemoryPlan {
  let end = base;
  const take = (bytes: number): number => {
    const at = end;
    end += Math.ceil(bytes / PAGE) * PAGE;
    return at;
  };
  const buffer = needs.windowBytes + 2 * PAGE;
  const slots = Array.from({ length: needs.slots }, () => ({
    operands: Array.from({ length: needs.operands }, () => take(buffer)),
    out: take(buffer),
  }));
  const { fileWindowBytes } = needs;
  const files =
    fileWindowBytes === undefined
      ? []
      : Array.from({ length: needs.slots }, () => ({ content: take(fileWindowBytes), key: take(fileWindowBytes) }));
  const rawBlock = take(BLOCK * 4);
  const sumBlock = take(BLOCK * 4);
  const tunedBlock = take(BLOCK * 4);
  const recoveredBlock = take(BLOCK * 4);
  const sumState = take(needs.sumBytes);
  const means = Array.from({ length: needs.means }, () => ({
    state: take(needs.meanBytes),
    row: take(needs.meanColumns * 4),
  }));
  const coder = needs.coder === "none" ? null : coderAreas(take, needs.coder === "encode");
  const piece = UPDATED_PIECE + 2 * PAGE;
  const payload = needs.payloads === true ? { before: take(piece), after: take(piece), marks: take(piece) } : null;
  const part = 4 * WINDOW_UNITS + 2 * PAGE;
  const codedUpdate = needs.codedUpdates === true ? { coded: take(part), before: take(part), after: take(part) } : null;
  const measure = needs.measures
    ? {
        ...{ base: take(BLOCK * 4), tuned: take(BLOCK * 4), units: take(BLOCK * 4), zeros: take(BLOCK * 8) },
        ...{ state: take(MEASURE_BYTES), histogram: take(HISTOGRAM_BYTES), ones: take(4 * LENGTHS) },
      }
    : null;
  const product = needs.product === undefined ? null : productAreas(take, needs.product);
  const turned = needs.turned === undefined ? null : turnedAreas(take, needs.turned);
  return {
    slots,
    files,
    rawBlock,
    sumBlock,
    tunedBlock,
    recoveredBlock,
    sumState,
    means,
    coder,
    payload,
    codedUpdate,
    measure,
    product,
    turned,
    end,
  };
}

function turnedAreas(take: (bytes: number) => number, { tileBytes, blockBytes, rows }: TurnedNeeds): TurnedAreas {
  return { tile: take(tileBytes), blocks: [take(blockBytes), take(blockBytes)], places: take(4 * rows) };
}

function productAreas(take: (bytes: number) => number, { columns, tokens }: ProductNeeds): ProductAreas {
  // Four rows at a time are multiplied: fewer would leave registers empty.
  const values = Math.max(BLOCK, 4 * columns);
  return {
    weights: take(4 * values),
    values,
    inputs: take(4 * tokens * columns),
    outputs: take(4 * tokens * MOST_ROWS),
  };
}

/** What the loops may touch past the end of extra bits, and below the words. */
const SLACK = 64;

function coderAreas(take: (bytes: number) => number, encodes: boolean): CoderAreas {
  const units = encodes ? WINDOW_UNITS : 0;
  return {
    state: take(CODER_BYTES),
    classTables: take(256 * 4),
    tables: take(MOST_CLUSTERS * SLOTS * 4),
    tokens: take(Math.max(units, TOKEN_CHUNK)),
    base: take(Math.max(units * 4, BLOCK * 8)),
    classes: take(units),
    histogram: take(encodes ? COUNTER_BYTES : 0),
    extra: take(4 * units + SLACK),
    wordsEnd: take(2 * units + SLACK) + 2 * units + SLACK,
  };
}
