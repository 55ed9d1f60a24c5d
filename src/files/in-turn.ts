/**
 * A pipe has no positions: reads and writes happen in one order. A caller with a position waits here until everything before it is done.
 * One failure, or the end of the run, ends all callers, the one at work included.
 */
export interface Turns {
  /** The position that is reached. */
  readonly at: number;
  /**
   * Runs `action` once everything before `position` is done.
   * @param action returns the number of bytes by which it moved on.
   * @throws whatever `action` throws, or the failure that ended the others.
   */
  take(position: number, action: () => Promise<number>): Promise<number>;
  /** Ends everything, even an action from which the system does not return. */
  end(reason: unknown): void;
}

/** @param start the first position. */
export function inTurn(start: number): Turns {
  const waiting = new Map<number, () => void>();
  let at = start;
  let ended: { readonly reason: unknown } | null = null;
  let give: (reason: unknown) => void = () => {};
  const end = (reason: unknown): void => {
    ended ??= { reason };
    give(ended.reason);
    for (const wake of waiting.values()) {
      wake();
    }
  };
  return {
    get at() {
      return at;
    },
    async take(position, action) {
      while (ended === null && position !== at) {
        await new Promise<void>((resolve) => waiting.set(position, resolve));
        waiting.delete(position);
      }
      if (ended !== null) {
        throw (ended as { readonly reason: unknown }).reason;
      }
      try {
        const count = await new Promise<number>((resolve, reject) => {
          give = reject;
          action().then(resolve, reject);
        });
        at += count;
        waiting.get(at)?.();
        return count;
      } catch (error) {
        end(error);
        throw error;
      }
    },
    end,
  };
}
