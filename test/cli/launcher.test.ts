/** The launcher and the bundle: what is loaded, and what is said where that cannot be. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { transformSync } from "esbuild";
import { withFolder } from "../support/checkpoints.js";
import { ROOT } from "../support/fixtures.js";
import { BASE, BIN, DIFF } from "./command.js";

function node(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  return { status, stdout, stderr };
}

for (const [version, says] of [
  ["v18.20.4", "weight-diff: error: needs Node 20.15 or newer, this is v18.20.4\n"],
  ["v20.14.0", "weight-diff: error: needs Node 20.15 or newer, this is v20.14.0\n"],
  ["v12.22.12", "weight-diff: error: needs Node 20.15 or newer, this is v12.22.12\n"],
  ["v20.15.0", ""],
  ["v26.0.0", ""],
] as const) {
  test(`Node ${version} is ${says === "" ? "new enough" : "told in one line that it is too old"}`, async () => {
    await withFolder(async (folder) => {
      const fake = join(folder, "fake.cjs");
      const versions = `{ ...process.versions, node: "${version.slice(1)}" }`;
      writeFileSync(
        fake,
        `Object.defineProperty(process, "versions", { value: ${versions} });
        Object.defineProperty(process, "version", { value: "${version}" });`,
      );
      const { status, stderr } = node("--require", fake, BIN, "--version");
      assert.deepEqual([status, stderr], [says === "" ? 0 : 2, says]);
    });
  });
}

test("the launcher is written in a syntax that old versions of Node can read", () => {
  // esbuild rewrites for a target what that target cannot read: here there must be nothing of the kind.
  const code = readFileSync(BIN, "utf8");
  const newest = transformSync(code, { target: "esnext" }).code;
  assert.equal(transformSync(code, { target: "es2015" }).code, newest);
  assert.notEqual(
    transformSync(`${code}\nvoid process?.env;`, { target: "es2015" }).code,
    `${newest}void process?.env;\n`,
  );
});

test("before a build the launcher says how to build", async () => {
  await withFolder(async (folder) => {
    cpSync(join(ROOT, "bin"), join(folder, "bin"), { recursive: true });
    assert.deepEqual(node(join(folder, "bin/weight-diff.js"), "--version"), {
      status: 2,
      stdout: "",
      stderr: "weight-diff: error: not built yet\nweight-diff: hint: npm ci\n",
    });
  });
});

test("the package has the launcher, the bundle with its source maps and licences, and the library with its types", () => {
  const { status, stdout, stderr } = spawnSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  const [packed] = JSON.parse(stdout) as readonly [{ readonly files: readonly { readonly path: string }[] }];
  const files = packed.files.map(({ path }) => path);
  for (const file of [
    ...["bin/weight-diff.js", "bin/package.json", "dist/src/index.js", "dist/src/index.d.ts"],
    ...["dist/src/engine/worker.js", "dist/src/kernel/kernel.wasm"],
    ...[
      "weight-diff.cjs",
      "weight-diff.cjs.map",
      "command-line.cjs",
      "command-line.cjs.map",
      "huggingface-hub.cjs",
      "huggingface-hub.cjs.map",
      "zstddec.cjs",
      "hash-wasm.cjs",
      "worker.js",
      "worker.js.map",
      "tokenizer/thread.js",
      "package.json",
      "kernel.wasm",
      "LICENSES.txt",
    ].map((name) => `dist/cli/${name}`),
  ]) {
    assert.ok(files.includes(file), file);
  }
  assert.deepEqual(
    files.filter((file) => /^dist\/(test|src\/cli)\//.test(file)),
    [],
  );
});

for (const [kernel, threads] of [
  ["simd", "2"],
  ["scalar", "1"],
  ["simd", null],
] as const) {
  test(`the bundle runs without any package beside it: ${kernel}, ${threads ?? "no"} threads`, async () => {
    await withFolder(async (folder) => {
      for (const part of ["bin", "dist/cli", "package.json"]) {
        cpSync(join(ROOT, part), join(folder, part), { recursive: true });
      }
      assert.ok(!existsSync(join(folder, "node_modules")));
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [
          ...[join(folder, "bin/weight-diff.js"), "recover", "--path_raw", BASE, "--path_diff", DIFF, "--json"],
          ...(threads === null ? [] : ["--threads", threads]),
        ],
        { encoding: "utf8", env: { ...process.env, WEIGHT_DIFF_KERNEL: kernel } },
      );
      assert.equal(status, 0, stderr);
      const { tensors, threads: used } = JSON.parse(stdout) as {
        readonly tensors: readonly { readonly name: string; readonly sha256: string }[];
        readonly threads: number;
      };
      assert.equal(used, Number(threads ?? 0));
      const expected = JSON.parse(readFileSync(join(DIFF, "../expected.json"), "utf8")) as typeof JSON & {
        readonly tensors: readonly { readonly name: string; readonly sha256: string }[];
      };
      const byName = new Map(expected.tensors.map(({ name, sha256 }) => [name, sha256]));
      assert.ok(tensors.length > 0 && tensors.every(({ name, sha256 }) => byName.get(name) === sha256));
    });
  });
}

test("what pushes needs no package beside it either", async () => {
  await withFolder(async (folder) => {
    cpSync(join(ROOT, "dist/cli"), folder, { recursive: true });
    const uses = `const { commitIter, createRepo, whoAmI } = require(${JSON.stringify(join(folder, "huggingface-hub.cjs"))});
      console.log(typeof commitIter, typeof createRepo, typeof whoAmI);`;
    assert.deepEqual(node("-e", uses), { status: 0, stdout: "function function function\n", stderr: "" });
  });
});

test("what reads chains needs no package beside it either", async () => {
  await withFolder(async (folder) => {
    cpSync(join(ROOT, "dist/cli"), folder, { recursive: true });
    const place = (file: string): string => JSON.stringify(pathToFileURL(join(folder, file)).href);
    // By name, as the bundle and the worker import them.
    const uses = `import { ZSTDDecoder } from ${place("zstddec.cjs")};
      import { createXXHash128, createBLAKE3, createAdler32 } from ${place("hash-wasm.cjs")};
      console.log(typeof ZSTDDecoder, typeof createXXHash128, typeof createBLAKE3, typeof createAdler32);`;
    const told = { status: 0, stdout: "function function function function\n", stderr: "" };
    assert.deepEqual(node("--input-type=module", "-e", uses), told);
  });
});
