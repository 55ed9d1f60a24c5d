// `npm run wheel`: the Python package in python/, with the commands as functions, written from the table of flags, and with the built
// program, as dist/weight_diff-VERSION-py3-none-any.whl, or in the folder that is given. Wants python3 with pip, which fetches the build tool that pyproject.toml names.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pythonCommands } from "../dist/src/cli/pages/python.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = process.argv[2] ?? join(root, "dist");
const stage = join(out, "wheel");
const python = process.env.WEIGHT_DIFF_PYTHON ?? "python3";
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

rmSync(stage, { recursive: true, force: true });
cpSync(join(root, "python"), stage, { recursive: true, filter: (path) => !path.endsWith("__pycache__") });
const project = join(stage, "pyproject.toml");
writeFileSync(project, readFileSync(project, "utf8").replace('version = "0.0.0"', `version = "${version}"`));
writeFileSync(join(stage, "weight_diff/_commands.py"), pythonCommands());
for (const file of ["README.md", "LICENSE"]) {
  cpSync(join(root, file), join(stage, file));
}
cpSync(join(root, "dist/man"), join(stage, "man"), { recursive: true });
const program = join(stage, "weight_diff/_program");
mkdirSync(program, { recursive: true });
// It knows its version from there.
cpSync(join(root, "package.json"), join(program, "package.json"));
cpSync(join(root, "bin"), join(program, "bin"), { recursive: true });
cpSync(join(root, "dist/cli"), join(program, "dist/cli"), {
  recursive: true,
  filter: (path) => !path.endsWith(".map"),
});

const arguments_ = ["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"];
const { status } = spawnSync(python, [...arguments_, "--wheel-dir", out, stage], { stdio: "inherit" });
process.exitCode = status ?? 1;
