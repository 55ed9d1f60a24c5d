/**
 * A stretch of a file that is read in order, by several requests at a time, each for the next piece of it (request-count.ts says how many).
 * Bytes that come early wait on their connection, as with a single request: nothing is buffered here.
 */
import { type Ahead, readAhead } from "./ahead.js";
import type { RangeReader } from "./ranges.js";
import type { RequestCount } from "./request-count.js";

/**
 * Bytes of one request: four TCP windows at Linux's usual limit (tcp_rmem). With fewer, a connection spends much of its time on waiting for the
 * next request and on beginning slowly again: over 200 ms, pieces of one window took longer than a single request (docs/benchmarks.md).
 */
const PIECE = 25_165_824;

interface Waiting {
  /** The first byte that no request covers yet. */
  rest: Uint8Array;
  readonly parts: Promise<void>[];
  resolve(): void;
  reject(reason: unknown): void;
}

/** Asks for the bytes from `begin` to `end`. @param count says how many requests may be under way. */
export function readInPieces(
  ranges: RangeReader,
  begin: number,
  end: number,
  count: RequestCount,
  pieceBytes: number = PIECE,
): Ahead {
  /** Under way, in order. */
  const pieces: Ahead[] = [];
  const waiting: Waiting[] = [];
  let asked = begin;
  let next = begin;
  let reading = 0;
  let fault: { readonly reason: unknown } | null = null;
  let settle = (): void => {};
  const over = new Promise<void>((resolve) => {
    settle = resolve;
  });

  const fail = (reason: unknown): void => {
    fault ??= { reason };
    for (const piece of pieces) {
      piece.stop(reason as Error);
    }
    for (const { reject } of waiting.splice(0)) {
      reject(reason);
    }
  };
  const open = (): void => {
    while (fault === null && asked < end && count.take(pieces.length)) {
      const piece = readAhead(ranges, asked, Math.min(end, asked + pieceBytes));
      asked = piece.end;
      pieces.push(piece);
      piece.over.then(() => {
        pieces.splice(pieces.indexOf(piece), 1);
        count.give(pieces.length);
        const ended = piece.fault();
        if (ended !== null) {
          fail(ended.reason);
        }
        serve();
      });
    }
  };
  const serve = (): void => {
    open();
    for (let [first] = waiting; first !== undefined; [first] = waiting) {
      const piece = pieces.find((each) => each.next() < each.end);
      if (piece === undefined) {
        break;
      }
      const part = first.rest.subarray(0, piece.end - piece.next());
      const read = piece.read(part);
      read.catch(() => {}); // the reader gets it
      first.parts.push(read);
      first.rest = first.rest.subarray(part.length);
      if (first.rest.length === 0) {
        waiting.shift();
        Promise.all(first.parts).then(first.resolve, first.reject);
      }
    }
    if (pieces.length === 0 && (asked === end || fault !== null)) {
      settle();
    }
  };
  open();
  return {
    next: () => next,
    end,
    idle: () => reading === 0,
    over,
    fault: () => fault,
    read(target) {
      if (fault !== null) {
        return Promise.reject(fault.reason);
      }
      if (target.length === 0) {
        return Promise.resolve();
      }
      next += target.length;
      reading++;
      count.wait();
      const read = new Promise<void>((resolve, reject) => {
        waiting.push({ rest: target, parts: [], resolve: () => resolve(), reject });
        serve();
      });
      return read.finally(() => {
        reading--;
        count.came(target.length);
      });
    },
    stop(reason) {
      fail(reason);
      serve();
    },
  };
}
