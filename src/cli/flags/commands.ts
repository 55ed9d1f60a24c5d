/** The commands: what each is for, how it is called, and what its exit codes mean. The table has their flags. */
import type { CommandName } from "./flag.js";

interface CommandPage {
  readonly does: string;
  /** Further ways to call it, besides its arguments and required flags. */
  readonly forms?: readonly string[];
  readonly examples: readonly string[];
  /** The meaning of its exit code 3; null if it has none. */
  readonly failed: string | null;
}

export const COMMANDS: Readonly<Record<CommandName, CommandPage>> = {
  recover: {
    does: "base + diff -> the fine-tuned model",
    forms: ["recover BASE DIFF [OUT]"],
    examples: [
      "recover --path_raw llama-7b --path_diff tulu-7b-diff --path_tuned tulu-7b",
      "recover --path_raw llama-7b --path_diff tulu-7b-diff --path_tuned tulu-7b --dtype bfloat16",
      "recover --path_raw llama-7b --path_diff tulu-7b-diff --path_tuned tulu-7b --resume",
      "recover --path_raw llama-7b --path_diff tulu-7b-diff --dry-run",
      "recover --path_raw llama-7b --path_diff tulu-7b-diff --path_tuned tulu-7b --part 0/4",
      "recover --path_raw llama-7b --path_diff vicuna-7b-delta --path_tuned vicuna-7b --scheme fastchat",
      "recover --path_raw huggyllama/llama-7b --path_diff allenai/tulu-7b --path_tuned tulu-7b",
    ],
    failed: "the result is not what the diff's manifest or the sum says",
  },
  "make-diff": {
    does: "tuned - base -> a diff that can be published",
    examples: [
      "make-diff --path_raw llama-7b --path_tuned my-model --path_diff my-diff --base-model huggyllama/llama-7b",
      "make-diff --path_raw llama-7b --path_tuned my-model --path_diff my-diff --encoding exact",
      "make-diff --path_raw llama-7b --path_tuned my-model --path_diff my-diff --compress",
      "make-diff --path_raw llama-7b --path_tuned my-model --path_diff my-diff --push me/my-diff --private",
      "make-diff --path_raw llama-7b --path_tuned my-model --path_diff my-diff --sign-key key.pem",
    ],
    failed: "the finished diff is damaged",
  },
  push: {
    does: "publish what make-diff or recover wrote, on the Hub",
    examples: ["push my-diff me/my-diff --private", "push my-diff me/my-diff@draft --dry-run"],
    failed: "the directory is damaged, or the Hub lists something else afterwards",
  },
  sign: {
    does: "sign every file of a diff or a model with your key",
    examples: ["sign my-diff --sign-key key.pem"],
    failed: null,
  },
  convert: {
    does: "Meta's LLaMA files -> Hugging Face's format",
    examples: ["convert LLaMA/7B llama-7b", "convert LLaMA/13B llama-13b --dtype bfloat16 --dry-run"],
    failed: "the finished output is damaged",
  },
  finalize: {
    does: "put together the parts that several machines made (--part)",
    examples: ["finalize tulu-405b"],
    failed: "the result is not what the diff's manifest or the sum says",
  },
  status: {
    does: "show how far the parts are",
    examples: ["status tulu-405b", "status tulu-405b --json"],
    failed: null,
  },
  batch: {
    does: "print a Slurm script or a Kubernetes manifest that makes the parts",
    forms: ["batch ENGINE --parts N [flags] -- COMMAND …"],
    examples: [
      "batch slurm --parts 64 -- recover --path_raw base --path_diff diff --path_tuned out > job.sh",
      "batch kubernetes --parts 64 --image IMAGE --claim models -- recover --path_raw base --path_diff diff --path_tuned out > job.yaml",
    ],
    failed: null,
  },
  xor: {
    does: "payload XOR base -> the model's files, or back with --encode",
    examples: [
      "xor oasst-sft-6 oasst-sft-6-xor llama-30b-hf",
      "xor my-payload my-model llama-7b-hf --encode --compress",
    ],
    failed: "a file is not what the payload states",
  },
  verify: {
    does: "check that a checkpoint is whole, and what it should be",
    examples: [
      "verify tulu-7b --require digests",
      "verify tulu-7b --against tulu-7b-float16",
      "verify tulu-7b-diff --path_raw llama-7b",
      "verify tulu-7b-diff --verify-key publisher.pub",
      "verify tulu-7b-diff --require digests --format github",
    ],
    failed: "an error was found: each is listed",
  },
  "chain-inspect": {
    does: "show a chain of weight updates that an RL trainer published: versions, links, traps",
    examples: ["chain inspect updates", "chain inspect updates --to 40 --json"],
    failed: null,
  },
  "chain-verify": {
    does: "check every step that leads to a version of a chain",
    examples: ["chain verify updates", "chain verify updates --path_raw base-model --to 40"],
    failed: "an error was found: each is listed",
  },
  "chain-materialize": {
    does: "base + chain -> the model of one version",
    examples: [
      "chain materialize --path_raw base-model --path_diff updates --path_tuned step-40 --to 40",
      "chain materialize --path_raw step-40 --path_diff updates --path_tuned step-60 --base-version 40 --to 60",
    ],
    failed: "a checksum does not fit: nothing is written",
  },
  "chain-fold": {
    does: "several steps of a chain -> one that does the same",
    examples: [
      "chain fold --path_diff updates --from 20 --to 40 --path_out folded",
      "chain fold --path_diff updates --to 40 --path_out folded --path_raw base-model --renumber",
    ],
    failed: "a checksum does not fit: nothing is written",
  },
  "chain-make": {
    does: "two models -> the next version of a chain",
    examples: [
      "chain make --path_raw step-40 --path_tuned step-41 --path_diff updates",
      "chain make --path_raw step-40 --path_tuned step-41 --path_diff updates --full",
    ],
    failed: "the finished version is damaged",
  },
  schemes: {
    does: "list the published kinds of diffs, and what each means",
    examples: ["schemes", "schemes --json"],
    failed: null,
  },
  inspect: {
    does: "show what a checkpoint is, and its traps",
    examples: ["inspect tulu-7b-diff", "inspect tulu-7b --digest --json"],
    failed: null,
  },
  report: {
    does: "show what a fine-tune changed, by layer, module and token",
    examples: [
      "report llama-7b tulu-7b-diff",
      "report tulu-7b-diff",
      "report llama-7b my-model --out report.html --svg change-map.svg",
    ],
    failed: null,
  },
  try: {
    does: "let a model answer a question, and measure whether it speaks",
    examples: [
      "try tulu-7b",
      "try tulu-7b --base llama-7b --max-new-tokens 1",
      'try tulu-7b --prompt "What is a llama?" --max-new-tokens 100 --time-limit 600',
      'try tulu-7b --raw "Once upon a time"',
    ],
    failed: "it is broken, guesses, or does not speak",
  },
  completion: {
    does: "print a script that completes commands, flags and their values in your shell",
    examples: [
      "completion bash > ~/.local/share/bash-completion/completions/weight-diff",
      "completion zsh > ~/.zfunc/_weight-diff",
      "completion fish > ~/.config/fish/completions/weight-diff.fish",
      "completion powershell >> $PROFILE",
    ],
    failed: null,
  },
};

