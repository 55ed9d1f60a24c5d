/** Splits texts of any length into rounds: tokens that fit the memory of a pass and go through the weights together. */
import type { Text } from "./model.js";

/** Ids of one text in a round. */
interface Stretch {
  /** Index of the text. */
  readonly text: number;
  /** Null if nothing will follow. */
  readonly key: string | null;
  readonly ids: readonly number[];
  /** How many ids of the text were in earlier rounds of this call. */
  readonly done: number;
}

export type Round = readonly Stretch[];

/** The key for a text without one. */
export function ownKey(text: number): string {
  return `\0${text}`;
}

/** Texts of up to `most` tokens share a round. A longer text takes several rounds, and its state is kept between them. */
export function roundsOf(texts: readonly Text[], most: number): readonly Round[] {
  const rounds: Stretch[][] = [];
  let room = 0;
  texts.forEach(({ key, ids }, text) => {
    for (let done = 0; done < ids.length; ) {
      if (room === 0) {
        rounds.push([]);
        room = most;
      }
      const some = ids.slice(done, done + room);
      // A text without a key is not kept between calls, but it must be kept between rounds.
      const kept = some.length < ids.length ? (key ?? ownKey(text)) : key;
      rounds.at(-1)?.push({ text, key: kept, ids: some, done });
      done += some.length;
      room -= some.length;
    }
  });
  return rounds;
}

export function tokensOf(round: Round): number {
  return round.reduce((sum, { ids }) => sum + ids.length, 0);
}
