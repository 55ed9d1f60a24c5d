/** The rooms and who may know whom (docs/architecture.md): read from the import statements themselves. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/fixtures.js";

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

/** `x.ts` and the folder `x/` are one room; every other file belongs to its folder; a file at the root is a room of its own. */
const folders = new Set(files.map((file) => dirname(file)));
const roomOf = (file: string): string => {
  const stem = file.replace(/\.ts$/, "");
  return folders.has(stem) || dirname(file) === "." ? stem : dirname(file);
};

/** From the top down: a room imports from those below it. The first that matches holds the file. */
const ROOMS: readonly RegExp[] = [
  /^cli\//,
  /^index\.ts$/,
  /^library\//,
  /^commands\/(push|verify|inspect|finalize)(\/|\.ts$)/,
  /^commands\/make-diff(\/|\.ts$)/,
  /^commands\/report(\/|\.ts$)/,
  /^commands\/recover(\/|\.ts$)/,
  /^commands\//,
  /^make\//,
  /^inference\//,
  /^sums\//,
  /^check\//,
  /^evidence\//,
  /^manifest\//,
  /^run\//,
  /^engine\/[^/]+$/,
  /^engine\/work\//,
  /^plan\//,
  /^scheme\//,
  /^known\//,
  /^output\//,
  /^engine\/io\//,
  /^chain\//,
  /^checkpoint\//,
  /^hub\//,
  /^files\//,
  /^http\//,
  /^engine\/job\//,
  /^kernel\//,
  /^formats\//,
  /^(errors|version|finding)\.ts$/,
  /^advice\.ts$/,
  /^secrets\.ts$/,
];
const level = (file: string): number => ROOMS.findIndex((pattern) => pattern.test(file));

/** package -> the files that may import it. */
const ONLY: readonly (readonly [packages: RegExp, importers: RegExp])[] = [
  [/^(commander|cli-progress)$/, /^cli\//],
  [
    /^zod$/,
    /^(check\/signature\/(bundle|statement)|library\/(options|values)|cli\/flags\/(flag|values)|checkpoint\/(config|tokenizer|layouts\/meta\/params)|hub\/(entries|siblings)|manifest\/(manifest|read))\.ts$/,
  ],
  [/^(node:)?fs(\/promises)?$/, /^(checkpoint|files|hub|output|engine\/io|run|manifest|engine)\//],
  [/^(node:)?worker_threads$/, /^engine\//],
  [/^@huggingface\/hub$/, /^hub\//],
  [/^(node:)?(net|http|https|tls)$/, /^http\/(connection|exchange|network|trust)\.ts$/],
  [/^(node:)?(dns|child_process|vm|cluster)$/, /^$/],
];

test("finds the files and their imports", () => {
  assert.ok(files.length > 50, String(files.length));
  assert.ok(imports.some(({ from, to }) => from === "commands/recover/plan.ts" && to === "plan/plan.ts"));
  assert.ok(imports.some(({ from, to }) => from === "cli/main.ts" && to === "cli/command-line.ts"));
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

test("formats and kernel do not know of each other, but for the dtypes and their units", () => {
  const between = imports.filter(
    ({ from, to }) =>
      (from.startsWith("formats/") && to.startsWith("kernel/")) ||
      (from.startsWith("kernel/") && to.startsWith("formats/")),
  );
  assert.deepEqual(
    between.filter(({ to }) => !["formats/dtype.ts", "formats/coded/units.ts"].includes(to)),
    [],
  );
});

test("engine knows nothing of checkpoints, and checkpoints nothing of the engine", () => {
  const wrong = imports.filter(
    ({ from, to }) =>
      (from.startsWith("engine/") && /^(checkpoint|hub)\//.test(to)) ||
      (/^(checkpoint|hub)\//.test(from) && to.startsWith("engine/")),
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
  const inside = imports.filter(({ to }) => files.includes(to));
  refuseCircles(inside);
});

test("no two rooms know each other, whatever the way round", () => {
  const rooms = imports
    .filter(({ to }) => files.includes(to))
    .map(({ from, to }) => ({ from: roomOf(from), to: roomOf(to) }))
    .filter(({ from, to }) => from !== to);
  refuseCircles(rooms);
});

function refuseCircles(imports: readonly Import[]): void {
  const next = new Map<string, string[]>();
  for (const { from, to } of imports) {
    next.set(from, [...(next.get(from) ?? []), to]);
  }
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
  for (const start of next.keys()) {
    walk(start, []);
  }
}
