/**
 * What recover's promises cost, without its arithmetic: `node floor.js OUT BYTES INPUT …` reads every byte of the inputs with its CRC-32,
 * writes BYTES to OUT past the page cache with a sha256 of all, and syncs. Two threads, windows of 4 MiB, each with three on their way.
 * --direct reads past the page cache, too, as recover does where the inputs are not cached. --no-crc leaves out the CRC-32.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { argv } from "node:process";
import { Worker, workerData } from "node:worker_threads";
import { crc32 } from "node:zlib";

const THREADS = 2;
const WINDOW = 1 << 22;
const SLOTS = 3;

interface Share {
  readonly out: string;
  readonly outBytes: number;
  readonly inputs: readonly string[];
  readonly readFlags: number;
  readonly checked: boolean;
  /** Which of the threads: its windows are this one, and every second after it. */
  readonly thread: number;
}

/** Reads window `index` of the inputs laid end to end by as many parts as the output has windows, and writes the output's. */
async function work({ out, outBytes, inputs, readFlags, checked, thread }: Share): Promise<void> {
  const target = await open(out, constants.O_WRONLY | constants.O_DIRECT);
  const sources = await Promise.all(inputs.map(async (path) => await open(path, constants.O_RDONLY | readFlags)));
  const sizes = await Promise.all(sources.map(async (source) => (await source.stat()).size));
  const count = Math.ceil(outBytes / WINDOW);
  // Of each input, so many bytes for a window of the output; whole pages, for direct reads.
  const steps = sizes.map((size) => 4096 * Math.ceil(size / count / 4096));
  const bytes = WINDOW + steps.reduce((sum, step) => sum + step, 0);
  // A WebAssembly memory begins on a page of the machine's.
  const pages = Math.ceil((SLOTS * bytes) / 65_536);
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const slots = Array.from({ length: SLOTS }, (_, slot) => new Uint8Array(buffer, slot * bytes, bytes));
  const sums = sources.map(() => 0);
  const digest = createHash("sha256");
  const load = async (index: number): Promise<readonly Uint8Array[]> => {
    const slot = slots[Math.floor(index / THREADS) % SLOTS] as Uint8Array;
    let at = WINDOW;
    const parts = sources.map(async (source, k) => {
      const step = steps[k] as number;
      const part = slot.subarray(at, at + step);
      at += step;
      // Fewer bytes come only at the end of the file.
      return part.subarray(0, (await source.read(part, 0, step, index * step)).bytesRead);
    });
    return [slot, ...(await Promise.all(parts))];
  };
  const writing: Promise<unknown>[] = [];
  const loading = new Map<number, ReturnType<typeof load>>();
  for (let index = thread; index < count; index += THREADS) {
    for (const ahead of [index, index + THREADS].filter((one) => one < count && !loading.has(one))) {
      // A slot is free once what it held was written.
      await writing[(ahead - thread) / THREADS - SLOTS];
      loading.set(ahead, load(ahead));
    }
    const [slot, ...parts] = (await loading.get(index)) as [Uint8Array, ...Uint8Array[]];
    if (checked) {
      parts.forEach((part, k) => {
        sums[k] = crc32(part, sums[k]);
      });
    }
    const window = slot.subarray(0, WINDOW);
    digest.update(window.subarray(0, Math.min(WINDOW, outBytes - index * WINDOW)));
    writing.push(target.write(window, 0, WINDOW, index * WINDOW));
  }
  await Promise.all(writing);
  await target.sync();
}

if (workerData !== null) {
  await work(workerData as Share);
} else {
  const [out = "", outBytes, ...inputs] = argv.slice(2).filter((arg) => !arg.startsWith("--"));
  await (await open(out, "w")).close();
  const readFlags = argv.includes("--direct") ? constants.O_DIRECT : 0;
  for (let thread = 0; thread < THREADS; thread++) {
    const share: Share = {
      out,
      outBytes: Number(outBytes),
      inputs,
      readFlags,
      checked: !argv.includes("--no-crc"),
      thread,
    };
    new Worker(new URL(import.meta.url), { workerData: share });
  }
}
