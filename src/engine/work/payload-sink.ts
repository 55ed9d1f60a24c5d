/**
 * Takes a tensor piece by piece, as it is before and after a step, and writes the step's payload. An XOR is written at once. Overwritten positions and
 * values are first set aside, separately, since a payload begins with their number (formats/update.ts). Coded windows are written one after the
 * other, and then their index.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { writeIndex } from "../../formats/coded/index.js";
import { unitOf } from "../../formats/coded/units.js";
import { payloadRoom } from "../../formats/update.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import type { PayloadJob } from "../job/job.js";
import { proveWindow } from "./encode.js";
import { openFrameWriter } from "./frame-writer.js";
import { encodeWindow } from "./windows.js";

/** Bytes [position, position + count) of a tensor; addresses are in the kernel's memory. */
export interface Piece {
  readonly position: number;
  readonly count: number;
  /** The bytes after the step; a sink may overwrite them. Without `before`: the XOR of all steps, or the overwritten bytes. */
  readonly at: number;
  readonly before: number | null;
  /** Without `before`: one byte for each byte of the piece, which is not 0 if it was overwritten. */
  readonly marks: number | null;
}

export interface PayloadSink {
  take(piece: Piece): Promise<void>;
  /** Call it after the last piece. @returns the length of the stored payload, its sha256, and whether it changes anything. */
  end(): Promise<{ readonly size: number; readonly sha256: string; readonly changes: boolean }>;
  close(): void;
}

/** The job's room in its output file. Positions count from its first byte. */
export interface Room {
  put(bytes: Uint8Array, position: number): Promise<void>;
  get(target: Uint8Array, position: number): Promise<void>;
}

export async function openPayloadSink(
  job: PayloadJob,
  kernel: Kernel,
  areas: MemoryPlan,
  room: Room,
): Promise<PayloadSink> {
  switch (job.encoding) {
    case "xor":
      return xorSink(job, kernel, room);
    case "overwrite":
      return overwriteSink(job, kernel, room);
    case "exact-compressed":
      return codedSink(job, kernel, areas, room);
  }
}

/** Every piece is a coded window. It is decoded again before it is written. */
function codedSink({ base, name }: PayloadJob, kernel: Kernel, areas: MemoryPlan, { put }: Room): PayloadSink {
  const { coder, codedUpdate } = areas;
  if (coder === null || codedUpdate === null || base === null) {
    throw new TypeError(`${name}: nothing to code, or no memory for it`);
  }
  const memory = new Uint8Array(kernel.memory);
  const unit = unitOf(base.dtype);
  const hash = createHash("sha256");
  const windows: { readonly length: number; readonly crc32: number }[] = [];
  let size = 0;
  let changes = false;
  const add = async (bytes: Uint8Array): Promise<void> => {
    hash.update(bytes);
    await put(bytes, size);
    size += bytes.length;
  };
  return {
    async take({ at, before, count }) {
      if (count === 0) {
        return;
      }
      const plain = { from: before ?? at, tuned: at, units: count / unit.width };
      const { bytes: length, unchanged } = encodeWindow(kernel, coder, unit, plain, codedUpdate.coded);
      proveWindow(kernel, areas, unit, plain, { at: codedUpdate.coded, length }, name);
      changes ||= unchanged < plain.units;
      const coded = memory.subarray(codedUpdate.coded, codedUpdate.coded + length);
      windows.push({ length, crc32: crc32(coded) });
      await add(coded);
    },
    async end() {
      await add(writeIndex(windows));
      return { size, sha256: hash.digest("hex"), changes };
    },
    close() {},
  };
}

async function xorSink({ bytes, name }: PayloadJob, kernel: Kernel, { put }: Room): Promise<PayloadSink> {
  const memory = new Uint8Array(kernel.memory);
  const zeros = Buffer.alloc(1 << 16);
  const frame = await openFrameWriter(bytes, name, put);
  let changes = false;
  return {
    async take({ at, count, before }) {
      if (before !== null) {
        kernel.xor(before, at, count);
      }
      const payload = memory.subarray(at, at + count);
      changes ||= !isZero(payload, zeros);
      await frame.push(payload);
    },
    end: async () => ({ ...(await frame.end()), changes }),
    close: frame.close,
  };
}

function isZero(bytes: Uint8Array, zeros: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const part = bytes.subarray(at, at + zeros.length);
    if (zeros.compare(part, 0, part.length, 0, part.length) !== 0) {
      return false;
    }
  }
  return true;
}

/** How many positions are kept in memory. Then they go to the job's room. */
const KEPT = 1 << 18;

async function overwriteSink(job: PayloadJob, kernel: Kernel, room: Room): Promise<PayloadSink> {
  const memory = new Uint8Array(kernel.memory);
  const places = payloadRoom("overwrite", job, 0);
  const positions = new Uint8Array(4 * KEPT);
  const view = new DataView(positions.buffer);
  const values = new Uint8Array(KEPT);
  let kept = 0;
  let aside = 0;
  let frame: Awaited<ReturnType<typeof openFrameWriter>> | null = null;
  const setAside = async (): Promise<void> => {
    await room.put(positions.subarray(0, 4 * kept), places.positions + 4 * aside);
    await room.put(values.subarray(0, kept), places.values + aside);
    aside += kept;
    kept = 0;
  };
  return {
    async take({ at, count, before, marks, position }) {
      // Memory must have room for everything that one part can bring.
      for (let done = 0; done < count; done += KEPT / 2) {
        const end = Math.min(done + KEPT / 2, count);
        if (kept + end - done > KEPT) {
          await setAside();
        }
        for (let i = done; i < end; i++) {
          const value = memory[at + i] ?? 0;
          if (before === null ? memory[(marks ?? 0) + i] !== 0 : memory[before + i] !== value) {
            view.setUint32(4 * kept, position + i, true);
            values[kept++] = value;
          }
        }
      }
    },
    async end() {
      const total = aside + kept;
      frame = await openFrameWriter(4 + 5 * total, job.name, room.put);
      const head = new Uint8Array(4);
      new DataView(head.buffer).setUint32(0, total, true);
      await frame.push(head);
      const scratch = new Uint8Array(1 << 18);
      for (const [from, width, rest] of [
        [places.positions, 4, positions],
        [places.values, 1, values],
      ] as const) {
        for (let at = 0; at < width * aside; at += scratch.length) {
          const part = scratch.subarray(0, Math.min(scratch.length, width * aside - at));
          await room.get(part, from + at);
          await frame.push(part);
        }
        await frame.push(rest.subarray(0, width * kept));
      }
      return { ...(await frame.end()), changes: total > 0 };
    },
    close() {
      frame?.close();
    },
  };
}
