/** What a pass gathers for each text: its losses, and the logits after it. */
import { startLosses } from "./losses.js";
import type { Said, Text } from "./model.js";

export interface LogitGathering {
  /** Are the logits after the id at this place wanted? */
  wants(place: number): boolean;
  /** Logits [first, first + logits.length) after the id at this place. */
  take(place: number, first: number, logits: Float32Array): void;
  finish(): Said;
}

export function gather({ ids, wanted }: Text, vocabulary: number): LogitGathering {
  const last = wanted === "losses" ? null : new Float32Array(vocabulary);
  const losses = wanted === "last" ? null : startLosses(ids);
  const isLast = (place: number): boolean => place === ids.length - 1;
  return {
    wants: (place) => (isLast(place) ? last : losses) !== null,
    take(place, first, logits) {
      losses?.take(place, first, logits);
      if (isLast(place)) {
        last?.set(logits, first);
      }
    },
    finish: () => ({ last, losses: losses?.finish() ?? null }),
  };
}
