/** The rooms and who may know whom (DESIGN 2): read from the import statements themselves. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { test } from "node:test";
import { ROOT } from "../fixtures.js";

interface Import {
  readonly from: string;
  /** "node:fs", "zod", or a file under src. */
  readonly to: string;
}

const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts") && !file.startsWith("kernel/assembly/"));
const imports = files.flatMap((from): readonly Import[] => {
  const text = readFileSync(join(ROOT, "src", from), "utf8");
  return [...text.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)"([^"]+)"/g)].map(([, target = ""]) => ({
    from,
    to: target.startsWith(".") ? posix.join(dirname(from), target).replace(/\.js$/, ".ts") : target,
  }));
});

/** From the top down. The first room that matches holds the file. */
const ROOMS: readonly (readonly [name: string, files: RegExp])[] = [
  ["launcher", /^$/],
  ["cli", /^cli\//],
  [
    "commands",
    /^(index|recover|recover-notes|recover-report|recover-sum|make-diff|convert|verify|inspect|run-plan|destination|run-outcome|released|published|model-card|verify-model|digest|read-jobs|compare|survey|contents|xor|xor-files|xor-inputs|xor-options|xor-models|xor-output|xor-record|xor-check|side-check|added-tokens|sum-check|recovered-check|identify|traps|inputs|hub-check|push|push-target|push-files)\.ts$/,
  ],
  [
    "plan",
    /^(plan|plan-convert|operands|layout|pairing|pair-rules|exact|preflight|guards|not-a-diff|wrong-base|base-precision|bit-census|sample|manifest|scheme|scheme-axes|scheme-presets|custom-scheme|candidates|choose-scheme|recover-scheme|own-tensors|stated-sum|xor-payload|xor-plan|xor-base|xor-look|xor-judge|known-xor|pair|one-sided|mismatch|naive-sum|known-sums|known-files|known-models|family|model-shape|finding)\.ts$|^(checkpoint|engine)\//,
  ],
  ["kernel", /^(kernel|formats|http)\//],
  ["errors", /^(errors|version)\.ts$/],
];
const level = (file: string): number => ROOMS.findIndex(([, pattern]) => pattern.test(file));

/** package -> the files that may import it. */
const ONLY: readonly (readonly [packages: RegExp, importers: RegExp])[] = [
  [/^(commander|cli-progress)$/, /^cli\//],
  [/^zod$/, /^(cli\/(flag-schemas|flag-values)|checkpoint\/(config|tokenizer|meta-params|hub)|manifest)\.ts$/],
  [/^(node:)?fs(\/promises)?$/, /^(checkpoint|engine)\/|^(preflight|manifest|inputs)\.ts$/],
  [/^(node:)?worker_threads$/, /^engine\//],
  [/^@huggingface\/hub$/, /^checkpoint\/hub(-[a-z]+)?\.ts$/],
  [/^(node:)?(net|http|https|dns|child_process|vm|cluster)$/, /^$/],
];

test("finds the files and their imports", () => {
  assert.ok(files.length > 50, String(files.length));
  assert.ok(imports.some(({ from, to }) => from === "recover.ts" && to === "plan.ts"));
  assert.ok(imports.some(({ from, to }) => from === "cli/main.ts" && to === "cli/commands.ts"));
});

test("every file has a room", () => {
  assert.deepEqual(
    files.filter((file) => level(file) < 0),
    [],
  );
});

test("imports run downward", () => {
  const inside = imports.filter(({ to }) => files.includes(to));
  assert.deepEqual(
    inside.filter(({ from, to }) => level(to) < level(from)).map(({ from, to }) => `${from} -> ${to}`),
    [],
  );
});

test("every relative import is a file under src", () => {
  const known = new Set(files);
  assert.deepEqual(
    imports.filter(({ to }) => to.endsWith(".ts") && !known.has(to)).map(({ from, to }) => `${from} -> ${to}`),
    [],
  );
});

test("formats and kernel do not know of each other, but for the dtypes", () => {
  const between = imports.filter(
    ({ from, to }) =>
      (from.startsWith("formats/") && to.startsWith("kernel/")) ||
      (from.startsWith("kernel/") && to.startsWith("formats/")),
  );
  assert.deepEqual(
    between.filter(({ to }) => to !== "formats/dtype.ts"),
    [],
  );
});

test("engine and checkpoint do not know of plan or of each other", () => {
  const wrong = imports.filter(
    ({ from, to }) =>
      (from.startsWith("engine/") &&
        (to.startsWith("checkpoint/") ||
          (level(to) < level("kernel/") && !to.startsWith("engine/") && files.includes(to)))) ||
      (from.startsWith("checkpoint/") &&
        files.includes(to) &&
        level(to) === level(from) &&
        !to.startsWith("checkpoint/")),
  );
  assert.deepEqual(wrong, []);
});

for (const [packages, importers] of ONLY) {
  test(`only ${importers.source === "^$" ? "nobody" : importers.source} imports ${packages.source}`, () => {
    const wrong = imports.filter(({ from, to }) => packages.test(to) && !importers.test(from));
    assert.deepEqual(wrong, []);
  });
}

test("no file imports itself in a circle", () => {
  const next = new Map(
    files.map((file) => [
      file,
      imports.filter(({ from, to }) => from === file && files.includes(to)).map(({ to }) => to),
    ]),
  );
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), [...path, file].join(" -> "));
    if (!done.has(file)) {
      for (const to of next.get(file) ?? []) {
        walk(to, [...path, file]);
      }
      done.add(file);
    }
  };
  for (const file of files) {
    walk(file, []);
  }
});
