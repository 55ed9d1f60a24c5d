/** Other ways to name recover's paths: words without flags, and AlpacaFarm's name of a model. */
import { printable, quote } from "../../formats/quote.js";
import { type Given, usage } from "./given.js";

/**
 * The flags for which the words stand: as fire takes them (raw, diff, tuned), and as MMPretrain's converter does beside --delta (src, dst).
 */
const BARE_PATHS = ["path_raw", "path_diff", "path_tuned"] as const;

/** @throws {WeightDiffError} USAGE if there is a word too many. */
export function barePaths(words: readonly string[], given: Given): Given {
  const places = BARE_PATHS.filter((name) => name !== "path_diff" || !given.has(name));
  const named = words.map((word, index) => ({ word, place: places[index] }));
  const extra = named.find(({ place }) => place === undefined || given.has(place));
  if (extra !== undefined) {
    throw usage(`${quote(extra.word)}: one word too many: without flags, the paths are BASE DIFF OUT`, "recover");
  }
  return new Map([...given, ...named.map(({ word, place }) => [place ?? "", word] as const)]);
}

/** AlpacaFarm's flags name the model. Diff and output follow from that name, unless they are given. @throws {WeightDiffError} USAGE. */
export function farmPaths(given: Given): Given {
  const name = given.get("alpaca-farm-model-name");
  const folder = given.get("models-save-dir");
  if (name === undefined) {
    return folder === undefined ? given : new Map([["path_tuned", folder], ...given]);
  }
  if (typeof name !== "string" || !/^[\w.-]+$/.test(name) || name === "all") {
    throw usage(
      `--alpaca-farm-model-name: ${printable(String(name))}: one model at a time`,
      "recover",
      "sft10k, ppo-human, reward-model-human, …: as in the names of the repositories",
    );
  }
  return new Map([
    ["path_diff", `tatsu-lab/alpaca-farm-${name}-wdiff`],
    ...(typeof folder === "string" ? [["path_tuned", `${folder}/${name}`] as const] : []),
    ...given,
  ]);
}
