/** Runs every compiled test file with this Node: `node dist/test/run.js [folder or file fragment …]`. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL(".", import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(root, { recursive: true })
  .map(String)
  .filter((file) => file.endsWith(".test.js") && (wanted.length === 0 || wanted.some((part) => file.includes(part))))
  .sort()
  .map((file) => join(root, file));
if (files.length === 0) {
  process.stderr.write(`no test file matches ${wanted.join(" ")}\n`);
  process.exitCode = 1;
} else {
  // Left to itself, Node keeps one processor free, and where no terminal is it buries a failure among thousands of lines of TAP.
  const flags = ["--test", "--test-reporter=spec", `--test-concurrency=${availableParallelism()}`];
  process.exitCode = spawnSync(process.execPath, [...flags, ...files], { stdio: "inherit" }).status ?? 1;
}
