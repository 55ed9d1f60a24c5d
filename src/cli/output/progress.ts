/** The progress of a run: a bar on a terminal, otherwise a plain line every few seconds, or figures for a program; always on stderr. */
import { printable } from "../../formats/quote.js";
import { bytesText } from "../../run/preflight.js";
import type { ProgressState } from "../../run/run-plan.js";

export interface ProgressPrinter {
  update(state: ProgressState): void;
  /** Clears the bar, before other text or at the end. */
  stop(): void;
}

/** How often plain lines come: some 400 in the log of an hour. */
const LINE_EVERY_MS = 8000;
const BAR_EVERY_MS = 100;
const EVENT_EVERY_MS = 250;
/** The rate covers the last seconds, so a cold start does not spoil the estimate for long. */
const RATE_WINDOW_MS = 5000;

/** A bar if `stream` is a terminal, lines otherwise. */
export async function openProgress(stream: NodeJS.WriteStream): Promise<ProgressPrinter> {
  return stream.isTTY === true ? barPrinter(stream) : linePrinter((line) => stream.write(line));
}

/** For tests: `write` takes the lines, `now` returns milliseconds. */
export function linePrinter(
  write: (line: string) => void,
  now: () => number = () => performance.now(),
): ProgressPrinter {
  const rate = rateMeter(now);
  let last = now();
  return {
    update(state) {
      const speed = rate(state.done);
      if (now() - last >= LINE_EVERY_MS) {
        last = now();
        write(`weight-diff: ${progressText(state, speed)}\n`);
      }
    },
    stop() {},
  };
}

/** For programs: bytes done and in all, bytes per second, and the place in the run. The first and the last update are always reported. */
export function eventPrinter(
  tell: (fields: object) => void,
  now: () => number = () => performance.now(),
): ProgressPrinter {
  const rate = rateMeter(now);
  let last = Number.NEGATIVE_INFINITY;
  return {
    update({ done, total, shard, tensor }) {
      const speed = rate(done);
      if (done >= total || now() - last >= EVENT_EVERY_MS) {
        last = now();
        tell({ done, total, bytes_per_second: Math.round(speed), file: shard, tensor });
      }
    },
    stop() {},
  };
}

async function barPrinter(stream: NodeJS.WriteStream): Promise<ProgressPrinter> {
  const { SingleBar } = await import("cli-progress");
  const bar = new SingleBar({
    format: "{bar} {text}",
    stream,
    clearOnComplete: true,
    hideCursor: true,
    barsize: 20,
    noTTYOutput: false,
    stopOnComplete: false,
    linewrap: false,
    gracefulExit: false,
  });
  const rate = rateMeter(() => performance.now());
  let last = 0;
  let running = false;
  return {
    update(state) {
      const speed = rate(state.done);
      if (performance.now() - last < BAR_EVERY_MS) {
        return;
      }
      last = performance.now();
      const text = progressText(state, speed);
      if (running) {
        bar.setTotal(state.total);
        bar.update(state.done, { text });
      } else {
        bar.start(state.total, state.done, { text });
        running = true;
      }
    },
    stop() {
      if (running) {
        bar.stop();
        running = false;
      }
    },
  };
}

/** For example "41 % of 53.9 GB, 2.31 GB/s, 14 s left, model-00002-of-00006.safetensors model.layers.9.mlp.up_proj.weight". */
export function progressText(state: ProgressState, bytesPerSecond: number): string {
  const share = state.total === 0 ? 100 : Math.floor((100 * state.done) / state.total);
  const left =
    bytesPerSecond > 0 ? `${durationText((state.total - state.done) / bytesPerSecond)} left` : "time left unknown";
  const where = [state.shard, state.tensor].flatMap((name) => (name === null ? [] : [printable(name)])).join(" ");
  return `${share} % of ${bytesText(state.total)}, ${bytesText(Math.round(bytesPerSecond))}/s, ${left}, ${where}`;
}

export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const minutes = Math.floor(whole / 60);
  return minutes === 0
    ? `${whole} s`
    : minutes < 60
      ? `${minutes} min ${whole % 60} s`
      : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Bytes per second during the last seconds. */
function rateMeter(now: () => number): (done: number) => number {
  const samples: { readonly at: number; readonly done: number }[] = [{ at: now(), done: 0 }];
  return (done) => {
    const at = now();
    // The count starts again in another phase, and goes back if something is fetched again.
    if (done < (samples.at(-1)?.done ?? 0)) {
      samples.length = 0;
    }
    samples.push({ at, done });
    while (samples.length > 2 && at - (samples[1]?.at ?? at) > RATE_WINDOW_MS) {
      samples.shift();
    }
    const first = samples[0] ?? { at, done };
    return at > first.at ? (1000 * (done - first.done)) / (at - first.at) : 0;
  };
}
