/**
 * One tensor's way through the arithmetic, window by window, in order. A window is cut into blocks that stay in the
 * processor's cache while checksum, addition, sum and digest pass over them one after the other; digest, checksums, sum and
 * mean row are therefore ready when the last window has passed, without another look at the bytes.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { WeightDiffError } from "../errors.js";
import { type Dtype, dtypeBits, elementCount, type FloatDtype, isFloatDtype } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { addIntegers, orBytes, sumIntegers } from "../kernel/integers.js";
import type { Kernel } from "../kernel/kernel.js";
import { PAGE } from "./disk.js";
import type { DigestJob, Operand, StoredOperand, TensorJob, TensorResult } from "./job.js";
import { BLOCK, type MemoryPlan } from "./memory.js";

/** Elements [begin, end) of the output, and where their operands lie in the kernel's memory. */
export interface LoadedWindow {
  readonly begin: number;
  readonly end: number;
  readonly rawAt: number;
  readonly diffAt: number;
  /** An empty buffer of one window. */
  readonly outAt: number;
}

export interface JobRun {
  /** `aligned`: the output must begin on a page. @returns where the window's output bytes begin, in the output's dtype. */
  push(window: LoadedWindow, aligned: boolean): number;
  /** After the last window. @throws {WeightDiffError} CRC_MISMATCH. */
  finish(paths: readonly string[]): TensorResult;
}

export function operandDtype(operand: Operand): Dtype {
  return operand.kind === "stored" ? operand.dtype : "F32";
}

/** Elements of raw: fewer than the output's where rows are new. */
export function rawElements(job: TensorJob): number {
  return job.mean === null ? (elementCount(job.shape) ?? 0) : job.mean.rows * job.mean.columns;
}

/** Starts the job on this worker's kernel. Only one run at a time may use the kernel. */
export function startTensor(job: TensorJob, kernel: Kernel, areas: MemoryPlan): JobRun {
  const memory = new Uint8Array(kernel.memory);
  const count = elementCount(job.shape) ?? 0;
  const rawCount = rawElements(job);
  const rawDtype = operandDtype(job.raw);
  const outWidth = dtypeBits(job.dtype) / 8;
  const rawWidth = dtypeBits(rawDtype) / 8;
  const diffWidth = dtypeBits(job.diff.dtype) / 8;
  const hash = createHash("sha256");
  const diffBytes = orderBytes(job.diff);
  const rawBytes = job.raw.kind === "stored" ? orderBytes(job.raw) : null;
  let integerSum = 0;
  let overflow = 0;
  if (job.rule === "add") {
    kernel.sumBegin(areas.sumState, count);
  }
  if (job.mean !== null) {
    kernel.meanBegin(areas.meanState, job.mean.rows, job.mean.columns);
  }

  /** Adds raw's elements, then the mean row to those that raw does not have. target: `items` F32 values. */
  const addRaw = (first: number, items: number, rawAt: number, target: number): void => {
    const stored = Math.max(0, Math.min(items, rawCount - first));
    if (stored > 0 && job.mean !== null) {
      kernel.widen(rawDtype as FloatDtype, rawAt, areas.rawBlock, stored);
      kernel.meanPush(areas.meanState, areas.rawBlock, stored);
      kernel.add("F32", areas.rawBlock, target, stored);
      if (first + stored === rawCount) {
        kernel.meanEnd(areas.meanState, areas.meanRow);
      }
    } else if (stored > 0) {
      kernel.add(rawDtype as FloatDtype, rawAt, target, stored);
    }
    const columns = job.mean?.columns ?? 1;
    for (let k = stored; k < items; ) {
      const column = (first + k - rawCount) % columns;
      const piece = Math.min(columns - column, items - k);
      kernel.add("F32", areas.meanRow + column * 4, target + k * 4, piece);
      k += piece;
    }
  };

  const addFloats = (window: LoadedWindow, inPlace: boolean): number => {
    const outAt = inPlace ? window.diffAt : window.outAt;
    for (let i = 0; i < window.end - window.begin; i += BLOCK) {
      const items = Math.min(BLOCK, window.end - window.begin - i);
      const first = window.begin + i;
      const rawAt = window.rawAt + i * rawWidth;
      const diffAt = window.diffAt + i * diffWidth;
      const blockAt = outAt + i * outWidth;
      const sumAt = job.dtype === "F32" ? blockAt : areas.sumBlock;
      diffBytes.take(memory.subarray(diffAt, diffAt + items * diffWidth));
      rawBytes?.take(memory.subarray(rawAt, rawAt + Math.max(0, Math.min(items, rawCount - first)) * rawWidth));
      if (!inPlace) {
        kernel.widen(job.diff.dtype as FloatDtype, diffAt, sumAt, items);
      }
      addRaw(first, items, rawAt, sumAt);
      kernel.sumPush(areas.sumState, sumAt, items);
      if (job.dtype === "F16" || job.dtype === "BF16") {
        overflow += kernel.narrow(job.dtype, sumAt, blockAt, items);
      }
      hash.update(memory.subarray(blockAt, blockAt + items * outWidth));
    }
    return outAt;
  };

  const combineIntegers = (window: LoadedWindow): number => {
    const items = window.end - window.begin;
    const target = memory.subarray(window.diffAt, window.diffAt + items * diffWidth);
    const source = memory.subarray(window.rawAt, window.rawAt + items * rawWidth);
    diffBytes.take(target);
    rawBytes?.take(source);
    if (job.rule === "or") {
      orBytes(target, source);
    } else {
      addIntegers(target, source, diffWidth);
    }
    integerSum += sumIntegers(target, job.dtype);
    hash.update(target);
    memory.copyWithin(window.outAt, window.diffAt, window.diffAt + target.length);
    return window.outAt;
  };

  return {
    push(window, aligned) {
      if (job.rule !== "add") {
        return combineIntegers(window);
      }
      const inPlace = job.diff.dtype === "F32" && job.dtype === "F32" && (!aligned || window.diffAt % PAGE === 0);
      return addFloats(window, inPlace);
    },
    finish(paths) {
      diffBytes.finish(paths);
      rawBytes?.finish(paths);
      const sum = isFloatDtype(job.dtype) ? kernel.sumEnd(areas.sumState) : integerSum;
      return { id: job.id, sha256: hash.digest("hex"), sum, overflow };
    },
  };
}

