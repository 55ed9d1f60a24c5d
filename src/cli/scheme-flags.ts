/** Flags that say which scheme: its name, the axes of a custom one, the scripts' own; and other ways to name the paths. */

import { WeightDiffError } from "../errors.js";
import type { SchemeOptions } from "../evidence/scheme.js";
import { quote } from "../formats/quote.js";
import type { NewRows } from "../scheme/axes.js";
import type { CustomAxes } from "../scheme/custom.js";

/** AlpacaFarm's flags name the model; diff and output follow from it. @throws {WeightDiffError} USAGE. */
export function farmPaths(flags: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { alpacaFarmModelName: name, modelsSaveDir: folder, ...others } = flags;
  if (typeof name !== "string") {
    return folder === undefined ? others : { pathTuned: folder, ...others };
  }
  if (!/^[\w.-]+$/.test(name) || name === "all") {
    throw new WeightDiffError(
      "USAGE",
      `--alpaca-farm-model-name: ${name}: one model at a time`,
      "sft10k, ppo-human, reward-model-human, …: as in the names of the repositories",
    );
  }
  return {
    pathDiff: `tatsu-lab/alpaca-farm-${name}-wdiff`,
    ...(typeof folder === "string" ? { pathTuned: `${folder}/${name}` } : {}),
    ...others,
  };
}

/**
 * Paths without flags, as fire takes them (raw, diff, tuned), and as MMPretrain's converter does beside --delta (src, dst).
 * @throws {WeightDiffError} USAGE for a word too many.
 */
export function barePaths(
  words: readonly string[],
  flags: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const { pathDiff } = flags;
  const places = pathDiff === undefined ? ["pathRaw", "pathDiff", "pathTuned"] : ["pathRaw", "pathTuned"];
  const given = words.map((word, index) => ({ word, place: places[index] }));
  const extra = given.find(({ place }) => place === undefined || flags[place] !== undefined);
  if (extra !== undefined) {
    throw new WeightDiffError(
      "USAGE",
      `${quote(extra.word)}: one word too many: without flags, the paths are BASE DIFF OUT`,
      "see weight-diff --help",
    );
  }
  return { ...flags, ...Object.fromEntries(given.map(({ word, place }) => [place, word])) };
}

/** Which scheme the flags ask for, and how it is to be changed. @throws {WeightDiffError} USAGE. */
export function schemeOptions(values: SchemeValues): SchemeOptions {
  return {
    scheme: values.scheme,
    custom: customAxes(values),
    variants: [
      ...(values.isFp16 ? (["is_fp16"] as const) : []),
      ...(values.lowCpuMem ? (["low_cpu_mem"] as const) : []),
    ],
    rows: values.rows ?? null,
  };
}

interface SchemeValues {
  readonly scheme: string;
  readonly rows?: NewRows | undefined;
  readonly isFp16: boolean;
  readonly lowCpuMem: boolean;
  readonly op?: CustomAxes["operation"] | undefined;
  readonly arith?: CustomAxes["arithmetic"] | undefined;
  readonly verbatim?: readonly string[] | undefined;
  readonly driver?: CustomAxes["driver"] | undefined;
}

/** The axes that were given. @throws {WeightDiffError} USAGE where another scheme was named. */
function customAxes(values: SchemeValues): Partial<CustomAxes> {
  const { scheme, op, arith, verbatim, driver } = values;
  const [given] = Object.entries({ op, arith, verbatim, driver }).flatMap(([flag, value]) =>
    value === undefined ? [] : [flag],
  );
  if (given !== undefined && scheme !== "custom") {
    throw new WeightDiffError(
      "USAGE",
      `--${given} and --scheme ${scheme} contradict each other: a scheme is what it is`,
      `--scheme custom takes --op, --arith, --rows, --verbatim and --driver`,
    );
  }
  return {
    ...(op === undefined ? {} : { operation: op }),
    ...(arith === undefined ? {} : { arithmetic: arith }),
    ...(verbatim === undefined ? {} : { verbatim }),
    ...(driver === undefined ? {} : { driver }),
  };
}
