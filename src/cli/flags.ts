/** The flags of every command, declared for commander: names, help, defaults. What they may hold is checked in options.ts. */
import { type Command, Option } from "commander";
import { GUARDS } from "../evidence/guards.js";

/** Flags of the reference scripts that mean nothing here, and what to tell whoever passes them. */
export const FOREIGN: Readonly<Record<string, string>> = {
  device: "--device: everything is computed on the CPU, with the bits that torch gives on a CPU",
  testInference: "--test_inference: no text is generated; the checks compare digests and sums instead",
  originalModel: "--original_model: not loaded; compare the digests in weight-diff.json instead",
  pathToSft10k:
    "--path-to-sft10k: not needed: the script takes the config of a reward model from it, here it is the diff's",
  modelType: "--model_type: names and shapes tell; the script's choice of a sum is --expect-sum",
  baseModelFormat: "--base_model_format: the files tell",
  offload: "--offload: memory is always small",
  offloadPath: "--offload_path: nothing is put aside",
  mode: "--mode: weight-diff recover applies, weight-diff make-diff makes",
  method: "--method: weight-diff recover decrypts",
  recoverDiff: "--recover_diff: that is what weight-diff recover does",
  streaming: "--streaming: everything is streamed",
};

/** Adds those flags, hidden: no help is spent on them. */
function hideForeign(command: Command): Command {
  for (const flag of Object.keys(FOREIGN)) {
    command.addOption(
      new Option(`--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} [value]`).hideHelp(),
    );
  }
  return command;
}

const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value];

/** Flags of recover and verify that say which scheme: its name, the scripts' own, and the axes of custom. @param when they count. */
function declareScheme(command: Command, when: string): Command {
  return command
    .option(
      "--scheme <name>",
      `${when}auto, custom, or which script's rules to follow: weight-diff schemes lists them`,
      "auto",
    )
    .option("--is-fp16 [bool]", "as KnowLM's script with this flag: float16 throughout")
    .option(
      "--low-cpu-mem [bool]",
      "as FastChat's script with this flag: the files' own dtypes; memory is small without it",
    )
    .option(
      "--rows <mean|zero|overlap|refuse>",
      "rule for new vocabulary rows, instead of the scheme's: the base's mean is added, or nothing",
    )
    .option("--op <add|subtract>", "with --scheme custom: base + diff, or diff - base (default: add)")
    .option("--arith <dtype>", "with --scheme custom: float32 (default), float16, bfloat16, or stored: as in the files")
    .option(
      "--verbatim <pattern>",
      "with --scheme custom: names taken from the diff as they are: part of a name, or all of it with *; may be repeated",
      collect,
    )
    .option(
      "--driver <diff|raw>",
      "with --scheme custom: whose names decide; raw leaves out what only the diff has (default: diff)",
    );
}

/** What every command takes. */
const SHARED = (command: Command): Command =>
  command
    .option("--json", "print the result as one JSON document on stdout")
    .option("--quiet", "say nothing on stderr but warnings and errors")
    .option("--no-progress", "show no progress")
    .option("--no-cache", "read from the Hub as bytes are needed: nothing is put into its cache")
    .option("--offline", "only what is in the Hub's cache, as with HF_HUB_OFFLINE=1")
    .option(
      "--token-file <file>",
      "a file with the token for the Hub (default: HF_TOKEN, else what hf auth login wrote)",
    );

/** And what all do that read tensors. */
const COMMON = (command: Command): Command =>
  SHARED(command)
    .option("--threads <n>", "worker threads (default: the processors there are, at most 8)")
    .option("--no-direct-io", "never pass by the page cache");

/** Adds recover's flags. */
export function declareRecover(command: Command): Command {
  const paths = command
    // Paths without flags, as some scripts have them: no help is spent on that.
    .allowExcessArguments()
    .option("--path-raw <base>", "the base model: a directory, one weight file, or org/name on the Hub")
    .option("--path-diff <diff>", "the published diff, likewise")
    .option(
      "--path-tuned <out>",
      "where the recovered model goes; without it everything is computed and checked, and nothing written",
    );
  const declared = declareScheme(paths, "")
    .option(
      "--dtype <dtype>",
      "float32, float16 or bfloat16 instead of what the scheme's script saves: rounded once more, as torch does",
    )
    .option("--max-shard-size <size>", "tensor bytes in one output file, as 5GB, 500MB, 10GiB", "5GB")
    .option("--inv-freq <drop|keep>", "rotary_emb.inv_freq buffers: drop (models recompute them) or keep", "drop")
    .option("--expect-sum <number>", "hold the naive sum of the recovered weights against this number")
    .option("--check-integrity-naively [bool]", "hold it against the published sum, if the diff is known to have one")
    .option("--dry-run", "print what would be done, and stop")
    .option("--force", "replace the model that is in the output directory")
    .option("--resume", "continue an unfinished run")
    .option("--ignore <guards>", `switch guards off, separated by commas: ${GUARDS.join(", ")}`)
    .addOption(new Option("--alpaca-farm-model-name <name>").hideHelp())
    .addOption(new Option("--models-save-dir <out>").hideHelp());
  return hideForeign(COMMON(declared));
}

