/**
 * Which inputs to read past the page cache. Direct reads of a cold file are faster and cost a tenth of the system time;
 * of a cached file they throw away the copy in memory. Linux tells exactly: what a sample of ordinary reads fetched from the disk.
 */
import { closeSync, constants, openSync, readFileSync, readSync } from "node:fs";
import { freemem } from "node:os";
import { NO_WAITING } from "../../files/regular-file.js";

const SAMPLES = 16;
/** Smaller than the smallest read-ahead, so that a sample does not fetch much. */
const SAMPLE_BYTES = 4096;

/** For each file: is it to be read directly? False for all where the system cannot tell. */
export function chooseDirect(files: readonly { readonly path: string; readonly size: number }[]): readonly boolean[] {
  if (fetchedBytes() === null) {
    return files.map(() => false);
  }
  const total = files.reduce((sum, { size }) => sum + size, 0);
  // What does not fit into memory cannot be cached, and reading it through the cache would push out everything else.
  const tooLarge = total > availableMemory();
  return files.map((file) => tooLarge || isCold(file.path, file.size));
}

function isCold(path: string, size: number): boolean {
  const buffer = new Uint8Array(SAMPLE_BYTES);
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | NO_WAITING);
  } catch {
    return false; // the run itself will open it, and say what is wrong
  }
  try {
    let cold = 0;
    for (let sample = 0; sample < SAMPLES; sample++) {
      const before = fetchedBytes() ?? 0;
      readSync(fd, buffer, 0, SAMPLE_BYTES, Math.floor((Math.max(0, size - SAMPLE_BYTES) * sample) / SAMPLES));
      cold += (fetchedBytes() ?? 0) > before ? 1 : 0;
    }
    return cold > SAMPLES / 2;
  } catch {
    return false;
  } finally {
    closeSync(fd);
  }
}

/** Bytes that this process has caused to be fetched from storage (proc(5), /proc/pid/io). */
function fetchedBytes(): number | null {
  try {
    const text = readFileSync("/proc/self/io", "utf8");
    return Number(/^read_bytes: (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
  } catch {
    return null;
  }
}

/** Bytes that the system could give. */
export function availableMemory(): number {
  try {
    return Number(/^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024 || freemem();
  } catch {
    return freemem();
  }
}
