/**
 * The Python package: `npm run wheel`'s wheel in a fresh venv with no Node on PATH. WEIGHT_DIFF_PYTHON names the Python that makes the
 * venv; without it the tests are skipped, except in CI, where they fail.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { FIXTURES, ROOT } from "../support/fixtures.js";

const BASE = join(FIXTURES, "demo/base");
const DIFF = join(FIXTURES, "demo/diff");
const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;
const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { readonly version: string };

let place = "";
/** No Node on PATH. */
const env = { HOME: process.env.HOME ?? "", PATH: "/nowhere" };

before(() => {
  if (skip !== false) {
    return;
  }
  assert.ok(python !== undefined, absent);
  place = mkdtempSync(join(tmpdir(), "weight-diff-"));
  ended(spawnSync(process.execPath, [join(ROOT, "scripts/wheel.js"), place], { encoding: "utf8" }));
  ended(spawnSync(python, ["-m", "venv", join(place, "venv")], { encoding: "utf8" }));
  const wheel = readdirSync(place).filter((name) => name.endsWith(".whl"));
  assert.deepEqual(wheel, [`weight_diff-${version}-py3-none-any.whl`]);
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", join(place, wheel[0] ?? ""), "mypy"];
  ended(spawnSync(join(place, "venv/bin/python"), pip, { encoding: "utf8" }));
});
after(() => rmSync(place, { recursive: true, force: true }));

function ended({ status, stderr }: { readonly status: number | null; readonly stderr: string }): void {
  assert.equal(status, 0, stderr);
}

function run(program: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(join(place, "venv/bin", program), args, {
    encoding: "utf8",
    env,
    cwd: place,
  });
  return { status, stdout, stderr };
}