/** Adds make-diff's flags. */
export function declareMakeDiff(command: Command): Command {
  return COMMON(
    command
      .option("--path-raw <base>", "the base model: a directory, one weight file, or org/name on the Hub")
      .option("--path-tuned <tuned>", "the fine-tuned model, likewise")
      .option("--path-diff <out>", "where the diff goes; without it the diff is made and proved, and nothing written")
      .option(
        "--encoding <name>",
        "additive: float32, for this tool and the Python scripts; exact: bit patterns, half the size for 16-bit models",
        "additive",
      )
      .option("--base-model <name>", "what the model card calls the base: org/name")
      .option("--max-shard-size <size>", "tensor bytes in one output file, as 5GB, 500MB, 10GiB", "5GB")
      .option("--inv-freq <drop|keep>", "rotary_emb.inv_freq buffers: drop (models recompute them) or keep", "drop")
      .option("--rows <mean|refuse>", "rule for new vocabulary rows; mean also allows more than 64 of them")
      .option("--dry-run", "print what would be done, and stop")
      .option("--force", "replace the diff that is in the output directory")
      .option("--resume", "continue an unfinished run")
      .option("--ignore <guards>", `switch guards off, separated by commas: ${GUARDS.join(", ")}`)
      .option("--push <repo>", "then verify the diff and publish it on the Hub, as org/name or org/name@branch")
      .option("--private", "with --push: the repository, if it is made now, is private"),
  ).addOption(new Option("--device <device>").hideHelp());
}

/** Adds convert's flags. */
export function declareConvert(command: Command): Command {
  return COMMON(
    command
      .argument("<dir>", "Meta's directory of one size: params.json and consolidated.NN.pth")
      .argument("<out>", "where the model in Hugging Face's format goes")
      .option("--dtype <dtype>", "float32, float16 or bfloat16, rounded once (default: as stored)")
      .option("--max-shard-size <size>", "tensor bytes in one output file, as 5GB, 500MB, 10GiB", "5GB")
      .option("--dry-run", "print what would be done, and stop")
      .option("--force", "replace the model that is in the output directory")
      .option("--resume", "continue an unfinished run"),
  );
}

/** Adds xor's arguments, in the order of the original scripts, and its flags. */
export function declareXor(command: Command): Command {
  return SHARED(
    command
      .argument("<dest>", "where the result goes")
      .argument(
        "<payload>",
        "the published files: a directory or org/name on the Hub; with --encode, the fine-tuned model",
      )
      .argument("<base>", "the base they were made with, likewise; for .enc files Meta's 7B consolidated.00.pth")
      .option("--encode", "make a payload of a model, instead of a model of a payload")
      .option("--decode", "the default, as Pygmalion's script wants it said")
      .option(
        "--compress",
        "the payload's files are gzip files (they are recognised without it too); with --encode, make them so",
      )
      .option("--scheme <name>", "auto, oa-xor, pygmalion, point-alpaca: which script's rules to follow", "auto")
      .option("--dry-run", "print what would be done, and stop")
      .option("--force", "replace the model that is in the output directory")
      .option("--resume", "continue an unfinished run")
      .option("--ignore <guards>", "switch guards off, separated by commas: swapped, wrong-base"),
  );
}

/** Adds push's flags. */
export function declarePush(command: Command): Command {
  return COMMON(
    command
      .argument("<dir>", "what make-diff or recover wrote")
      .argument("<repo>", "where it goes on the Hub: org/name, or org/name@branch")
      .option("--private", "the repository, if it is made now, is private")
      .option("--branch <name>", "a branch that is there (default: main)")
      .option("--message <title>", "the commit's title")
      .option("--dry-run", "check and compare, say what would be sent, and stop")
      .option("--force", "push also what has no weight-diff.json, after a check of structure and values only"),
  ).addOption(new Option("--revision <name>").hideHelp());
}

/** Adds verify's flags. */
export function declareVerify(command: Command): Command {
  const inputs = command
    .argument("<checkpoint>", "a diff or a model: a directory, one weight file, or org/name on the Hub")
    .option("--manifest <file>", "the manifest to go by (default: weight-diff.json beside the weights)")
    .option(
      "--path-raw <base>",
      "of a diff: compute what it recovers, write nothing, and check it against the manifest",
    );
  return COMMON(
    declareScheme(inputs, "with --path_raw: ")
      .option("--against <other>", "another checkpoint that should be the same model, in whatever format and dtype")
      .option("--require <what>", "digests: fail if there are none to check against")
      .option("--known <name>", "hold the sum of all weights against a published one, as alpaca-7b")
      .option("--expect-sum <number>", "hold it against this number")
      .option("--format <format>", "text, json, or github (annotations for a workflow)"),
  );
}

/** Adds the flags of schemes. */
export function declareSchemes(command: Command): Command {
  return command.option("--json", "print the table as one JSON document on stdout");
}

/** Adds inspect's flags. */
export function declareInspect(command: Command): Command {
  return COMMON(command.argument("<path>", "a checkpoint: a directory, one weight file, or org/name on the Hub"))
    .option("--digest", "read every byte and show each tensor's sha256, and know published files by theirs")
    .option("--tensors", "list every tensor");
}
