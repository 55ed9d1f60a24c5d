/**
 * One tensor's way through the arithmetic, window by window, in order. A window is cut into blocks that stay in the
 * processor's cache while checksum, addition, sum and digest pass over them one after the other; digest, checksums, sum and
 * mean row are therefore ready when the last window has passed, without another look at the bytes.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Kernel } from "../../kernel/kernel.js";
import { PAGE } from "../io/disk.js";
import { BLOCK, type MemoryPlan } from "../io/memory.js";
import { checksumText, damagedTensor } from "../io/record-check.js";
import type { Operand, StoredOperand, TensorJob, TensorResult } from "../job/job.js";
import { elementsBefore, operandDtype, operandsOf, widthOf } from "../job/operand.js";
import { blendsInPlace } from "./blend.js";
import { startProof } from "./proof.js";
import type { Part } from "./stage.js";
import { STAGES } from "./stages.js";

/** Elements [begin, end) of the output, and where their operands lie in the kernel's memory. */
export interface LoadedWindow {
  readonly begin: number;
  readonly end: number;
  /** Of each distinct operand (operandsOf). */
  readonly at: readonly number[];
  /** An empty buffer of one window. */
  readonly outAt: number;
}

export interface JobRun {
  /** `aligned`: the output must begin on a page. @returns where the window's output bytes begin, in the output's dtype. */
  push(window: LoadedWindow, aligned: boolean): number;
  /** After the last window. @throws {WeightDiffError} CRC_MISMATCH. */
  finish(paths: readonly string[]): TensorResult;
}

/** Starts the job on this worker's kernel. Only one run at a time may use the kernel. */
export function startTensor(job: TensorJob, kernel: Kernel, areas: MemoryPlan): JobRun {
  const memory = new Uint8Array(kernel.memory);
  const { distinct, places } = operandsOf(job);
  const start = job.start.operand;
  const outWidth = widthOf(job.dtype);
  const hash = createHash("sha256");
  const bytes = distinct.map((operand) => (operand.kind === "stored" ? byteSwap(operand) : null));
  const widths = distinct.map((operand) => widthOf(operandDtype(operand)));
  const proof = job.prove ? startProof(job, kernel, areas) : null;
  const stage = STAGES[job.rule](job, kernel, areas, proof);
  const computed = job.rule === "add" || job.rule === "subtract" || job.rule === "convert";
  // The output can take the start's place where no value changes its width.
  const fits =
    outWidth === widths[0] &&
    (!computed || operandDtype(start) === job.dtype) &&
    (job.rule !== "blend" || blendsInPlace(job));
  /** The operands' parts of a block, in little-endian order and with their checksums taken. */
  const partsOf = (window: LoadedWindow, first: number, items: number): readonly Part[] => {
    const parts = distinct.map((operand, index): Part => {
      const skipped = elementsBefore(job, operand, first);
      const stored = elementsBefore(job, operand, first + items) - skipped;
      const width = widths[index] ?? 0;
      const at = (window.at[index] ?? 0) + (skipped - elementsBefore(job, operand, window.begin)) * width;
      bytes[index]?.take(memory.subarray(at, at + stored * width));
      return { at, stored };
    });
    return places.map((place) => parts[place] as Part);
  };
  const bytesOf = ({ at, stored }: Part, operand: Operand): Uint8Array =>
    memory.subarray(at, at + stored * widthOf(operandDtype(operand)));
  return {
    push(window, aligned) {
      const startAt = window.at[0] ?? 0;
      const outAt = fits && (!aligned || startAt % PAGE === 0) ? startAt : window.outAt;
      for (let i = 0; i < window.end - window.begin; i += BLOCK) {
        const first = window.begin + i;
        const items = Math.min(BLOCK, window.end - first);
        const [own, ...terms] = partsOf(window, first, items);
        const block = { first, items, start: own as Part, terms, outAt: outAt + i * outWidth };
        const [term] = job.terms;
        proof?.takeOperands(
          terms[0] === undefined || term === undefined ? new Uint8Array() : bytesOf(terms[0], term.operand),
          bytesOf(block.start, start),
        );
        stage.run(block);
        hash.update(memory.subarray(block.outAt, block.outAt + items * outWidth));
      }
      return outAt;
    },
    finish(paths) {
      for (const each of bytes) {
        each?.finish(paths);
      }
      const result = { id: job.id, sha256: hash.digest("hex"), ...stage.finish() };
      return proof === null ? result : { ...result, proof: proof.finish() };
    },
  };
}

/** Bytes on their way into the arithmetic. */
export interface ByteOrder {
  /** Checksums bytes as they are stored, block by block, and puts those of a big-endian storage in order. */
  take(bytes: Uint8Array): void;
  /** How the checksum of all bytes differs from the stated one; null if it fits, or if none is stated. */
  damage(): string | null;
  /** @throws {WeightDiffError} CRC_MISMATCH. */
  finish(paths: readonly string[]): void;
}

export function byteSwap(operand: StoredOperand): ByteOrder {
  const width = widthOf(operand.dtype);
  let crc = 0;
  const damage = (): string | null =>
    operand.crc32 === undefined || operand.crc32 === crc ? null : checksumText(operand.crc32, crc);
  return {
    take(bytes) {
      if (operand.crc32 !== undefined) {
        crc = crc32(bytes, crc);
      }
      if (operand.bigEndian === true) {
        swapBytes(bytes, width);
      }
    },
    damage,
    finish(paths) {
      const found = damage();
      if (found !== null) {
        throw damagedTensor(paths[operand.input] ?? "input", operand.name, found);
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
