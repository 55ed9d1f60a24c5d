/**
 * How many requests for one stretch of a file are under way at a time, depending on the network. One connection brings at most one TCP
 * window in each round trip, and a long line could carry many. So while the computation waits for bytes, twice as many requests are
 * tried. They stay if they bring more bytes, and are given up otherwise. If nobody waits, half as many are enough. A server that is too
 * busy gets fewer requests.
 */

export interface RequestCount {
  /** May a stretch that has `own` requests under way begin one more? The first is always allowed. */
  take(own: number): boolean;
  /** A request is over, and `left` of the stretch are still under way. */
  give(left: number): void;
  /** Somebody waits for bytes. */
  wait(): void;
  /** The wait is over, and so many bytes came. */
  came(bytes: number): void;
  /** The server has too many requests. */
  busy(): void;
}

/** Requests of one stretch: at first, at most, and if nobody waits. With two, the next answer begins before the last one is over. */
const FIRST = 4;
const MOST = 8;
const ENOUGH = 2;
/** A period of measurement, in milliseconds. */
const PERIOD = 1000;
/** Periods until new connections are at full speed: over 200 ms, TCP's slow start takes two seconds to a window of 6 MB. */
const SETTLING = 2;
/** More requests stay if they bring so many times the bytes. */
const GAIN = 1.1;
/** The share of the time spent on waiting for bytes above which more requests are tried, and below which there are fewer. */
const WAITING = 0.5;
const SPARE = 0.1;
/** Periods without a new attempt after one that did not help. */
const REST = 30;

/**
 * @param all how many requests may be under way for all stretches together, besides the first of each. Each stretch gets the same share.
 * @param clock in milliseconds.
 */
export function newRequestCount(all: number, clock: () => number = () => performance.now()): RequestCount {
  let underWay = 0;
  let stretches = 0;
  let count = FIRST;
  /** Bytes a millisecond with half as many requests; null if no attempt is under way. */
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
