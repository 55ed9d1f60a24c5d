/** status: the progress of the parts of a run, as text or JSON. */
import { type PartStatus, type StatusReport, status } from "../../commands/status.js";
import { printable } from "../../formats/quote.js";
import { bytesText } from "../../run/preflight.js";
import type { Asked } from "../flags/flag.js";
import { json } from "../output/json.js";
import { durationText } from "../output/progress.js";
import { lineText } from "../output/text.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["status"],
  _: During,
  print: (text: string) => void,
  library = { status },
): Promise<number> {
  const report = await library.status(options);
  print((look.format === "json" ? statusJson : statusText)(report));
  return 0;
}

function statusText({ path, state, parts, done, total, rate, secondsLeft }: StatusReport): string {
  if (state === "finished") {
    return `${path} is finished\n`;
  }
  const finished = parts.filter((part) => part.state === "finished").length;
  const share = total === null ? bytesText(done) : `${bytesText(done)} of ${bytesText(total)}`;
  const left = secondsLeft === null ? "" : `, ${bytesText(Math.round(rate))}/s, ${durationText(secondsLeft)} left`;
  const lines = parts.map(partLine);
  return `${[`${path}: ${finished} of ${parts.length} parts finished, ${share}${left}`, ...lines].join("\n")}\n`;
}

const WORDS: Readonly<Record<PartStatus["state"], string>> = {
  waiting: "waiting",
  running: "running",
  finished: "finished",
  failed: "failed",
  stopped: "stopped",
  ended: "ended before it was done",
  silent: "has gone silent",
};

function partLine({ index, count, state, host, pid, done, total, rate, error }: PartStatus): string {
  const who = host === null || state === "finished" ? "" : ` on ${printable(host)}, process ${pid}`;
  const far = total === null || state === "finished" ? "" : `, ${bytesText(done)} of ${bytesText(total)}`;
  const speed = state === "running" ? `, ${bytesText(rate)}/s` : "";
  const why = error === null ? "" : `: ${lineText(error.message)}`;
  return `  ${index}/${count}  ${WORDS[state]}${who}${far}${speed}${why}`;
}

function statusJson({ path, state, parts, done, total, rate, secondsLeft }: StatusReport): string {
  return json({
    command: "status",
    output: path,
    state,
    parts: parts.map(({ index, count, ...part }) => ({ part: `${index}/${count}`, ...part })),
    done,
    total,
    rate,
    seconds_left: secondsLeft === null ? null : Math.round(secondsLeft),
  });
}
