/**
 * Diffs whose embedding and head (with its bias, if it has one) gain different numbers of rows, held against transformers: recover warns if, and only if, from_pretrained
 * refuses the result. unlike_rows.py makes and loads them.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { recover } from "../../src/commands/recover.js";
import { GUARDS } from "../../src/evidence/guard-names.js";
import { withFolder } from "../support/checkpoints.js";
import { ROOT } from "../support/fixtures.js";

const SCRIPT = join(ROOT, "test", "conformance", "unlike_rows.py");
const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with torch and transformers";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;

function run(...args: readonly string[]): unknown {
  assert.ok(python !== undefined, absent);
  const { status, stdout, stderr, error } = spawnSync(python, [SCRIPT, ...args], { encoding: "utf8" });
  assert.equal(status, 0, `${error?.message ?? ""}\n${stdout}\n${stderr}`);
  return JSON.parse(stdout);
}

test("recover warns of rows that only one of embedding and head gains, if transformers refuses the result", {
  skip,
}, async () => {
  await withFolder(async (folder) => {
    const cases = run("make", folder) as readonly string[];
    assert.equal(cases.length, 45);
    const warned = new Map<string, boolean>();
    for (const name of cases) {
      const warnings: string[] = [];
      await recover({
        raw: join(folder, name, "base"),
        diff: join(folder, name, "diff"),
        tuned: join(folder, name, "tuned"),
        scheme: "open-instruct",
        ignore: GUARDS,
        onWarning: (text) => warnings.push(text),
      });
      warned.set(
        name,
        warnings.some((text) => text.includes("refuses to load it")),
      );
    }
    const told = run("load", folder) as Readonly<Record<string, readonly [boolean, boolean, boolean | null]>>;
    const refused = new Map(Object.entries(told).map(([name, [, tuned]]) => [name, !tuned]));
    assert.deepEqual(warned, refused);
    assert.ok([...refused.values()].includes(true) && [...refused.values()].includes(false));
    // What a script can recover at all has the script's bits.
    for (const [name, [loaded, , same]] of Object.entries(told)) {
      assert.equal(same, loaded ? true : null, name);
    }
  });
});
