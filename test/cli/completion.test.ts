/** Completion as a user has it: Tab in a real bash with readline, on a terminal that `script` (util-linux) gives it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withFolder } from "../support/checkpoints.js";
import { weightDiff } from "./command.js";

const absent = spawnSync("script", ["--version"]).error !== undefined;

test("Tab completes commands, flags, schemes, dtypes, folders", {
  skip: absent && "script is not installed",
}, async () => {
  const { out, code } = await weightDiff(["completion", "bash"]);
  assert.equal(code, 0);
  await withFolder(async (folder) => {
    writeFileSync(join(folder, "completion.bash"), out);
    mkdirSync(join(folder, "base model"));
    const typed: readonly (readonly [line: string, words: readonly string[]])[] = [
      ["weight-diff reco\t", ["recover"]],
      ["weight-diff recover --path_r\tbas\t", ["recover", "--path_raw", "base model/"]],
      ["weight-diff recover --dt\tbfl\t", ["recover", "--dtype", "bfloat16"]],
      ["weight-diff recover --dtype=float1\t", ["recover", "--dtype=float16"]],
      ["weight-diff recover --scheme lla\t", ["recover", "--scheme", "llava"]],
      ["weight-diff verify bas\t", ["verify", "base model/"]],
    ];
    const lines = [
      "source completion.bash",
      // In place of the program: what it would be given.
      `weight-diff() { echo "given:$(printf '<%s>' "$@")"; }`,
      ...typed.map(([line]) => line),
      "exit",
    ];
    const { stdout } = spawnSync("script", ["-qec", "bash --norc -i", "/dev/null"], {
      cwd: folder,
      input: `${lines.join("\n")}\n`,
      encoding: "utf8",
      env: { PATH: process.env.PATH, HOME: folder, TERM: "dumb", INPUTRC: "/dev/null" },
    });
    const given = [...stdout.matchAll(/given:(<.*>)\r?$/gm)].map(([, words]) => words);
    assert.deepEqual(
      given,
      typed.map(([, words]) => words.map((word) => `<${word}>`).join("")),
    );
  });
});
