/**
 * Installed by npm, as users do: the packed tarball, globally and as a library, and a git address, whose clone npm builds. Asks the
 * registry for the packages that the program needs, so that it runs where CI is set. test:newest has it run on the newest Node, too.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { BASE, DIFF } from "../cli/command.js";
import { ROOT } from "../support/fixtures.js";

const skip = process.env.CI === undefined ? "asks the registry: set CI=1" : false;
const HOME = mkdtempSync(join(tmpdir(), "weight-diff-npm-"));
const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { readonly version: string };
let tarball = "";

function run(command: string, args: readonly string[], cwd = HOME, env: Readonly<Record<string, string>> = {}) {
  // The Node that runs the tests is the one that npm and the program run on.
  const path = `${dirname(process.execPath)}:${process.env.PATH}`;
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, PATH: path, ...env },
  });
  return { status, stdout, stderr };
}

/** Installs; npm must have nothing to say of this package. */
function install(...args: readonly string[]): void {
  const { status, stdout, stderr } = run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", ...args]);
  assert.equal(status, 0, stderr);
  const ours = `${stdout}\n${stderr}`
    .split("\n")
    .filter((line) => /warn/i.test(line) && /weight-diff|EBADENGINE/.test(line));
  assert.deepEqual(ours, []);
}

/** What is installed recovers the demo, on the command line and as a library, and says nothing of its own accord. */
function works(bin: string, modules: string): void {
  assert.deepEqual(run(bin, ["--version"]), { status: 0, stdout: `${version}\n`, stderr: "" });
  const shown = run(bin, ["recover", "--path_raw", BASE, "--path_diff", DIFF, "--json", "--quiet"]);
  assert.deepEqual([shown.status, shown.stderr], [0, ""]);
  const expected = JSON.parse(readFileSync(join(DIFF, "../expected.json"), "utf8")) as Digests;
  const digests = ({ tensors }: Digests) => new Map(tensors.map(({ name, sha256 }) => [name, sha256]));
  const byName = digests(expected);
  const recovered = [...digests(JSON.parse(shown.stdout) as Digests)];
  assert.ok(recovered.length > 0);
  assert.deepEqual(
    recovered.filter(([name, sha256]) => byName.get(name) !== sha256),
    [],
  );
  writeFileSync(
    join(dirname(modules), "use.mjs"),
    `import { inspect, WeightDiffError } from "weight-diff";
     import own from "weight-diff/package.json" with { type: "json" };
     const { identity } = await inspect({ path: ${JSON.stringify(DIFF)} });
     const refused = await inspect({ pth: "x" }).catch((error) => error instanceof WeightDiffError && error.code);
     console.log(own.version, identity.kind, refused);`,
  );
  const used = run(process.execPath, [join(dirname(modules), "use.mjs")], HOME, { NODE_NO_WARNINGS: "1" });
  assert.deepEqual(used, { status: 0, stdout: `${version} diff USAGE\n`, stderr: "" });
}

interface Digests {
  readonly tensors: readonly { readonly name: string; readonly sha256: string }[];
}

before(() => {
  if (skip === false) {
    const [packed] = JSON.parse(
      execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", HOME], {
        cwd: ROOT,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }),
    ) as readonly [{ readonly filename: string }];
    tarball = join(HOME, packed.filename);
  }
});
after(() => rmSync(HOME, { recursive: true, force: true }));

test("npm install -g of the packed tarball", { skip }, () => {
  const prefix = join(HOME, "global");
  install("--global", "--prefix", prefix, tarball);
  works(join(prefix, "bin/weight-diff"), join(prefix, "lib/node_modules"));
});

test("npm install of a git address builds the package", { skip }, () => {
  const repository = join(HOME, "repository");
  const tracked = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  // What the build reads; the tests and their data are as good in ROOT.
  for (const file of tracked.split("\0").filter((name) => /^(src|bin|scripts|test)\/|^[^/]+$/.test(name))) {
    cpSync(join(ROOT, file), join(repository, file));
  }
  const git = (...args: readonly string[]): void => {
    const who = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
    execFileSync("git", [...who, ...args], { cwd: repository, stdio: "pipe" });
  };
  git("init", "--quiet");
  git("add", "--all");
  git("commit", "--quiet", "--message", "as it is");
  const project = join(HOME, "project");
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{"name": "project", "private": true}\n');
  install("--prefix", project, `git+file://${repository}`);
  works(join(project, "node_modules/.bin/weight-diff"), join(project, "node_modules"));
});

for (const old of ["12", "18"]) {
  test(`a real Node ${old} is told in one line that it is too old`, { skip }, () => {
    const { status, stdout, stderr } = run("npx", [
      ...["--yes", "--prefer-offline", "-p", `node@${old}`, "--", "node"],
      ...[join(ROOT, "bin/weight-diff.js"), "recover"],
    ]);
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(
      stderr,
      new RegExp(`^weight-diff: error: needs Node 20\\.15 or newer, this is v${old}\\.\\d+\\.\\d+\\n$`),
    );
  });
}
