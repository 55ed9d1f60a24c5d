/**
 * Memory that workers share with the thread that runs their jobs. It holds the inputs of one step and its products. The inputs of a step are put
 * in only after the products of the step before were taken out, so there is room for one step.
 */

/** Plain data: it crosses to the threads. */
export interface ExchangeMemory {
  /** The number of the step that has begun; whether it is the end; how many tokens the step has. */
  readonly state: SharedArrayBuffer;
  /** F32 values, token after token. */
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

/** Says that the inputs of `step` are there, so workers that wait for them go on. Steps are numbered from 1. */
export function beginStep({ state }: ExchangeMemory, step: number, tokens: number): void {
  const words = new Int32Array(state);
  Atomics.store(words, TOKENS, tokens);
  Atomics.store(words, STEP, step);
  Atomics.notify(words, STEP);
}

/** Says that no more steps will begin, so workers that wait for one give up. */
export function endSteps({ state }: ExchangeMemory): void {
  const words = new Int32Array(state);
  Atomics.store(words, OVER, 1);
  Atomics.store(words, STEP, 2 ** 31 - 1);
  Atomics.notify(words, STEP);
}

/** How often a waiting worker checks whether the run has ended. */
const LOOK_EVERY_MS = 250;

/** Waits until the step has begun. @returns how many tokens it has; 0 if it has none, or never begins. */
export async function stepBegun({ state }: ExchangeMemory, step: number, aborted: () => boolean): Promise<number> {
  const words = new Int32Array(state);
  while (!aborted()) {
    const now = Atomics.load(words, STEP);
    if (now >= step) {
      return Atomics.load(words, OVER) === 1 ? 0 : Atomics.load(words, TOKENS);
    }
    // A thread that blocks here would not notice that its reads are done. An asynchronous wait does not keep a thread alive, but a timer does.
    const alive = setTimeout(() => {}, 2 * LOOK_EVERY_MS);
    await Atomics.waitAsync(words, STEP, now, LOOK_EVERY_MS).value;
    clearTimeout(alive);
  }
  return 0;
}
