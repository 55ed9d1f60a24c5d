/**
 * How many requests for one stretch of a file are under way at a time, by what the line gives. One connection brings no more than TCP's
 * window in the time to the server and back, and a long line could bring many. So while whoever computes waits for bytes, twice as many are
 * tried; they stay if more bytes come by them, else they are given up again. Where nobody waits, half as many are enough. A server that is
 * too busy is asked for fewer.
 */

export interface RequestCount {
  /** May a stretch with `own` under way begin one more? The first is always its own. */
  take(own: number): boolean;
  /** One is over, and `left` of the stretch are under way. */
  give(left: number): void;
  /** Somebody waits for bytes. */
  wait(): void;
  /** He waits no more, and so many came. */
  came(bytes: number): void;
  /** A server cannot answer as many as it is asked. */
  busy(): void;
}

/** For one stretch: in the beginning, at most, and where they are more than enough. With two, the next answer begins before one is over. */
const FIRST = 4;
const MOST = 8;
const ENOUGH = 2;
/** What is measured at a time, in milliseconds. */
const PERIOD = 1000;
/** Periods until new connections bring what they can: over 200 ms, TCP's slow start takes two seconds to a window of 6 MB. */
const SETTLING = 2;
/** More bytes, by the factor, than fewer requests brought. */
const GAIN = 1.1;
/** Of the time, how much must be waited for bytes before more are tried, and how little before there are fewer. */
const WAITING = 0.5;
const SPARE = 0.1;
/** Periods without a new attempt after one that did not help. */
const REST = 30;

/**
 * @param all requests under way for all stretches together, beyond the first of each; each has as many as another.
 * @param clock in milliseconds.
 */
export function newRequestCount(all: number, clock: () => number = () => performance.now()): RequestCount {
  let underWay = 0;
  let stretches = 0;
  let count = FIRST;
  /** Bytes a millisecond with half as many; null where nothing is tried. */
  let before: number | null = null;
  let settling = 0;
  let rest = 0;
  let since = clock();
  let bytes = 0;
  let waiters = 0;
  let waitingSince = 0;
  let waited = 0;

  const decide = (): void => {
    const now = clock();
    const ms = now - since;
    if (ms < PERIOD) {
      return;
    }
    const share = (waited + (waiters > 0 ? now - Math.max(waitingSince, since) : 0)) / ms;
    const rate = bytes / ms;
    since = now;
    bytes = 0;
    waited = 0;
    if (settling > 0) {
      settling--;
    } else if (before !== null) {
      if (rate < before * GAIN) {
        count /= 2;
        rest = REST;
      }
      before = null;
    } else if (share < SPARE) {
      count = Math.max(Math.min(count, ENOUGH), count / 2);
    } else if (rest > 0) {
      rest--;
    } else if (share >= WAITING && count < Math.min(MOST, all / Math.max(stretches, 1))) {
      before = rate;
      count *= 2;
      settling = SETTLING;
    }
  };
  return {
    take(own) {
      decide();
      if (own > 0 && (own >= count || own >= all / stretches || underWay >= all)) {
        return false;
      }
      stretches += own === 0 ? 1 : 0;
      underWay++;
      return true;
    },
    give(left) {
      stretches -= left === 0 ? 1 : 0;
      underWay--;
    },
    wait() {
      if (waiters === 0) {
        waitingSince = clock();
      }
      waiters++;
    },
    came(more) {
      bytes += more;
      waiters--;
      if (waiters === 0) {
        waited += clock() - Math.max(waitingSince, since);
      }
      decide();
    },
    busy() {
      count = Math.max(1, Math.floor(count / 2));
      before = null;
      rest = REST;
    },
  };
}
