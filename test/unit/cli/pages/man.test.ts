/** The man page: whole, and clean to the tools that read it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { COMMAND_NAMES, COMMANDS } from "../../../../src/cli/flags/commands.js";
import { flagsOf } from "../../../../src/cli/flags/table.js";
import { manPage } from "../../../../src/cli/pages/man.js";
import { withFolder } from "../../../support/checkpoints.js";

const PAGE = manPage("1.2.3", "2026-11-29");
const absent = spawnSync("man", ["--version"]).error !== undefined;

/** What a reader sees, without line ends. */
async function shown(): Promise<string> {
  let text = "";
  await withFolder(async (folder) => {
    const file = join(folder, "weight-diff.1");
    writeFileSync(file, PAGE);
    const { stdout, stderr } = spawnSync("man", ["--warnings", "--no-hyphenation", "--no-justification", "-l", file], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C", MANWIDTH: "200", MANPAGER: "cat" },
    });
    assert.equal(stderr, "");
    text = stdout.replaceAll(/\s+/g, " ");
  });
  return text;
}

test("man shows every command, flag and example without a warning", {
  skip: absent && "man is not installed",
}, async () => {
  const text = await shown();
  assert.match(text, /^WEIGHT-DIFF\(1\) .*weight-diff 1\.2\.3 2026-11-29 WEIGHT-DIFF\(1\) ?$/);
  for (const name of COMMAND_NAMES) {
    const { does, examples } = COMMANDS[name];
    const flags = flagsOf(name).filter(({ hidden, argument }) => hidden !== true && argument !== true);
    const expected = [
      does,
      ...examples.map((line) => `weight-diff ${line}`),
      ...flags.map((flag) => `--${flag.name} `),
    ];
    for (const part of [...expected, ...flags.map(({ help }) => help)]) {
      assert.ok(text.includes(part.replaceAll("…", "...").replaceAll(/\s+/g, " ")), part);
    }
  }
});

test("no text of the tables is read as a command by roff", () => {
  for (const line of PAGE.trimEnd().split("\n")) {
    assert.match(line, /^(\.(TH|SH|SS|TP|PP|B|br|nf|fi)\b|\\fB|\\fI|[^.'])/, line);
    assert.doesNotMatch(line, /(?<!\\)-(?=-)/, line);
  }
});
