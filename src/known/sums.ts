/**
 * The sums that authors published for their recovered models, as data (docs/arithmetic.md 7). To add one, add a row. Each is the F32 total
 * over the state dict of 2023 that sums/naive.ts computes, or over one tensor. The tolerance is the script's own.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";

interface KnownSum {
  readonly name: string;
  /** Last parts of the names of the repositories with the diff or the recovered model, in lower case. */
  readonly repos: readonly string[];
  readonly value: number;
  /** The tolerance of the script, as torch.allclose computes it: absolute + relative x the expected sum. */
  readonly absolute: number;
  readonly relative: number;
  /** The one tensor that is summed. Left out if all are. */
  readonly tensor?: string;
  /** Further tolerance, if the script takes the sum before it rounds the values to save them. */
  readonly rounding?: number;
  /** Where it was published. */
  readonly source: string;
}

/** torch.allclose(…, atol=1e-2, rtol=0), as in Alpaca's script and most of its copies. */
const ABSOLUTE = { absolute: 1e-2, relative: 0 } as const;
/** torch.allclose(…, rtol=1e-5, atol=1e-8). */
const RELATIVE = { absolute: 1e-8, relative: 1e-5 } as const;

const alpaca = { ...ABSOLUTE, source: "tatsu-lab/stanford_alpaca weight_diff.py" };
const gisting = { ...ABSOLUTE, source: "jayelm/gisting src/weight_diff.py" };
const mossEn = { ...RELATIVE, source: "OpenLMLab/MOSS-RLHF merge_weight_en.py" };
const mossZh = { ...RELATIVE, source: "OpenLMLab/MOSS-RLHF merge_weight_zh.py" };

export const KNOWN_SUMS: readonly KnownSum[] = [
  { name: "alpaca-7b", value: 50637.1836, repos: ["alpaca-7b", "alpaca-7b-wdiff"], ...alpaca },
  { name: "gisting-gist", value: 50547.957, repos: ["llama-7b-gist-1"], ...gisting },
  { name: "gisting-pos-control", value: 50596.9141, repos: ["llama-7b-pos_control-1"], ...gisting },
  { name: "gisting-neg-control", value: 50503.8789, repos: ["llama-7b-neg_control-1"], ...gisting },
  {
    name: "zhixi-13b",
    value: 94052.2891,
    repos: ["zhixi-13b-diff", "zhixi-13b"],
    ...ABSOLUTE,
    source: "zjunlp/KnowLM tools/weight_diff.py",
  },
  { name: "moss-rlhf-en-reward", value: 50810.703125, repos: ["moss-rlhf-reward-model-7b-en"], ...mossEn },
  { name: "moss-rlhf-en-sft", value: 50874.84765625, repos: ["moss-rlhf-sft-model-7b-en"], ...mossEn },
  { name: "moss-rlhf-zh-reward", value: 49954.0859375, repos: ["moss-rlhf-reward-model-7b-zh"], ...mossZh },
  {
    name: "landmark-attention-7b",
    value: 49798.7656,
    repos: ["landmark-attention-llama7b-wdiff"],
    ...ABSOLUTE,
    source: "epfml/landmark-attention llama/weight_diff.py",
  },
  {
    name: "billa-7b-sft-embedding",
    value: -3756.942626953125,
    repos: ["billa-7b-sft"],
    absolute: 1e-4,
    relative: 0,
    tensor: "model.embed_tokens.weight",
    // 46,943 x 4096 values of about 0.02 are rounded to float16, each with an error of 4e-6 on average. 0.25 is four times the 0.06 that
    // this gives.
    rounding: 0.25,
    source: "Neutralzz/BiLLa embedding_convert.py",
  },
];

/** A sum that a model should have. */
export interface PublishedSum {
  readonly value: number;
  /** The absolute tolerance for a right model. Left out for the tolerance of the reference. */
  readonly tolerance?: number;
  readonly tensor?: string;
  readonly name?: string;
  readonly source?: string;
}

function expected({ name, value, absolute, relative, rounding = 0, tensor, source }: KnownSum): PublishedSum {
  const tolerance = absolute + relative * Math.abs(value) + rounding;
  return { name, value, tolerance, source, ...(tensor === undefined ? {} : { tensor }) };
}

/** The sum of this name. @throws {WeightDiffError} USAGE, listing the known names. */
export function sumNamed(name: string): PublishedSum {
  const found = KNOWN_SUMS.find((known) => known.name === name.toLowerCase());
  if (found === undefined) {
    throw new WeightDiffError(
      "USAGE",
      `no sum is known by the name "${name}"`,
      `known: ${KNOWN_SUMS.map((known) => known.name).join(", ")}`,
    );
  }
  return expected(found);
}

/** The sum that was published for the model in this place; null if none was. */
export function publishedSum(checkpoint: Pick<Checkpoint, "repo" | "directory">): PublishedSum | null {
  const name = repoName(checkpoint).toLowerCase();
  const found = KNOWN_SUMS.find(({ repos }) => repos.includes(name));
  return found === undefined ? null : expected(found);
}

/** Gives "alpaca-7b-wdiff" for both "tatsu-lab/alpaca-7b-wdiff" and "some/where/alpaca-7b-wdiff/". */
export function repoName({ repo, directory }: Pick<Checkpoint, "repo" | "directory">): string {
  return (
    (repo ?? directory ?? "")
      .split(/[\\/]/)
      .filter((part) => part !== "")
      .at(-1) ?? ""
  );
}
