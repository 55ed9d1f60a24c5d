/** Parts 4 and 5: memory must not grow with the model, and the largest model there is must pass through. */
import { type Bench, clearOutput, outputOf, recoverCommand, weightDiff } from "./bench.js";
import { run } from "./measure.js";
import { prepareModel } from "./model.js";
import { megabytes, seconds, table } from "./table.js";

const LIMIT_SECONDS = 600;

/** Part 4: peak memory at two threads. The 7B replica consists of holes; nothing is written for it. */
export async function peaks(bench: Bench): Promise<void> {
  const rows: string[][] = [];
  for (const name of ["0.12G", "1.07G", "7B"] as const) {
    const model = await prepareModel(bench.dir, name);
    const written = ["--path_tuned", outputOf(bench)];
    for (const [what, args] of name === "7B"
      ? [["no", []] as const]
      : [["yes", written] as const, ["no", []] as const]) {
      await clearOutput(bench);
      const { peak, wall } = await run(recoverCommand(bench, model, "--threads", "2", ...args));
      rows.push([name, what, megabytes(peak), seconds(wall)]);
    }
  }
  table(bench.print, "4. peak memory at 2 threads", ["parameters", "written", "peak MB", "wall s"], rows);
  await clearOutput(bench);
}

/** Part 5: the real 65B layout as holes, planned and streamed for ten minutes at most. */
export async function huge(bench: Bench): Promise<void> {
  const model = await prepareModel(bench.dir, "65B");
  const planned = await run(recoverCommand(bench, model, "--dry-run"));
  const places = ["--path_raw", model.base, "--path_diff", model.diff];
  const streamed = await run(weightDiff(bench, "recover", ...places, "--json"), {
    limit: LIMIT_SECONDS,
    mayFail: true,
  });
  const done = streamed.code === 0 ? model.bytes : lastProgress(streamed.stderr);
  table(
    bench.print,
    `5. replica of 65B (${(model.bytes / 1e9).toFixed(0)} GB of holes)`,
    ["", "wall s", "user s", "sys s", "peak MB", "GB", "GB/s"],
    [
      [
        "planned (--dry-run)",
        seconds(planned.wall),
        seconds(planned.user),
        seconds(planned.system),
        megabytes(planned.peak),
      ],
      [
        streamed.code === 0 ? "streamed, all of it" : `streamed, stopped (exit code ${streamed.code})`,
        seconds(streamed.wall),
        seconds(streamed.user),
        seconds(streamed.system),
        megabytes(streamed.peak),
        (done / 1e9).toFixed(0),
        (done / streamed.wall / 1e9).toFixed(2),
      ],
    ],
  );
}

/** Bytes done by the last plain progress line, "41 % of 391 GB, …". */
function lastProgress(stderr: string): number {
  const [, share, total] = [...stderr.matchAll(/(\d+) % of ([\d.]+) GB/g)].at(-1) ?? [];
  return (Number(share ?? 0) / 100) * Number(total ?? 0) * 1e9;
}
