/** Help, versions and wrong command lines: whole lines and exit codes. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { COMMAND_NAMES, typed } from "../../src/cli/flags/commands.js";
import { SCHEMES } from "../../src/scheme/families.js";
import { ROOT } from "../support/fixtures.js";
import { BASE, DIFF, recoverDemo, weightDiff } from "./command.js";

const REQUIRED = ["recover", "--path_raw", BASE, "--path_diff", DIFF];

test("--version prints the version of package.json and nothing else", async () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  assert.deepEqual(await weightDiff(["--version"]), { code: 0, signal: null, out: `${version}\n`, said: [] });
});

test("--help lists commands, examples and exit codes on stdout", async () => {
  const { code, out, said } = await weightDiff(["--help"]);
  assert.deepEqual([code, said], [0, []]);
  for (const line of [
    /^usage: weight-diff COMMAND …$/m,
    /^ {2}recover +base \+ diff -> the fine-tuned model$/m,
    /^ {2}verify +check that a checkpoint is whole, and what it should be$/m,
    /^ {2}inspect +show what a checkpoint is, and its traps$/m,
    /^exit codes:$/m,
    /^ {2}weight-diff recover --path_raw llama-7b --path_diff tulu-7b-diff --path_tuned tulu-7b$/m,
  ]) {
    assert.match(out, line);
  }
});

test("recover --help names every flag and hides those of other scripts", async () => {
  const { code, out } = await weightDiff(["recover", "--help"]);
  assert.equal(code, 0);
  const flags = [
    ...["--path_raw", "--path_diff", "--path_tuned", "--scheme", "--dtype", "--max-shard-size", "--inv-freq"],
    ...[
      "--rows",
      "--op",
      "--arith",
      "--verbatim",
      "--driver",
      "--is_fp16",
      "--low-cpu-mem",
      "--expect-sum",
      "--check_integrity_naively",
      "--dry-run",
      "--force",
      "--resume",
      "--ignore",
    ],
    ...["--json", "--quiet", "--no-progress", "--threads", "--no-direct-io"],
  ];
  assert.deepEqual(
    flags.filter((flag) => !new RegExp(`^  ${flag}\\b`, "m").test(out)),
    [],
  );
  assert.doesNotMatch(out, /--device|--model_type|--alpaca-farm/);
});

const WRONG: readonly (readonly [what: string, args: readonly string[], error: string, hint?: string])[] = [
  ["an unknown command", ["recovr"], "unknown command 'recovr' (Did you mean recover?)", "see weight-diff --help"],
  ["help for an unknown command", ["help", "nosuch"], "unknown command 'nosuch'", "see weight-diff --help"],
  ["an unknown flag of no command", ["--bogus"], "unknown option '--bogus'", "see weight-diff --help"],
  ["an unknown flag", [...REQUIRED, "--bogus"], "unknown option '--bogus'"],
  ["a misspelled flag", [...REQUIRED, "--dry-rum"], "unknown option '--dry-rum' (Did you mean --dry-run?)"],
  ["a missing flag", ["recover", "--path_diff", DIFF], "--path_raw: is missing: give the base model"],
  [
    "all missing flags at once",
    ["recover"],
    "--path_raw: is missing: give the base model; --path_diff: is missing: give the diff",
  ],
  [
    "all missing words at once",
    ["convert"],
    "missing required arguments 'dir', 'out'",
    "see weight-diff convert --help",
  ],
  [
    "a missing value",
    ["recover", "--path_raw"],
    "--path_raw: no value is given",
    "write it after the flag; a shell variable that is not set gives none; see weight-diff recover --help",
  ],
  [
    "a variable that is not set",
    ["recover", "--path_raw", "--path_diff", DIFF],
    "--path_raw: no value is given",
    "write it after the flag; a shell variable that is not set gives none; see weight-diff recover --help",
  ],
  [
    "wrong values, each with what was given and what is possible",
    [...REQUIRED, "--dtype", "int4", "--max-shard-size", "5"],
    '--dtype: "int4" is not one of float32, fp32, float16, fp16, bfloat16, bf16, auto; --max-shard-size: "5" is 5 bytes: write a unit, as in 5GB or 500MB',
  ],
  [
    "--offline with --no-cache",
    ["inspect", BASE, "--offline", "--no-cache"],
    "--offline and --no-cache contradict each other: nothing could be read from the Hub",
    "leave out one of them",
  ],
  [
    "a switch with a value",
    ["inspect", BASE, "--json=yes"],
    "--json=yes: --json takes no value",
    "write --json alone, or leave it out",
  ],
  [
    "a flag with two values, under two of its names",
    ["recover", "--path_raw", "a", "--base-model-path=b", "--path_diff", DIFF],
    '--path_raw: is given more than once: "a", "b"',
    "give it once",
  ],
  [
    "a flag with and without a value",
    [...REQUIRED, "--is_fp16", "--is_fp16=False"],
    '--is_fp16: is given more than once: no value, "False"',
    "give it once",
  ],
  [
    "the second of two lists",
    [...REQUIRED, "--ignore", "wrong-base", "--ignore", "nosuch"],
    '--ignore: "nosuch" is not one of swapped, not-a-diff, not-a-model, wrong-base, base-precision, bit-census',
  ],
  ["an empty value", [...REQUIRED, "--path_tuned", ""], "--path_tuned: is empty"],
  ["a word too many", [...REQUIRED, "x"], '"x": one word too many: without flags, the paths are BASE DIFF OUT'],
  ["four paths", ["recover", "a", "b", "c", "d"], '"d": one word too many: without flags, the paths are BASE DIFF OUT'],
  [
    "a path twice",
    ["recover", "a", "--path_raw", "b"],
    '"a": one word too many: without flags, the paths are BASE DIFF OUT',
  ],
  ["inspect without a path", ["inspect"], "missing required argument 'path'", "see weight-diff inspect --help"],
  ["verify without a path", ["verify"], "missing required argument 'checkpoint'", "see weight-diff verify --help"],
  [
    "an unknown scheme",
    [...REQUIRED, "--scheme", "vicuna"],
    `unknown scheme "vicuna": it is not one of auto, custom, ${SCHEMES.map(({ name }) => name).join(", ")}`,
    "perhaps fastchat or fastchat-v0 is meant, or see what each does: weight-diff schemes",
  ],
  [
    "--force with --resume",
    [...REQUIRED, "--path_tuned", "x", "--force", "--resume"],
    "--force and --resume contradict each other",
    "--resume continues an unfinished run, --force starts over",
  ],
];
for (const [what, args, error, hint = "see weight-diff recover --help"] of WRONG) {
  test(`refuses ${what} with exit code 2`, async () => {
    assert.deepEqual(await weightDiff(args), {
      code: 2,
      signal: null,
      out: "",
      said: [`weight-diff: error: ${error}`, `weight-diff: hint: ${hint}`],
    });
  });
}

test("a bare weight-diff prints the short help on stderr, with exit code 2", async () => {
  const { code, out, said } = await weightDiff([]);
  assert.deepEqual([code, out], [2, ""]);
  assert.ok(said.includes("usage: weight-diff COMMAND …"));
  assert.ok(said.some((line) => /^ {2}recover +base \+ diff -> the fine-tuned model$/.test(line)));
  assert.ok(said.length <= 24, String(said.length));
});

for (const words of [
  ["recover", "--help"],
  ["recover", "-h"],
  ["help", "recover"],
  ["recover", "a", "--dtype", "x", "--help"],
]) {
  test(`${words.join(" ")} is recover's page: grouped, marked, with examples and exit codes`, async () => {
    const { code, out, said } = await weightDiff(words);
    assert.deepEqual([code, said], [0, []]);
    const heads = out.split("\n").filter((line) => /^\S.*:$/.test(line));
    assert.deepEqual(heads, [
      ...["usage:", "inputs:", "output:", "scheme:", "checks:", "the Hub:", "the run:", "examples:", "exit codes:"],
    ]);
    for (const line of [
      /^ {2}weight-diff recover --path_raw BASE --path_diff DIFF \[--path_tuned OUT\] \[flags\]$/m,
      /^ {2}weight-diff recover BASE DIFF \[OUT\]$/m,
      /^ {2}--path_raw BASE +the base model: .* \(required\)$/m,
      /\(also --base-model-path, /,
      /^ {2}weight-diff recover --path_raw llama-7b .* --resume$/m,
      /^ {2}0 done {3}2 wrong usage {3}3 /m,
    ]) {
      assert.match(out, line);
    }
    assert.ok(out.split("\n").every((line) => line.length <= 120));
  });
}

test("every command has a page of its own, with an example and its exit codes", async () => {
  for (const command of COMMAND_NAMES) {
    const words = typed(command);
    const { code, out } = await weightDiff([...words.split(" "), "--help"]);
    assert.equal(code, 0);
    assert.match(out, new RegExp(`^weight-diff ${words}: `));
    assert.match(out, new RegExp(`^examples:\n  weight-diff ${words}`, "m"));
    assert.match(out, /^exit codes:\n {2}0 done {3}2 wrong usage/m);
  }
});

test("chain has a page of its commands, and is none itself", async () => {
  for (const words of [
    ["chain", "--help"],
    ["chain", "-h"],
    ["help", "chain"],
  ]) {
    const { code, out, said } = await weightDiff(words);
    assert.deepEqual([code, said], [0, []]);
    assert.match(out, /^ {2}chain inspect +show a chain of weight updates/m);
    assert.match(out, /^ {2}weight-diff chain verify updates$/m);
  }
  for (const [words, fact] of [
    [["chain"], "chain: which command is missing"],
    [["chain", "nosuch"], 'chain: no command "nosuch"'],
  ] as const) {
    const { code, said } = await weightDiff(words);
    assert.equal(code, 2);
    assert.ok(said[0]?.includes(`${fact}: inspect, verify, materialize`), said[0]);
    assert.equal(said[1], "weight-diff: hint: see weight-diff chain --help");
  }
});

test("a path that is not there is exit code 4", async () => {
  assert.deepEqual(await weightDiff(["inspect", "no/such/model"]), {
    code: 4,
    signal: null,
    out: "",
    said: [
      "weight-diff: error: no/such/model: no such file or directory",
      `weight-diff: hint: check the path: ${process.cwd()} has no "no"; if it is model in the repository no/such on the Hub, write hf://no/such/model`,
    ],
  });
});

/** A dry run of the demo, and what of it does not depend on how the flags were spelled. */
async function dryRun(...flags: readonly string[]): Promise<unknown> {
  const { code, out } = await weightDiff(["recover", ...flags, "--dry-run", "--json"]);
  assert.equal(code, 0);
  const { seconds, bytes_per_second, peak_memory_bytes, ...rest } = JSON.parse(out);
  assert.ok(seconds > 0 && bytes_per_second > 0 && peak_memory_bytes > 0);
  return rest;
}