/** Runs lines of Python; the last one prints JSON. */
function py(...lines: readonly string[]): unknown {
  const { status, stdout, stderr } = run("python", "-c", ["import json, weight_diff", ...lines].join("\n"));
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

const tensorsOf = (document: { readonly tensors: readonly { readonly name: string; readonly sha256: string }[] }) =>
  new Map(document.tensors.map(({ name, sha256 }) => [name, sha256]));

test("weight-diff and python -m weight_diff are the command line", { skip }, () => {
  assert.deepEqual(run("weight-diff", "--version"), { status: 0, stdout: `${version}\n`, stderr: "" });
  const out = join(place, "by-module");
  const args = ["--path_raw", BASE, "--path_diff", DIFF, "--path_tuned", out, "--quiet"];
  assert.deepEqual([run("python", "-m", "weight_diff", "recover", ...args).status, existsSync(out)], [0, true]);
  const { status, stderr } = run("weight-diff", "recover", "--path_raw", BASE);
  assert.deepEqual([status, stderr.split("\n")[0]], [2, "weight-diff: error: --path_diff: is missing: give the diff"]);
});

test("recover gives the bits of the reference, its figures and its path", { skip }, () => {
  const out = join(place, "recovered");
  const [path, outcome, dtype, scheme, document, figures] = py(
    "said = []",
    `result = weight_diff.recover(path_raw=${JSON.stringify(BASE)}, path_diff=${JSON.stringify(DIFF)}, path_tuned=${JSON.stringify(out)}, threads=2, progress=said.append)`,
    "last = said[-1]",
    "print(json.dumps([result.path, result.outcome, result.dtype, result.scheme, dict(result.document), [last.done, last.total, last.tensor]]))",
  ) as readonly [string, string, string, string, Parameters<typeof tensorsOf>[0], readonly [number, number, string]];
  assert.deepEqual([path, outcome, dtype, scheme], [out, "recovered", "float32", "open-instruct"]);
  const expected = JSON.parse(readFileSync(join(FIXTURES, "demo/expected.json"), "utf8"));
  // Models compute these buffers, so that they are not written; the reference has them.
  const written = [...tensorsOf(expected)].filter(([name]) => !name.endsWith("inv_freq"));
  assert.deepEqual(tensorsOf(document), new Map(written));
  assert.equal(figures[0], figures[1]);
});

test("transformers loads what it gives, by its path", { skip }, () => {
  const out = join(place, "loaded");
  const path = py(
    `result = weight_diff.recover(path_raw=${JSON.stringify(BASE)}, path_diff=${JSON.stringify(DIFF)}, path_tuned=${JSON.stringify(out)}, dtype="bfloat16")`,
    "print(json.dumps(result.path))",
  );
  // torch and transformers are that Python's.
  const code = "import sys, transformers; print(transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1]).dtype)";
  const { stdout, stderr } = spawnSync(python ?? "", ["-c", code, String(path)], { encoding: "utf8" });
  assert.equal(stdout.trim(), "torch.bfloat16", stderr);
});

test("the other commands give their results", { skip }, () => {
  const [diff, outcome, sound, kind] = py(
    `tuned = weight_diff.recover(path_raw=${JSON.stringify(BASE)}, path_diff=${JSON.stringify(DIFF)}, path_tuned="tuned").path`,
    `made = weight_diff.make_diff(path_raw=${JSON.stringify(BASE)}, path_tuned=tuned, path_diff="diff", encoding="exact")`,
    "print(json.dumps([made.path, made.outcome, weight_diff.verify(made.path).sound, weight_diff.inspect(made.path).kind]))",
  ) as readonly unknown[];
  assert.deepEqual([diff, outcome, sound, kind], [join(place, "diff"), "made", true, "diff"]);
  const reports = py(
    `told = [weight_diff.report(${JSON.stringify(BASE)}, "diff"), weight_diff.report("diff"), weight_diff.report(model="diff")]`,
    "print(json.dumps([[one.document['base'], one.outcome, one.relative is None] for one in told]))",
  );
  const alone = [null, "changed", true];
  assert.deepEqual(reports, [[BASE, "changed", false], alone, alone]);
});

test("what fails raises WeightDiffError with code, message, hint and place", { skip }, () => {
  assert.deepEqual(
    py(
      "try:",
      `    weight_diff.recover(path_raw=${JSON.stringify(BASE)}, path_diff="./no/such")`,
      "except weight_diff.WeightDiffError as error:",
      "    print(json.dumps([error.code, error.message, error.hint, error.at, error.exit_code]))",
    ),
    [
      "NOT_FOUND",
      "./no/such: no such file or directory",
      `check the path: ${place} has no "no"`,
      { file: "./no/such" },
      4,
    ],
  );
});

test("what a progress function raises ends the run, which can be resumed", { skip }, () => {
  assert.deepEqual(
    py(
      "def stop(figures): raise ValueError('enough')",
      `pair = dict(path_raw=${JSON.stringify(BASE)}, path_diff=${JSON.stringify(DIFF)}, path_tuned="stopped")`,
      "try:",
      "    weight_diff.recover(**pair, progress=stop)",
      "except ValueError as error:",
      "    text = str(error)",
      // It was so small that it may have been finished.
      "print(json.dumps([text, weight_diff.recover(**pair, resume=True).outcome in ('recovered', 'verified')]))",
    ),
    ["enough", true],
  );
});

for (const [what, group] of [
  ["Python alone", false],
  ["Python and the program, as at a terminal", true],
] as const) {
  test(`Ctrl-C that reaches ${what} ends both`, { skip }, async () => {
    const script = join(place, "interrupt.py");
    // A Hub that accepts and never answers keeps the command waiting.
    writeFileSync(
      script,
      `import os, signal, socket, sys, threading, weight_diff
server = socket.create_server(("127.0.0.1", 0))
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.getsockname()[1]}"
def interrupt():
    server.accept()
    os.${group ? "killpg(os.getpgrp()" : "kill(os.getpid()"}, signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    weight_diff.recover(path_raw="org/base", path_diff=${JSON.stringify(DIFF)}, path_tuned="interrupted")
except KeyboardInterrupt:
    print("stopped")
    try:
        os.waitpid(-1, os.WNOHANG)
        print("a child is left")
    except ChildProcessError:
        print("no child is left")
`,
    );
    const child = spawn(join(place, "venv/bin/python"), [script], { env, cwd: place, detached: true });
    const lines: string[] = [];
    createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
    const [code] = await once(child, "close");
    assert.deepEqual([code, lines], [0, ["stopped", "no child is left"]]);
  });
}

test("the Python of docs/python.md runs", { skip }, () => {
  const folder = join(place, "page");
  cpSync(BASE, join(folder, "llama-7b"), { recursive: true });
  cpSync(DIFF, join(folder, "tulu-7b-diff"), { recursive: true });
  const page = readFileSync(join(ROOT, "docs/python.md"), "utf8");
  const blocks = [...page.matchAll(/^```python\n(.*?)^```/gms)].map(([, code]) => code ?? "");
  assert.ok(blocks.length >= 4);
  for (const code of blocks) {
    const { status, stderr } = spawnSync(join(place, "venv/bin/python"), ["-c", code], {
      encoding: "utf8",
      env,
      cwd: folder,
    });
    assert.equal(status, 0, `${code}\n${stderr}`);
  }
});

test("mypy finds every call typed", { skip }, () => {
  const { status, stdout } = run("python", "-m", "mypy", "--strict", "-p", "weight_diff");
  assert.deepEqual([status, stdout.split(":")[0]], [0, "Success"]);
});
