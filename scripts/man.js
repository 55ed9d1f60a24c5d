// The man page, a step of `npm run build`: dist/man/weight-diff.1.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { manPage } from "../dist/src/cli/pages/man.js";

const file = (name) => new URL(`../${name}`, import.meta.url);
const { version } = JSON.parse(readFileSync(file("package.json"), "utf8"));
// The day of the release, so that the same sources give the same page.
const [, date] = /^## .*?(\d{4}-\d{2}-\d{2})/m.exec(readFileSync(file("CHANGELOG.md"), "utf8")) ?? [];
mkdirSync(file("dist/man"), { recursive: true });
writeFileSync(file("dist/man/weight-diff.1"), manPage(version, date ?? ""));
