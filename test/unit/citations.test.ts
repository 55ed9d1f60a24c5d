/** Citations lead somewhere that the reader can open: a page of docs/, at a section that it has, or a file of the code. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/fixtures.js";

const files = ["src", "test", "docs", "fixtures", ".github"].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(ts|js|py|md|yml)$/.test(file) && !file.includes("node_modules"))
    .map((file) => join(folder, file).replaceAll("\\", "/")),
);
const texts = new Map(
  ["README.md", "CHANGELOG.md", ...files].map((file) => [file, readFileSync(join(ROOT, file), "utf8")]),
);

test("every cited page of docs/ exists, and has the sections that are cited", () => {
  const wrong: string[] = [];
  let count = 0;
  for (const [file, text] of texts) {
    for (const [, page = "", sections = ""] of text.matchAll(/\b(docs\/[\w-]+\.md)((?: \d[\d.]*\b,?)*)/g)) {
      count++;
      const cited = texts.get(page);
      if (cited === undefined) {
        wrong.push(`${file}: ${page}`);
        continue;
      }
      for (const [section = ""] of sections.matchAll(/\d+(?:\.\d+)*/g)) {
        if (!new RegExp(`^#+ ${section.replaceAll(".", "\\.")}\\.? `, "m").test(cited)) {
          wrong.push(`${file}: ${page} ${section}`);
        }
      }
    }
  }
  assert.ok(count > 50, String(count));
  assert.deepEqual(wrong, []);
});

test("every link of the documentation leads to a file, and to a heading in it", () => {
  const wrong: string[] = [];
  for (const [file, text] of texts) {
    if (!file.endsWith(".md") || file.startsWith("fixtures/")) {
      continue;
    }
    for (const [, target = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      const [path = "", anchor] = target.split("#");
      if (/^[a-z]+:/.test(target)) {
        continue;
      }
      const to = path === "" ? file : join(file, "..", path).replaceAll("\\", "/");
      const headings = (texts.get(to) ?? "").matchAll(/^#+ (.*)$/gm);
      if (
        !existsSync(join(ROOT, to)) ||
        (anchor !== undefined && ![...headings].some(([, h = ""]) => slug(h) === anchor))
      ) {
        wrong.push(`${file}: ${target}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test("no text cites a page that is not in the repository", () => {
  const pages = /\b(DESIGN|FIELD|ARTIFACTS|EXACTNESS|CODING|CHAINS|INFERENCE|STYLE)(\.md)?( \d|\))/;
  const wrong = [...texts].flatMap(([file, text]) =>
    text
      .split("\n")
      .flatMap((line, index) => (pages.test(line) && !line.includes("const pages") ? [`${file}:${index + 1}`] : [])),
  );
  assert.deepEqual(wrong, []);
});

test("every file of the code that a text or a comment names is there", () => {
  const names = new Set(files.map((file) => file.slice(file.lastIndexOf("/") + 1)));
  const wrong = [...texts].flatMap(([file, text]) => {
    if (file.endsWith(".md")) {
      const paths = [...text.matchAll(/`((?:src|test)\/[\w./-]+\.ts)`/g)].map(([, path = ""]) => path);
      return paths.filter((path) => !texts.has(path)).map((path) => `${file}: ${path}`);
    }
    const comments = file.endsWith(".ts") ? text.split("\n").filter((line) => /^\s*(\/\*\*|\*|\/\/)/.test(line)) : [];
    const named = comments.flatMap((line) =>
      [...line.matchAll(/(?<![\w/.*-])[a-z][\w-]+\.ts\b/g)].map(([name]) => name),
    );
    return named.filter((name) => !names.has(name)).map((name) => `${file}: ${name}`);
  });
  assert.deepEqual(wrong, []);
});

/** As GitHub makes anchors of headings. */
function slug(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");
}