/** The first word of commands with two words. The table has them as one name. */
const NESTED = "chain";
const NESTED_DO = "weight updates that RL trainers publish:";

/** The command as a user types it: "chain inspect". */
export function typed(command: CommandName): string {
  return command.startsWith(`${NESTED}-`) ? command.replace("-", " ") : command;
}

/** Every possible first word, once. */
export function firstWords(): readonly string[] {
  return [...new Set(COMMAND_NAMES.map((name) => typed(name).split(" ")[0] ?? name))];
}

/** What a first word does, alone or with the words that can follow it: one line for each. */
export function glossary(): readonly (readonly [string, string])[] {
  return firstWords().map((word) => {
    const inner = innerCommands(word);
    return [word, inner === null && isCommand(word) ? COMMANDS[word].does : `${NESTED_DO} ${inner?.join(", ")}`];
  });
}

/** Commands of two words: the first word, and its second words. */
export function outerCommands(): ReadonlyMap<string, readonly string[]> {
  return new Map([[NESTED, innerCommands(NESTED) ?? []]]);
}

/** The words that can follow a word which is not a command by itself; null for other words. */
export function innerCommands(word: string | undefined): readonly string[] | null {
  return word === NESTED
    ? COMMAND_NAMES.flatMap((name) => (name.startsWith(`${NESTED}-`) ? [name.slice(NESTED.length + 1)] : []))
    : null;
}

export const COMMAND_NAMES = Object.keys(COMMANDS) as readonly CommandName[];

export function isCommand(name: string | undefined): name is CommandName {
  return name !== undefined && Object.hasOwn(COMMANDS, name);
}
