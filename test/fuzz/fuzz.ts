/** Feeds mutated inputs to the readers, and stops at the first that neither returns nor throws a WeightDiffError in time. */
import { WeightDiffError } from "../../src/errors.js";
import { mutate, type Random, random } from "./mutate.js";
import { TARGETS, type Target } from "./targets.js";

export interface FuzzOptions {
  readonly seed: number;
  /** Inputs. */
  readonly count: number;
  /** Seconds after which it ends all the same. */
  readonly seconds: number;
  /** Only these targets. */
  readonly only?: readonly string[];
  readonly onProgress?: (done: number) => void;
}

export interface FuzzResult {
  readonly inputs: number;
  /** By target: how many inputs, and how many were read without an error. */
  readonly targets: ReadonlyMap<string, { readonly inputs: number; readonly read: number }>;
}

/** Of the processor: others may share the machine. No honest reader takes that long for a few kilobytes. */
const SLOW_MS = 2000;
const BLOCK = 256;

/** @throws {Error} naming target, seed and input (base64) of the first failure. */
export async function fuzz({ seed, count, seconds, only = [], onProgress }: FuzzOptions): Promise<FuzzResult> {
  const targets = TARGETS.filter(({ name }) => only.length === 0 || only.includes(name));
  const unknown = only.filter((wanted) => !TARGETS.some(({ name }) => name === wanted));
  if (unknown.length > 0) {
    throw new Error(
      `no reader is called ${unknown.join(", ")}; there are ${TARGETS.map(({ name }) => name).join(", ")}`,
    );
  }
  const wheel = targets.flatMap((target) => Array.from({ length: target.share }, () => target));
  const counts = new Map(targets.map(({ name }) => [name, { inputs: 0, read: 0 }]));
  const end = performance.now() + seconds * 1000;
  let done = 0;
  while (done < count && performance.now() < end) {
    // Every block can be made again by itself.
    const own = seed + Math.floor(done / BLOCK);
    const next = random(own);
    for (let index = 0; index < BLOCK && done < count; index++, done++) {
      const target = wheel[next(wheel.length)];
      if (target !== undefined) {
        const tally = counts.get(target.name) ?? { inputs: 0, read: 0 };
        tally.inputs++;
        tally.read += (await survives(target, inputOf(target, next), own)) ? 1 : 0;
      }
    }
    onProgress?.(done);
  }
  return { inputs: done, targets: counts };
}

function inputOf({ seeds, shell }: Target, next: Random): Uint8Array {
  const pick = (): Uint8Array => seeds[next(seeds.length)] ?? new Uint8Array(1);
  // Half of them with the shell made anew, so that what is inside is reached.
  if (shell !== undefined && next(2) === 0) {
    return shell.close(mutate(shell.open(pick()), shell.open(pick()), next));
  }
  const whole = shell === undefined ? pick() : shell.close(shell.open(pick()));
  return mutate(whole, pick(), next);
}

async function survives(target: Target, bytes: Uint8Array, seed: number): Promise<boolean> {
  const started = process.cpuUsage();
  let read = true;
  try {
    await target.read(bytes);
  } catch (error) {
    if (!(error instanceof WeightDiffError)) {
      throw failure(target, bytes, seed, error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    read = false;
  }
  const { user, system } = process.cpuUsage(started);
  const took = (user + system) / 1000;
  if (took > SLOW_MS) {
    throw failure(target, bytes, seed, `took ${Math.round(took)} ms of the processor`);
  }
  return read;
}

function failure({ name }: Target, bytes: Uint8Array, seed: number, what: string): Error {
  const input = Buffer.from(bytes).toString("base64");
  return new Error(
    `${name}: ${what}\nagain: npm run fuzz -- --seed ${seed} --count ${BLOCK} --only "${name}"\ninput: ${input}`,
  );
}