for (const [what, flags] of [
  ["-", ["--path-raw", BASE, "--path-diff", DIFF]],
  ["=", [`--path_raw=${BASE}`, `--path-diff=${DIFF}`]],
] as const) {
  test(`reads flags spelled with ${what}`, async () => {
    assert.deepEqual(await dryRun(...flags), await dryRun("--path_raw", BASE, "--path_diff", DIFF));
  });
}

for (const [what, flags] of [
  ["FastChat's names", ["--base-model-path", BASE, "--delta-path", DIFF]],
  ["FastChat's abbreviations", ["--base", BASE, "--delta", DIFF]],
  ["FastChat's names with _ and =", [`--base_model_path=${BASE}`, `--delta_path=${DIFF}`]],
] as const) {
  test(`reads ${what}, which mean FastChat's arithmetic unless a scheme is named`, async () => {
    const scheme = ["--scheme", "open-instruct"];
    assert.deepEqual(
      await dryRun(...flags, ...scheme),
      await dryRun("--path_raw", BASE, "--path_diff", DIFF, ...scheme),
    );
    const { scheme: chosen, dtype } = (await dryRun(...flags)) as { readonly scheme: string; readonly dtype: string };
    assert.deepEqual([chosen, dtype], ["fastchat-v0", "float16"]);
  });
}

