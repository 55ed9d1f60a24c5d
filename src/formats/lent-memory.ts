/**
 * Memory that one reader after the other uses. The 64 steps of a chain for a mixture of experts have headers and indexes of 600 MB, one of which
 * is looked at at a time. New memory for each would take longer than reading it: the system must first fill it with zeros, and V8 collects the
 * heap every few megabytes.
 */

/** Gives memory of so many bytes, which may hold anything. */
export type Lend = (length: number) => Uint8Array;

/** What nobody uses just now. If it is not wanted again soon, it is collected. */
const idle: WeakRef<Uint8Array>[] = [];

/** @param use must keep nothing of what it was lent. */
export async function withLentMemory<T>(use: (lend: Lend) => Promise<T>): Promise<T> {
  const lent: Uint8Array[] = [];
  try {
    return await use((length) => {
      const found = idle.pop()?.deref();
      const memory = found !== undefined && found.length >= length ? found : new Uint8Array(length);
      lent.push(memory);
      return memory.subarray(0, length);
    });
  } finally {
    idle.push(...lent.map((memory) => new WeakRef(memory)));
  }
}