/** Starts a job that only digests its bytes. */
export function startDigest(job: DigestJob, kernel: Kernel): JobRun {
  const memory = new Uint8Array(kernel.memory);
  const hash = createHash("sha256");
  const width = dtypeBits(job.source.dtype) / 8;
  const bytes = orderBytes(job.source);
  return {
    push({ begin, end, diffAt }) {
      for (let i = begin; i < end; i += BLOCK) {
        const at = diffAt + (i - begin) * width;
        const block = memory.subarray(at, at + Math.min(BLOCK, end - i) * width);
        bytes.take(block);
        hash.update(block);
      }
      return diffAt;
    },
    finish(paths) {
      bytes.finish(paths);
      return { id: job.id, sha256: hash.digest("hex"), sum: 0, overflow: 0 };
    },
  };
}

/** Checksums bytes as they are stored, block by block, and puts those of a big-endian storage in order. */
function orderBytes(operand: StoredOperand): { take(bytes: Uint8Array): void; finish(paths: readonly string[]): void } {
  const width = dtypeBits(operand.dtype) / 8;
  let crc = 0;
  return {
    take(bytes) {
      if (operand.crc32 !== undefined) {
        crc = crc32(bytes, crc);
      }
      if (operand.bigEndian === true) {
        swapBytes(bytes, width);
      }
    },
    finish(paths) {
      if (operand.crc32 !== undefined && operand.crc32 !== crc) {
        const hex = (value: number): string => value.toString(16).padStart(8, "0");
        throw new WeightDiffError(
          "CRC_MISMATCH",
          `${paths[operand.input] ?? "input"}: tensor ${quote(operand.name)} is damaged: CRC-32 ${hex(operand.crc32)} expected, ${hex(crc)} found`,
          "the file was corrupted on its way or on the disk: fetch it again",
        );
      }
    },
  };
}

function swapBytes(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (width === 2) {
    buffer.swap16();
  } else if (width === 4) {
    buffer.swap32();
  } else if (width === 8) {
    buffer.swap64();
  }
}
