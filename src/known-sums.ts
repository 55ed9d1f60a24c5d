/**
 * The sums that authors published for their recovered models, as data (FIELD 5): a new one is a new row. Each is the F32 total
 * over the state dict of 2023 that naive-sum.ts computes.
 */
import type { Checkpoint } from "./checkpoint/checkpoint.js";
import { WeightDiffError } from "./errors.js";

export interface KnownSum {
  readonly name: string;
  /** Last parts of the names of the repositories that hold the diff or the recovered model; none where they are not known. */
  readonly repos: readonly string[];
  readonly value: number;
  /** The script's own tolerance, absolute. */
  readonly tolerance: number;
  /** Where it was published. */
  readonly source: string;
}

export const KNOWN_SUMS: readonly KnownSum[] = [
  {
    ...absolute("alpaca-7b", 50637.1836, "tatsu-lab/stanford_alpaca weight_diff.py"),
    repos: ["alpaca-7b", "alpaca-7b-wdiff"],
  },
  absolute("gisting-gist", 50547.957, "jayelm/gisting src/weight_diff.py"),
  absolute("gisting-pos-control", 50596.9141, "jayelm/gisting src/weight_diff.py"),
  absolute("gisting-neg-control", 50503.8789, "jayelm/gisting src/weight_diff.py"),
  absolute("zhixi-13b", 94052.2891, "zjunlp/KnowLM tools/weight_diff.py"),
  relative("moss-rlhf-en-reward", 50810.703125, "OpenLMLab/MOSS-RLHF merge_weight_en.py"),
  relative("moss-rlhf-en-sft", 50874.84765625, "OpenLMLab/MOSS-RLHF merge_weight_en.py"),
  relative("moss-rlhf-zh-reward", 49954.0859375, "OpenLMLab/MOSS-RLHF merge_weight_zh.py"),
  relative("landmark-attention-7b", 49798.7656, "epfml/landmark-attention llama/weight_diff.py"),
];

/** torch.allclose(…, rtol=0, atol=1e-2). */
function absolute(name: string, value: number, source: string): KnownSum {
  return { name, repos: [], value, tolerance: 1e-2, source };
}

/** numpy's and torch's rtol = 1e-5. */
function relative(name: string, value: number, source: string): KnownSum {
  return { name, repos: [], value, tolerance: Math.abs(value) * 1e-5, source };
}

/** The sum called `name`. @throws {WeightDiffError} USAGE with the names there are. */
export function sumNamed(name: string): KnownSum {
  const found = KNOWN_SUMS.find((known) => known.name === name.toLowerCase());
  if (found === undefined) {
    throw new WeightDiffError(
      "USAGE",
      `--known: no sum is known by the name "${name}"`,
      `known: ${KNOWN_SUMS.map((known) => known.name).join(", ")}`,
    );
  }
  return found;
}

/** The sum published for the model of this place; null if none was. */
export function sumOfRepo(checkpoint: Pick<Checkpoint, "repo" | "directory">): KnownSum | null {
  const name = repoName(checkpoint);
  return KNOWN_SUMS.find(({ repos }) => repos.includes(name)) ?? null;
}

/** "tatsu-lab/alpaca-7b-wdiff" and "some/where/alpaca-7b-wdiff/" are both "alpaca-7b-wdiff". */
export function repoName({ repo, directory }: Pick<Checkpoint, "repo" | "directory">): string {
  return (
    (repo ?? directory ?? "")
      .split(/[\\/]/)
      .filter((part) => part !== "")
      .at(-1) ?? ""
  );
}
