/** Completions, asked of the real shells: bash always, zsh and fish where they are installed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { COMMAND_NAMES, firstWords, typed } from "../../../../src/cli/flags/commands.js";
import { SHELLS } from "../../../../src/cli/flags/flag.js";
import { flagsOf } from "../../../../src/cli/flags/table.js";
import { completionScript } from "../../../../src/cli/pages/completion.js";
import { SCHEMES } from "../../../../src/scheme/families.js";
import { withFolder } from "../../../support/checkpoints.js";

/** What bash offers at the end of these words; readline breaks them at "=". */
async function bashOffers(...words: readonly string[]): Promise<readonly string[]> {
  let offered: readonly string[] = [];
  await withFolder(async (folder) => {
    const script = join(folder, "completion.bash");
    writeFileSync(script, completionScript("bash"));
    const line = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _weight_diff; printf "%s\\n" "\${COMPREPLY[@]}"`;
    const args = ["--norc", "-c", line, "bash", script, "weight-diff", ...words];
    const { stdout, stderr, status } = spawnSync("bash", args, { encoding: "utf8" });
    assert.deepEqual([stderr, status], ["", 0]);
    offered = stdout.split("\n").filter((word) => word !== "");
  });
  return offered;
}

test("bash offers every command", async () => {
  assert.deepEqual(await bashOffers(""), [...firstWords(), "--help", "--version"]);
  assert.deepEqual(await bashOffers("chain", ""), ["inspect", "verify", "materialize", "fold", "make", "--help"]);
  assert.deepEqual(await bashOffers("rec"), ["recover"]);
});

for (const command of COMMAND_NAMES) {
  test(`bash offers every flag of ${command} that its help shows`, async () => {
    const shown = flagsOf(command).filter(({ hidden, argument }) => hidden !== true && argument !== true);
    assert.deepEqual(await bashOffers(...typed(command).split(" "), "--"), [
      ...shown.map(({ name }) => `--${name}`),
      "--help",
    ]);
  });
}

for (const [words, offered] of [
  [
    ["recover", "--dtype", "bf"],
    ["bfloat16", "bf16"],
  ],
  [["recover", "--dtype", "=", "float1"], ["float16"]],
  [
    ["recover", "--dtype", "="],
    ["float32", "fp32", "float16", "fp16", "bfloat16", "bf16", "auto"],
  ],
  [["make_diff", "--encoding", "e"], ["exact"]],
  [
    ["recover", "--inv_freq", ""],
    ["drop", "keep"],
  ],
  [["verify", "--format", "g"], ["github"]],
  [["completion", ""], SHELLS],
  // Files, by readline.
  [["recover", "--path_raw", "f"], []],
  [["recover", "--path-raw", "f"], []],
  [["verify", "f"], []],
  // Whatever comes after a number.
  [["recover", "--threads", ""], []],
  [["nosuch", "--"], []],
  [["chain", "mat"], ["materialize"]],
  [["chain", "verify", "--layout", "sl"], ["slime"]],
  [["recover", "--scheme", "fast"], SCHEMES.map(({ name }) => name).filter((name) => name.startsWith("fast"))],
] as const) {
  test(`bash at "weight-diff ${words.join(" ")}" offers ${offered.length === 0 ? "nothing of its own" : offered.join(" ")}`, async () => {
    assert.deepEqual(await bashOffers(...words), offered);
  });
}

test("the script for bash defines no names but its own", () => {
  const defined = [...completionScript("bash").matchAll(/^\s*(\w+)\(\)/gm)].map(([, name]) => name);
  assert.ok(defined.length > 0 && defined.every((name) => name?.startsWith("_weight_diff")));
});

for (const shell of ["zsh", "fish"] as const) {
  const absent = spawnSync(shell, ["--version"]).error !== undefined;
  test(`${shell} reads its script`, { skip: absent && `${shell} is not installed` }, async () => {
    await withFolder(async (folder) => {
      const script = join(folder, "script");
      writeFileSync(script, completionScript(shell));
      const { status, stderr } = spawnSync(shell, ["-n", script], { encoding: "utf8" });
      assert.deepEqual([status, stderr], [0, ""]);
      if (shell === "fish") {
        const asked = `source ${script}; complete -C "weight-diff recover --dtype bf"; complete -C "weight-diff completion z"`;
        const offered = spawnSync(shell, ["-c", asked], { encoding: "utf8" }).stdout;
        assert.deepEqual(
          offered
            .trim()
            .split("\n")
            .map((line) => line.split("\t")[0]),
          ["bf16", "bfloat16", "zsh"],
        );
      }
    });
  });
}

test("the script for PowerShell has balanced braces, quotes and every flag", () => {
  const script = completionScript("powershell");
  const bare = script.replaceAll(/'(?:[^']|'')*'/g, "").replaceAll(/"[^"]*"/g, "");
  for (const [open, close] of ["()", "{}", "[]"]) {
    assert.equal(bare.split(open ?? "").length, bare.split(close ?? "").length);
  }
  for (const { name, hidden, argument } of flagsOf("recover")) {
    assert.ok(hidden === true || argument === true || script.includes(`'--${name}'`), name);
  }
});
