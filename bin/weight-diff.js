#!/usr/bin/env node
// libuv's pool is sized at its first use. Each worker keeps up to nine reads and writes in flight; the default is four threads for all.
// The launcher is CommonJS (see package.json beside it) because Node reads a module with that very pool: there this line comes too late.
process.env.UV_THREADPOOL_SIZE ??= "16";
// What the network brings dies at once, but is only collected when the nursery is full: one that does not grow keeps some 30 MB less.
require("node:v8").setFlagsFromString("--semi-space-growth-factor=1");
import("../dist/src/cli/main.js")
  .then(({ main }) => main(process.argv))
  .then((exitCode) => {
    process.exitCode = exitCode;
  });
