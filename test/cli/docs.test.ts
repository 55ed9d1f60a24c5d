/** Every session in README and docs/ runs as it is shown. `UPDATE_DOCS=1` writes what came into the pages. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/fixtures.js";
import { sessionsOf, steady, withShell } from "../support/sessions.js";

const pages = ["README.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)].filter((name) =>
  name.endsWith(".md"),
);

for (const name of pages) {
  const page = readFileSync(join(ROOT, name), "utf8");
  const sessions = sessionsOf(page);
  if (sessions.length > 0) {
    test(`the sessions of ${name} run as they are shown`, async () => {
      const lines = page.split("\n");
      await withShell(page, async (type) => {
        const came: { line: number; length: number; text: string[] }[] = [];
        for (const { line, length, steps } of sessions) {
          const text: string[] = [];
          for (const { command, shown } of steps) {
            const found = await type(command);
            // What the page leaves out stays left out.
            const kept = shown.some((line) => line.trim() === "…") && fits(shown.map(steady), found.map(steady));
            text.push(`$ ${command}`, ...(kept ? shown : found));
            if (process.env.UPDATE_DOCS !== "1") {
              assert.ok(fits(shown.map(steady), found.map(steady)), told(name, line, command, shown, found));
            }
          }
          came.push({ line, length, text });
        }
        if (process.env.UPDATE_DOCS === "1") {
          for (const { line, length, text } of came.reverse()) {
            lines.splice(line, length, ...text);
          }
          writeFileSync(join(ROOT, name), lines.join("\n"));
        }
      });
    });
  }
}

/** Do the lines fit, where "…" stands for any number of them? */
function fits(shown: readonly string[], found: readonly string[]): boolean {
  const [first, ...rest] = shown;
  if (first === undefined) {
    return found.length === 0;
  }
  return first.trim() === "…"
    ? found.some((_, index) => fits(rest, found.slice(index))) || rest.length === 0
    : first === found[0] && fits(rest, found.slice(1));
}

function told(name: string, line: number, command: string, shown: readonly string[], found: readonly string[]): string {
  return `${name}:${line + 1}: $ ${command}\nshown:\n${shown.join("\n")}\ncame:\n${found.join("\n")}`;
}
