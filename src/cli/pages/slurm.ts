/**
 * A script for Slurm. When run with bash, it submits itself as an array with one task for each part, and a job that waits for all of them
 * (slurm.schedmd.com/sbatch.html: --array, --dependency=afterok, --requeue, --signal).
 */
import type { BatchRequest } from "../flags/flag.js";
import { shellWord } from "../output/shell.js";
import type { DividedCall } from "./kubernetes.js";

/** How often a part is tried again after a failure of disk or network, or after it was ended from outside. */
const RETRIES = 5;

export function slurmScript(
  { make, finalize, folder }: DividedCall,
  { parts, atOnce, name = "weight-diff", cpus = 4, memory = "1G", time, partition }: BatchRequest,
): string {
  const line = (words: readonly string[]): string => words.map(shellWord).join(" ");
  const shared = [
    `--chdir=${shellWord(folder)}`,
    `--mem=${memory}`,
    ...(time === undefined ? [] : [`--time=${time}`]),
    ...(partition === undefined ? [] : [`--partition=${partition}`]),
  ];
  const own = [
    `--job-name=${name}`,
    `--array=0-${parts - 1}${atOnce === undefined ? "" : `%${atOnce}`}`,
    `--cpus-per-task=${cpus}`,
    ...shared,
    "--requeue",
    "--open-mode=append",
    `--output=${name}-%A_%a.log`,
    "--signal=B:USR1@120",
  ];
  return `#!/bin/bash
${own.map((option) => `#SBATCH ${option}`).join("\n")}
#
# Run this file with bash: it submits ${parts} part${parts === 1 ? "" : "s"}, and then the job that puts them together.
# Run it again to go on after a failure: parts that are finished are only verified.

if [ -z "\${SLURM_ARRAY_TASK_ID:-}" ]; then
  array=$(sbatch --parsable "$0") || exit
  array=\${array%%;*}
  echo "the parts are job $array"
  exec sbatch --dependency="afterok:$array" --kill-on-invalid-dep=yes --job-name=${name}-finalize \\
    --output=${name}-finalize-%j.log ${shared.join(" ")} \\
    --wrap=${shellWord(`exec ${line(finalize)}`)}
fi

${line(make)} &
part=$!
again=no
stop=no
trap 'again=yes; kill -TERM "$part" 2>/dev/null' USR1 # the time is nearly up
trap 'stop=yes; kill -TERM "$part" 2>/dev/null' TERM  # somebody ends the job
wait "$part"
code=$?
while kill -0 "$part" 2>/dev/null; do
  wait "$part"
  code=$?
done

# 5: disk or network; 137, 143: ended from outside. Anything else would only happen again.
case "$code" in
  5 | 137 | 143) [ "$stop" = no ] && again=yes ;;
  *) again=no ;;
esac
if [ "$again" = yes ] && [ "\${SLURM_RESTART_COUNT:-0}" -lt ${RETRIES} ]; then
  scontrol requeue "\${SLURM_ARRAY_JOB_ID}_\${SLURM_ARRAY_TASK_ID}" && sleep 60 # until Slurm ends this task
fi
exit "$code"
`;
}
