#!/usr/bin/env node
// libuv's pool is sized at its first use. Each worker keeps up to nine reads and writes in flight; the default is four threads for all.
process.env.UV_THREADPOOL_SIZE ??= "16";
const { main } = await import("../dist/src/cli/main.js");
process.exitCode = await main(process.argv);
