// The page of a report without its data: page.html with style and script in it, and a policy that lets nothing else run or load. What the
// script is made of goes along as licences, in the page and in the package.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "src/commands/report/page");
const out = join(root, "dist/src/commands/report/page.html");

const common = { absWorkingDir: root, bundle: true, minify: true, write: false, metafile: true, logLevel: "warning" };
const [script, style] = await Promise.all([
  build({ ...common, entryPoints: [join(folder, "page.ts")], format: "iife", target: "es2022", charset: "utf8" }),
  build({ ...common, entryPoints: [join(folder, "page.css")] }),
]);

/** Files that the script is made of. */
export const pageInputs = Object.keys(script.metafile.inputs);

const packages = new Set(pageInputs.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []));
const licences = new Map();
for (const one of packages) {
  const file = readdirSync(join(root, one)).find((entry) => /^licen[cs]e/i.test(entry));
  const text = readFileSync(join(root, one, file ?? "package.json"), "utf8").trim();
  const name = one.slice(one.lastIndexOf("node_modules/") + "node_modules/".length);
  licences.set(text, [...(licences.get(text) ?? []), name]);
}
const notice = [...licences].map(([text, names]) => `${names.sort().join(", ")}\n\n${text}`).join("\n\n");
// Within a script, nothing of this may look like its end.
const code = `/*\n${notice}\n*/\n${script.outputFiles[0].text.trim()}`.replaceAll("</", "<\\/");
const css = style.outputFiles[0].text.trim();

const hashOf = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const parts = {
  POLICY: `default-src 'none'; script-src ${hashOf(code)}; style-src ${hashOf(css)}; base-uri 'none'; form-action 'none'`,
  "/* STYLE */": css,
  "/* SCRIPT */": code,
};
let page = readFileSync(join(folder, "page.html"), "utf8");
for (const [mark, text] of Object.entries(parts)) {
  page = page.replace(mark, () => text);
}
mkdirSync(dirname(out), { recursive: true });
writeFileSync(out, page);