const FOREIGN: readonly (readonly [flags: readonly string[], line: string])[] = [
  [["--device", "cuda"], "--device: everything is computed on the CPU, with the bits that torch gives on a CPU"],
  [["--test_inference=True"], "warning: --test_inference: not run: a dry run makes no model"],
  [["--original_model", "x"], "--original_model: not loaded; compare the digests in weight-diff.json instead"],
  [["--low-cpu-mem"], "low_cpu_mem: memory is always small"],
];
for (const [flags, line] of FOREIGN) {
  test(`accepts ${flags.join(" ")} and says in one line what it means here`, async () => {
    const { code, said } = await recoverDemo("--dry-run", ...flags);
    assert.equal(code, 0);
    assert.deepEqual(
      said.filter((text) => text.includes(/--[\w-]+|low_cpu_mem/.exec(line)?.[0] ?? "")),
      [`weight-diff: ${line}`],
    );
  });
}

test("--check_integrity_naively True computes the sum, and says that none is known to compare it with", async () => {
  const { code, out, said } = await recoverDemo("--check_integrity_naively", "True");
  assert.equal(code, 0);
  assert.match(out, /^ {2}sum {6}139\.073288, with inv_freq 141\.998734$/m);
  assert.equal(
    said.at(-1),
    "weight-diff: --check_integrity_naively: no sum was published for this diff: computed, not compared",
  );
  assert.ok(!(await recoverDemo("--check_integrity_naively", "False")).said.join().includes("integrity"));
});
