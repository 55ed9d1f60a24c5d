/**
 * A stretch of a file that is read in order, by one request for all of it: the next bytes are on their way while the last ones are used.
 * Nothing is buffered here: while nobody asks for bytes, they wait on the connection, and the server waits too. A request for each read
 * would cost a round trip to the Hub, and a connection that was idle in between begins slowly again (RFC 5681, 4.1).
 */
import type { RangeReader } from "./ranges.js";

export interface Ahead {
  /** The first byte that nobody has asked for yet. */
  next(): number;
  /** Where the stretch ends. */
  readonly end: number;
  /** Does nobody wait for bytes of it? */
  idle(): boolean;
  /** Fills `target` with the next bytes. @throws {WeightDiffError} as RangeReader.stream. */
  read(target: Uint8Array): Promise<void>;
  /** Ends the request; whoever waits for bytes gets `reason`. */
  stop(reason: Error): void;
  /** Settles when the request is over, however it ended. */
  readonly over: Promise<void>;
  /** What ended it before its last byte. */
  fault(): { readonly reason: unknown } | null;
}

interface Waiting {
  /** The part that is not filled yet. */
  rest: Uint8Array;
  resolve(): void;
  reject(reason: unknown): void;
}

/** Asks for the bytes from `begin` to `end`. */
export function readAhead(ranges: RangeReader, begin: number, end: number): Ahead {
  const stop = new AbortController();
  const waiting: Waiting[] = [];
  let next = begin;
  let fault: { readonly reason: unknown } | null = null;
  let wake = (): void => {};
  stop.signal.addEventListener("abort", () => wake());

  const take = async (piece: Uint8Array): Promise<void> => {
    for (let left = piece; left.length > 0; ) {
      const [first] = waiting;
      if (first === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        stop.signal.throwIfAborted();
        continue;
      }
      const part = left.subarray(0, first.rest.length);
      first.rest.set(part);
      first.rest = first.rest.subarray(part.length);
      left = left.subarray(part.length);
      if (first.rest.length === 0) {
        waiting.shift();
        first.resolve();
      }
    }
  };
  const over = ranges.stream(begin, end, take, stop.signal).catch((reason: unknown) => {
    fault = { reason };
    for (const { reject } of waiting.splice(0)) {
      reject(reason);
    }
  });
  return {
    next: () => next,
    end,
    idle: () => waiting.length === 0,
    over,
    fault: () => fault,
    read(target) {
      if (fault !== null) {
        return Promise.reject(fault.reason);
      }
      next += target.length;
      return new Promise((resolve, reject) => {
        waiting.push({ rest: target, resolve, reject });
        wake();
      });
    },
    stop: (reason) => stop.abort(reason),
  };
}
