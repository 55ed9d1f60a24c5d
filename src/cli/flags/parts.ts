/** Flags for runs on several machines. */
import { MOST_PARTS, type PartNumber } from "../../output/part-names.js";
import { type CommandName, ENGINES, type Flag, flag } from "./flag.js";
import { bareOr, count, like, oneOf, partOf, text } from "./values.js";

const DIVIDED = ["recover", "make-diff", "convert"] as const satisfies readonly CommandName[];

const OUT = {
  name: "out",
  group: "inputs",
  schema: text,
  argument: true,
  option: "path",
  takes: "OUT",
  required: "give the output directory",
  help: "the output directory that was given to all parts",
} as const;

export const PARTS: readonly Flag[] = [
  flag({
    name: "part",
    commands: DIVIDED,
    option: "part",
    takes: "K/N",
    schema: partOf(MOST_PARTS, schedulerPart),
    group: "output",
    help: "make only part K of N, counted from 0; finalize puts the parts together; auto or auto/N: take K from the number of the Slurm or Kubernetes task",
  }),
  flag({
    name: "plan",
    commands: DIVIDED,
    option: "look.plan",
    takes: "N",
    bare: true,
    schema: bareOr(1, count(MOST_PARTS)),
    group: "run",
    help: "print what would be read and made, in N parts, and stop; with --json every file and tensor too",
  }),
  flag({ ...OUT, commands: ["finalize"] }),
  flag({ ...OUT, commands: ["status"] }),
  flag({
    name: "engine",
    commands: ["batch"],
    option: "engine",
    argument: true,
    takes: "ENGINE",
    schema: oneOf(ENGINES),
    required: "say what runs the parts",
    group: "inputs",
    help: ENGINES.join(", "),
  }),
  flag({
    name: "parts",
    commands: ["batch"],
    option: "parts",
    takes: "N",
    schema: count(MOST_PARTS),
    required: "give the number of parts",
    group: "output",
    help: "the number of parts",
  }),
  flag({
    name: "at-once",
    commands: ["batch"],
    option: "atOnce",
    takes: "N",
    schema: count(MOST_PARTS),
    default: "all",
    group: "output",
    help: "parts that run at the same time",
  }),
  flag({
    name: "name",
    commands: ["batch"],
    option: "name",
    takes: "NAME",
    schema: like(/^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$/, "a name of lower-case letters, digits and dashes"),
    default: "weight-diff",
    group: "output",
    help: "the name of the job",
  }),
  flag({
    name: "cpus",
    commands: ["batch"],
    option: "cpus",
    takes: "N",
    schema: count(1024),
    default: "4",
    group: "output",
    help: "processors for each part",
  }),
  flag({
    name: "memory",
    commands: ["batch"],
    option: "memory",
    takes: "SIZE",
    schema: like(/^[1-9]\d{0,6}[MG]$/, "a size such as 1G or 512M"),
    default: "1G",
    group: "output",
    help: "memory for each part, as 1G or 512M",
  }),
  flag({
    name: "time",
    commands: ["batch"],
    option: "time",
    takes: "TIME",
    schema: like(/^[\d:-]{1,20}$/, "a time such as 04:00:00"),
    group: "output",
    help: "slurm: the most time that a part may take",
  }),
  flag({
    name: "partition",
    commands: ["batch"],
    option: "partition",
    takes: "NAME",
    schema: like(/^[\w.,-]{1,100}$/, "the name of a partition"),
    group: "output",
    help: "slurm: where the parts run",
  }),
  flag({
    name: "image",
    commands: ["batch"],
    option: "image",
    takes: "IMAGE",
    schema: like(/^[\w./:@-]{1,300}$/, "the name of an image"),
    group: "output",
    help: "kubernetes: an image with weight-diff in it",
  }),
  flag({
    name: "claim",
    commands: ["batch"],
    option: "claim",
    takes: "NAME",
    schema: like(/^[a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?$/, "the name of a volume claim"),
    group: "output",
    help: "kubernetes: the PersistentVolumeClaim with the models; many must be able to write to it (ReadWriteMany)",
  }),
  flag({
    name: "mount",
    commands: ["batch"],
    option: "mount",
    takes: "PATH",
    schema: like(/^\/[\w./-]*$/, "a path from the root on"),
    default: "/data",
    group: "output",
    help: "kubernetes: where the claim is mounted",
  }),
];

/**
 * The part for this task of a scheduler, from its environment variables (slurm.schedmd.com/job_array.html; kubernetes.io/docs, "Indexed
 * Job").
 * @param count null if the scheduler must tell it.
 * @returns a message about what is wrong if the variables do not tell.
 */
export function schedulerPart(
  count: number | null,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): PartNumber | string {
  const number = (name: string): number | null =>
    /^\d{1,9}$/.test(environment[name] ?? "") ? Number(environment[name]) : null;
  const task = number("SLURM_ARRAY_TASK_ID");
  const completion = number("JOB_COMPLETION_INDEX");
  if (task === null && completion === null) {
    return "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set: give K/N";
  }
  if (count !== null) {
    const index = task ?? completion ?? 0;
    return index < count ? { index, count } : `the task is number ${index}, and parts count from 0 to ${count - 1}`;
  }
  if (task === null) {
    return "Kubernetes does not tell a task how many there are: give auto/N";
  }
  const [least, most, tasks] = ["MIN", "MAX", "COUNT"].map((which) => number(`SLURM_ARRAY_TASK_${which}`));
  if (least == null || most == null || tasks == null || tasks < 1) {
    return "SLURM_ARRAY_TASK_MIN, _MAX and _COUNT are not set: give auto/N";
  }
  return most - least + 1 === tasks
    ? { index: task - least, count: tasks }
    : `the array has ${tasks} tasks, numbered from ${least} to ${most}: some are left out, so give auto/N`;
}
