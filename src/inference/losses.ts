/** The nats of every id of a text, from logits that arrive some rows at a time. */

export interface Losses {
  /** Logits [first, first + logits.length) for the id after the one at `place`. All of them arrive, in order. */
  take(place: number, first: number, logits: Float32Array): void;
  /** The nats of ids[i + 1]. */
  finish(): Float64Array;
}

interface Running {
  /** The largest logit so far, and the sum of e^(logit - most). */
  most: number;
  sum: number;
  /** The logit of the id that comes next. */
  own: number;
}

/** log(Σ e^logit) - logit, in F64, summed in the order of the vocabulary. */
export function startLosses(ids: readonly number[]): Losses {
  const running = Array.from(
    { length: Math.max(0, ids.length - 1) },
    (): Running => ({ most: Number.NEGATIVE_INFINITY, sum: 0, own: 0 }),
  );
  return {
    take(place, first, logits) {
      const state = running[place];
      if (state === undefined) {
        return;
      }
      let most = state.most;
      for (const logit of logits) {
        most = Math.max(most, logit);
      }
      let sum = state.sum * Math.exp(state.most - most);
      for (const logit of logits) {
        sum += Math.exp(logit - most);
      }
      state.most = most;
      state.sum = sum;
      const own = (ids[place + 1] ?? 0) - first;
      if (own >= 0 && own < logits.length) {
        state.own = logits[own] ?? 0;
      }
    },
    finish: () => Float64Array.from(running, ({ most, sum, own }) => most + Math.log(sum) - own),
  };
}
