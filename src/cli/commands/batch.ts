/** batch: from a command line and a number of parts to a job for a scheduler, which makes the parts and puts them together. */
import { isDivisible } from "../../make/request.js";
import type { Asked } from "../flags/flag.js";
import { type Given, usage } from "../flags/given.js";
import { readFlags } from "../flags/read.js";
import { OUTPUTS } from "../flags/rules.js";
import { normaliseArgv } from "../line/argv.js";
import { parse } from "../line/parse.js";
import { type DividedCall, kubernetesJob } from "../pages/kubernetes.js";
import { slurmScript } from "../pages/slurm.js";
import type { During } from "./story.js";

/** Flags that the job itself sets for each part. */
const OF_THE_JOB = ["part", "plan", "dry-run", "resume", "force", "json", "events", "push"];
/** The option that names the output. */
const OUTPUT = { recover: "tuned", "make-diff": "diff", convert: "output" } as const;

/** @param engines stand in for the writers in tests. */
export async function run(
  asked: Asked["batch"],
  _: During,
  print: (text: string) => void,
  engines: Readonly<Record<Asked["batch"]["engine"], (call: DividedCall, asked: Asked["batch"]) => string>> = {
    slurm: slurmScript,
    kubernetes: kubernetesJob,
  },
): Promise<number> {
  print(engines[asked.engine](dividedCall(asked), asked));
  return 0;
}

/** @throws {WeightDiffError} USAGE for a command line that is wrong or cannot be divided. */
function dividedCall({ words, parts, engine, image, claim }: Asked["batch"]): DividedCall {
  if (engine === "kubernetes" && (image === undefined || claim === undefined)) {
    throw usage("kubernetes needs an image and a volume: --image and --claim are missing", "batch", "give both");
  }
  const hint = "as in: weight-diff batch slurm --parts 8 -- recover --path_raw BASE --path_diff DIFF --path_tuned OUT";
  const line = normaliseArgv(words[0] === "weight-diff" ? words.slice(1) : words);
  const parsed = line.length === 0 ? null : parse(line, () => {});
  if (parsed === null || !isDivisible(parsed.command)) {
    throw usage(
      "no command line is given; those that can be divided are recover, make-diff and convert",
      "batch",
      hint,
    );
  }
  const { command, given } = parsed;
  const own = OF_THE_JOB.find((name) => given.has(name));
  if (own !== undefined) {
    throw usage(`the job sets --${own} itself`, "batch", "leave it out");
  }
  const { asked } = readFlags(command, parsed.words, withoutPart(given));
  const output: unknown = (asked as unknown as Record<string, unknown>)[OUTPUT[command]];
  if (typeof output !== "string") {
    throw usage(`nothing is written: --${OUTPUTS[command]} is missing`, "batch", "give the output directory");
  }
  const part = ["--part", `auto/${parts}`, "--resume", "--no-progress"];
  return {
    make: ["weight-diff", ...line, ...part],
    finalize: ["weight-diff", "finalize", output, "--no-progress"],
    folder: process.cwd(),
  };
}

function withoutPart(given: Given): Given {
  return new Map([...given].filter(([name]) => !OF_THE_JOB.includes(name)));
}
