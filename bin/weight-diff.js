#!/usr/bin/env node
// This file is CommonJS (see package.json beside it), in a syntax that old versions of Node can read, so that it can tell them why not.
const NEEDED = [20, 15];
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  refuse(`error: needs Node ${NEEDED.join(".")} or newer, this is ${process.version}`);
} else {
  // libuv's pool is sized at its first use. Each worker keeps up to nine reads and writes in flight; the default is four threads for all.
  process.env.UV_THREADPOOL_SIZE = process.env.UV_THREADPOOL_SIZE || "16";
  // What the network brings dies at once, but is only collected when the nursery is full: one that does not grow keeps some 30 MB less.
  // Left to itself, V8 lets the heap of a run over 160,000 tensors grow to three times what is alive before it collects.
  require("node:v8").setFlagsFromString("--semi-space-growth-factor=1 --heap-growing-percent=20");
  start();
}

function start() {
  const bundle = require("node:path").join(__dirname, "../dist/cli/weight-diff.cjs");
  if (!require("node:fs").existsSync(bundle)) {
    refuse("error: not built yet", "hint: npm ci");
    return;
  }
  require(bundle)
    .main(process.argv)
    .then((exitCode) => {
      process.exitCode = exitCode;
    });
}

function refuse(...lines) {
  process.stderr.write(lines.map((line) => `weight-diff: ${line}\n`).join(""));
  process.exitCode = 2;
}
