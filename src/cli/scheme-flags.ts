/** Flags that say which scheme: the axes of a custom one, and AlpacaFarm's way to name a model. */
import type { CustomAxes } from "../custom-scheme.js";
import { WeightDiffError } from "../errors.js";

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

/** The axes that were given. @throws {WeightDiffError} USAGE where another scheme was named. */
export function customAxes(values: {
  readonly scheme: string;
  readonly op?: CustomAxes["operation"] | undefined;
  readonly arith?: CustomAxes["arithmetic"] | undefined;
  readonly verbatim?: readonly string[] | undefined;
  readonly driver?: CustomAxes["driver"] | undefined;
}): Partial<CustomAxes> {
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
