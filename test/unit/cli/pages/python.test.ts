/** The Python functions that are written from the table, against the files that are written by hand. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { COMMAND_NAMES } from "../../../../src/cli/flags/commands.js";
import { flagsOf } from "../../../../src/cli/flags/table.js";
import { pythonCommands } from "../../../../src/cli/pages/python.js";
import { ROOT } from "../../../support/fixtures.js";

const CODE = pythonCommands();
const PEOPLE = ["status", "batch", "schemes", "completion"];
const text = (name: string): string => readFileSync(join(ROOT, "python/weight_diff", name), "utf8");

test("every command that gives a result is a function", () => {
  const functions = [...CODE.matchAll(/^def (\w+)\(/gm)].map(([, name]) =>
    name?.replace(/_$/, "").replaceAll("_", "-"),
  );
  assert.deepEqual(
    functions,
    COMMAND_NAMES.filter((name) => !PEOPLE.includes(name)),
  );
});

test("every function and its result is there, and is the package's", () => {
  const results = text("_results.py");
  const page = text("__init__.py");
  assert.equal(new Set(page.match(/^ {4}"\w+",$/gm)).size, page.match(/^ {4}"\w+",$/gm)?.length);
  for (const [, name, result] of CODE.matchAll(/^def (\w+)\([^)]*\) -> (\w+):/gms)) {
    assert.ok(results.includes(`class ${result}(`), result);
    assert.ok(page.includes(`"${name}",`) && page.includes(`"${result}",`), `${name} ${result}`);
  }
});

test("recover in Python has a keyword for every flag of its help, except those that say how the result is printed", () => {
  const [, parameters = ""] = /^def recover\(\n(.*?)^\) ->/ms.exec(CODE) ?? [];
  const names = [...parameters.matchAll(/^ {4}(\w+):/gm)].map(([, name]) => name);
  const shown = flagsOf("recover").filter(({ hidden, option }) => hidden !== true && !option?.startsWith("look."));
  assert.deepEqual(new Set(names), new Set([...shown.map(({ name }) => name.replaceAll("-", "_")), "progress"]));
  assert.match(parameters, /^ {4}dtype: Optional\[Literal\["float32", /m);
  assert.match(parameters, /^ {4}resume: bool = False,$/m);
  assert.match(parameters, /^ {4}threads: Optional\[int\] = None,$/m);
  assert.match(parameters, /^ {4}path_raw: PathLike,$/m);
});

test("report's base may be left out, as on the command line: the argument is then a diff alone", () => {
  assert.match(
    CODE,
    /^def report\(\n {4}base: Optional\[PathLike\] = None,\n {4}model: Optional\[PathLike\] = None,\n {4}\*,$/m,
  );
  assert.match(CODE, /^def convert\(\n {4}dir: PathLike,\n {4}out: PathLike,\n {4}\*,$/m);
});
