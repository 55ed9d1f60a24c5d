/**
 * Memory that workers share with who runs their jobs: the inputs of a step for all of them, and its products. A step's inputs are put
 * in once the products of the one before were taken out, so there is room for one of each.
 */

/** Plain data: it crosses to the threads. */
export interface ExchangeMemory {
  /** The step that has begun; whether there will be no other; how many tokens it has. */
  readonly state: SharedArrayBuffer;
  /** F32 values: those of the first token, then those of the next one. */
  readonly inputs: SharedArrayBuffer;
  readonly outputs: SharedArrayBuffer;
}

const STEP = 0;
const OVER = 1;
const TOKENS = 2;

/** Room for as many F32 values. */
export function createExchange(inputs: number, outputs: number): ExchangeMemory {
  return {
    state: new SharedArrayBuffer(12),
    inputs: new SharedArrayBuffer(4 * inputs),
    outputs: new SharedArrayBuffer(4 * outputs),
  };
}

/** The inputs of `step` are there: whoever waits for them goes on. Steps begin one after the other, from 1. */
export function beginStep({ state }: ExchangeMemory, step: number, tokens: number): void {
  const words = new Int32Array(state);
  Atomics.store(words, TOKENS, tokens);
  Atomics.store(words, STEP, step);
  Atomics.notify(words, STEP);
}

/** No step will begin any more: whoever waits for one gives up. */
export function endSteps({ state }: ExchangeMemory): void {
  const words = new Int32Array(state);
  Atomics.store(words, OVER, 1);
  Atomics.store(words, STEP, 2 ** 31 - 1);
  Atomics.notify(words, STEP);
}

/** A worker that waits looks up this often whether the run has ended. */
const LOOK_EVERY_MS = 250;

/** Waits until the step has begun. @returns its tokens; 0 if it has none, or never begins. */
export async function stepBegun({ state }: ExchangeMemory, step: number, aborted: () => boolean): Promise<number> {
  const words = new Int32Array(state);
  while (!aborted()) {
    const now = Atomics.load(words, STEP);
    if (now >= step) {
      return Atomics.load(words, OVER) === 1 ? 0 : Atomics.load(words, TOKENS);
    }
    // A thread that blocked here would not see its own reads come in. Such a wait alone does not keep a thread alive; a timer does.
    const alive = setTimeout(() => {}, 2 * LOOK_EVERY_MS);
    await Atomics.waitAsync(words, STEP, now, LOOK_EVERY_MS).value;
    clearTimeout(alive);
  }
  return 0;
}
