/** Texts of any length as rounds: tokens that fit the memory of a pass and go through the weights together. */
import type { Text } from "./model.js";

/** Ids of one text in a round. */
export interface Stretch {
  /** Place of the text. */
  readonly text: number;
  /** Null where nothing will follow. */
  readonly key: string | null;
  readonly ids: readonly number[];
  /** Of the text, how many ids came before these in earlier rounds of this call. */
  readonly done: number;
}

export type Round = readonly Stretch[];

/** Of a text that has no key of its own. */
export function ownKey(text: number): string {
  return `\0${text}`;
}

/** Texts of up to `most` tokens go together; a longer one goes in several rounds, and is kept meanwhile. */
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
      // What has no key is not kept between calls, but between rounds it must be.
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
