/** Flags of the run itself: how it works, and how it is shown. The last ones are other scripts' and mean nothing here. */
import { type CommandName, type Flag, flag, foreignFlag } from "./flag.js";
import { READERS } from "./hub.js";
import { oneOf, text, threads } from "./values.js";

/** Of commands that keep the user waiting. */
const WORKERS = [...READERS, "sign"] as const satisfies readonly CommandName[];

const TENSORS = [
  "recover",
  "make-diff",
  "convert",
  "finalize",
  "verify",
  "inspect",
  "chain-verify",
  "chain-materialize",
  "chain-fold",
  "chain-make",
  "report",
  "push",
  "sign",
] as const satisfies readonly CommandName[];

export const RUN: readonly Flag[] = [
  flag({
    name: "dry-run",
    commands: ["recover", "make-diff", "convert", "xor", "chain-materialize", "chain-fold", "chain-make"],
    option: "dryRun",
    sets: true,
    group: "run",
    help: "print what would be done, and stop",
  }),
  flag({
    name: "dry-run",
    commands: ["push"],
    option: "dryRun",
    sets: true,
    group: "run",
    help: "check and compare, say what would be sent, and stop",
  }),
  flag({
    name: "threads",
    commands: TENSORS,
    option: "threads",
    takes: "N",
    schema: threads,
    default: "the processors there are, at most 8",
    group: "run",
    help: "worker threads",
  }),
  flag({
    name: "no-direct-io",
    commands: TENSORS,
    option: "directIo",
    sets: false,
    group: "run",
    help: "read and write through the page cache",
  }),
  flag({
    name: "tensors",
    commands: ["inspect"],
    option: "look.tensors",
    sets: true,
    group: "run",
    help: "list every tensor",
  }),
  flag({
    name: "json",
    commands: [...WORKERS, "status", "schemes"],
    option: "look.format",
    sets: "json",
    group: "run",
    help: "print the result, or the error, as one JSON document on stdout",
  }),
  flag({
    name: "format",
    commands: ["verify"],
    option: "look.format",
    takes: "FORMAT",
    schema: oneOf(["text", "json", "github"]),
    default: "text",
    group: "run",
    help: "text, json, or github (annotations for a workflow)",
  }),
  flag({
    name: "summary",
    commands: ["verify"],
    option: "look.summary",
    takes: "FILE",
    schema: text,
    group: "run",
    help: "append a summary in Markdown to FILE, as $GITHUB_STEP_SUMMARY",
  }),
  flag({
    name: "quiet",
    commands: WORKERS,
    option: "look.quiet",
    sets: true,
    group: "run",
    help: "say nothing on stderr but warnings and errors",
  }),
  flag({
    name: "no-progress",
    commands: WORKERS,
    option: "look.progress",
    sets: false,
    group: "run",
    help: "show no progress",
  }),
  flag({
    name: "events",
    commands: WORKERS,
    option: "look.events",
    sets: true,
    group: "run",
    help: "stderr for programs: each note, warning, error and step of progress is one line of JSON",
  }),
  foreignFlag(
    "device",
    ["recover", "make-diff"],
    "everything is computed on the CPU, with the bits that torch gives on a CPU",
  ),
  foreignFlag("test_inference", ["recover"], "no text is generated; the checks compare digests and sums instead"),
  foreignFlag("model_type", ["recover"], "names and shapes tell; the script's choice of a sum is --expect-sum"),
];
