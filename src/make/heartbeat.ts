/**
 * What a part reports about itself every few seconds while it runs: its progress, and that it is alive. The run ends if another machine
 * took the part over after a long silence.
 */
import { WeightDiffError } from "../errors.js";
import type { PartDirectory } from "../output/part.js";
import { BEAT_MS, type PartState, writeState } from "../output/part-state.js";
import type { ProgressState } from "../run/run-plan.js";

interface Heartbeat {
  /** Aborted once another run has taken over the part. */
  readonly signal: AbortSignal;
  progress(state: ProgressState): void;
  /** Writes the last report. */
  end(state: PartState["state"], error?: WeightDiffError): Promise<void>;
}

/** The rate is averaged over so many heartbeats. */
const RATE_BEATS = 5;

/** @param total bytes of this part. @param whole bytes of all parts. */
export async function startHeartbeat(
  output: Pick<PartDirectory, "folder" | "isMine">,
  { total, whole }: { readonly total: number; readonly whole: number },
): Promise<Heartbeat> {
  const lost = new AbortController();
  let now = { done: 0, total };
  let beat = 0;
  const past: { readonly at: number; readonly done: number }[] = [{ at: performance.now(), done: 0 }];
  const say = async (state: PartState["state"], error?: WeightDiffError): Promise<void> => {
    const at = performance.now();
    const first = past.at(-RATE_BEATS) ?? past[0] ?? { at, done: 0 };
    const rate = at > first.at ? Math.max(0, Math.round((1000 * (now.done - first.done)) / (at - first.at))) : 0;
    past.push({ at, done: now.done });
    past.splice(0, past.length - RATE_BEATS);
    beat++;
    const why = error === undefined ? {} : { error: { code: error.code, message: error.message.slice(0, 4000) } };
    await writeState(output.folder, { state, ...now, rate, whole, ...why }, beat);
  };
  await say("running");
  let pending: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    pending = pending
      .then(async () => {
        if (!(await output.isMine())) {
          clearInterval(timer);
          lost.abort(takenOver());
        } else {
          await say("running");
        }
      })
      .catch(() => {}); // the run itself reports a full disk
  }, BEAT_MS);
  timer.unref();
  return {
    signal: lost.signal,
    progress({ done, total: all }) {
      now = { done, total: all };
    },
    async end(state, error) {
      clearInterval(timer);
      await pending;
      if (await output.isMine()) {
        await say(state, error);
      }
    },
  };
}

function takenOver(): WeightDiffError {
  return new WeightDiffError(
    "OUTPUT_LOCKED",
    "another run has taken this part over, since nothing was heard of this one",
    "check that the machine and its network file system respond",
  );
}
