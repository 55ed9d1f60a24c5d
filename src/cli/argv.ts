/**
 * Command lines as people have them: flags with `_` or `-`, python-fire's True and False, the names that the schemes' scripts
 * have for the same thing, and FastChat's argparse abbreviations (FIELD 3, B1). Everything becomes the one spelling that the
 * options know.
 */

/** Flags of the scripts -> ours. argparse accepts every unambiguous beginning, which people use with FastChat's. */
const SCRIPTS: readonly (readonly [full: string, shortest: string, ours: string])[] = [
  ["--base-model-path", "--base", "--path-raw"],
  ["--target-model-path", "--target", "--path-tuned"],
  ["--delta-path", "--delta", "--path-diff"],
  // YuLan-Chat.
  ["--tuned-model-path", "--tuned", "--path-tuned"],
  // AlpacaFarm.
  ["--llama-7b-hf-dir", "--llama-7b-hf-dir", "--path-raw"],
  // OpenChineseLLaMA; its --base_model is a beginning of FastChat's.
  ["--patch-model", "--patch", "--path-diff"],
  // BiLLa.
  ["--model-dir", "--model-dir", "--path-diff"],
  ["--meta-llama-pth-file", "--meta-llama-pth-file", "--path-raw"],
  // EasyLM.
  ["--load-base-checkpoint", "--load-base-checkpoint", "--path-raw"],
  ["--load-target-checkpoint", "--load-target-checkpoint", "--path-diff"],
  ["--output-file", "--output-file", "--path-tuned"],
  ["--float-dtype", "--float-dtype", "--dtype"],
];

/** Our own flags that are also such a beginning, by command. */
const OWN: ReadonlyMap<string, readonly string[]> = new Map([["make-diff", ["--base-model"]]]);

/** Arguments after the program's name, in the spelling of options.ts. Values are left alone. */
export function normaliseArgv(args: readonly string[]): readonly string[] {
  const end = args.indexOf("--");
  const own = OWN.get(args[0]?.replaceAll("_", "-") ?? "") ?? [];
  return args.map((argument, index) => {
    if (end >= 0 && index >= end) {
      return argument;
    }
    if (argument.startsWith("--")) {
      const [flag = "", ...value] = argument.split("=");
      const name = flag.replaceAll("_", "-");
      return [own.includes(name) ? name : canonicalFlag(name), ...value].join("=");
    }
    return index === 0 ? argument.replaceAll("_", "-") : argument;
  });
}

function canonicalFlag(flag: string): string {
  return SCRIPTS.find(([full, shortest]) => full.startsWith(flag) && flag.startsWith(shortest))?.[2] ?? flag;
}
